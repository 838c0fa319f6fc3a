"""Notes of the model outlive every shortening of its conversation; they are offered in small windows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Limits, Outcome, ready_tools, tool
from agent.events import CallEnded, ContextRenewed, Event
from agent.loop import prompts
from agent.messages import Reply
from agent.model.profiles import POCKET
from agent.testing import ScriptedModel, calls, says
from tools.notes import MAX_CHARS, write_notes

FOUND = "calc.py:3 rounds twice.\nLeft: the tests."


@tool
def fill(text: str) -> str:
    """Fill the window."""
    return "filled"


def fills(number: int) -> list[Reply]:
    return [replace(calls(("fill", {"text": f"{at} " + "word " * 500})), usage=None) for at in range(number)]


async def ran(script: Sequence[Any], folder: Path, **more: Any) -> tuple[Outcome, list[Event], ScriptedModel]:
    model, events = ScriptedModel(script, window_tokens=8_192), list[Event]()
    settings: dict[str, Any] = {"tools": [ready_tools.read_file, fill], "workspace": folder, "limits": Limits(steps=40)}
    return await Agent(model, **(settings | more)).run("Mend it.", observe=events.append), events, model


def offered(model: ScriptedModel) -> list[str]:
    return [each["function"]["name"] for each in model.bodies[0].get("tools", [])]


async def test_the_last_notes_open_every_new_conversation(tmp_path: Path):
    # The requests for a summary get calls, which are no text, so each conversation has only the notes.
    written = [calls(("write_notes", {"notes": text})) for text in ("Nothing yet.", FOUND)]
    script = [*written, *fills(30), says("Done.")]
    _, events, model = await ran(script, tmp_path, limits=Limits(steps=60))
    renewed = [event.prompt.content for event in events if isinstance(event, ContextRenewed)]
    assert len(renewed) >= 2
    # Asked for a summary, it was not told that its notes stay, and so wrote them twice.
    asked = [str(body["messages"][-1]["content"]) for body in model.bodies]
    assert f"{prompts.SUM_UP} Your notes are kept too: do not repeat them." in asked
    for prompt in (*renewed, model.bodies[-1]["messages"][1]["content"]):
        assert "Your notes:\n> calc.py:3 rounds twice.\n> Left: the tests.\n" in prompt
        assert "Nothing yet." not in prompt
        assert "- write_notes" not in prompt


async def test_the_end_of_long_notes_and_where_the_whole_is_open_a_new_conversation(tmp_path: Path):
    """The end was cut off, where most notes say what is left to do, and the rest was nowhere."""
    notes = "".join(f"- found {number}: it rounds twice.\n" for number in range(110)) + "Left: the changelog."
    assert len(notes) <= MAX_CHARS
    script = [calls(("write_notes", {"notes": notes})), *fills(30), says("Done.")]
    _, events, _ = await ran(script, tmp_path, limits=Limits(steps=60))
    prompt = next(event.prompt.content for event in events if isinstance(event, ContextRenewed))
    assert "> Left: the changelog.\n" in prompt
    file = re.search(r"Your notes, without their middle \(the whole is in (\S+)\):\n> - found 0: ", prompt)
    assert file is not None
    assert (tmp_path / file[1]).read_text() == notes


async def test_notes_survive_a_kill_and_a_resume(tmp_path: Path):
    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, CallEnded):
            raise Killed

    (tmp_path / "work").mkdir()
    common: dict[str, Any] = {"tools": [ready_tools.read_file, fill], "workspace": tmp_path / "work"}
    first = ScriptedModel([calls(("write_notes", {"notes": FOUND}))], window_tokens=8_192)
    with pytest.raises(Killed):
        await Agent(first, runs=tmp_path / "runs", **common).run("Mend it.", observe=kill)
    second = ScriptedModel([*fills(12), says(""), says("Done.")], window_tokens=8_192)
    await Agent(second, limits=Limits(steps=60), **common).resume(next((tmp_path / "runs").glob("[!.]*")))

    assert "> calc.py:3 rounds twice.\n" in second.bodies[-1]["messages"][1]["content"]
    assert offered(second) == ["read_file", "fill", "write_notes"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["read_file", "fill", "write_notes"]),
        ({"tools": [ready_tools.run_shell]}, ["run_shell", "write_notes"]),
        ({"tools": [fill]}, ["fill"]),
        ({"tools": [write_notes, fill]}, ["write_notes", "fill"]),
        ({"output_type": int}, ["read_file", "fill", "write_notes", "final_result"]),
    ],
)
async def test_they_are_offered_to_whoever_works_with_files_or_commands(
    tmp_path: Path, settings: dict[str, Any], expected: list[str]
):
    ends = calls(("final_result", {"result": 1})) if "output_type" in settings else says("Done.")
    _, _, model = await ran([ends], tmp_path, **settings)
    assert offered(model) == expected


@pytest.mark.parametrize(("window", "profile"), [(131_072, None), (None, None), (8_192, POCKET)])
async def test_they_are_not_offered_in_a_large_window_nor_to_a_model_that_has_not_learnt_them(
    tmp_path: Path, window: int | None, profile: Any
):
    model = ScriptedModel([says("Done.")], window_tokens=window, **({} if profile is None else {"profile": profile}))
    await Agent(model, tools=[ready_tools.read_file], workspace=tmp_path).run("Mend it.")
    assert offered(model) == ["read_file"]


async def test_a_run_that_began_without_them_is_resumed_without_them(tmp_path: Path):
    """The window is another one on another server."""
    common: dict[str, Any] = {"tools": [ready_tools.read_file], "workspace": tmp_path, "runs": tmp_path.parent / "runs"}
    stopped = await Agent(
        ScriptedModel([calls(("read_file", {"path": "a"}))], window_tokens=131_072), limits=Limits(steps=1), **common
    ).run("Mend it.")
    model = ScriptedModel([says("Done.")], window_tokens=16_384)
    outcome = await Agent(model, limits=Limits(steps=5), **common).resume(stopped.run)
    assert (outcome.status, offered(model)) == ("finished", ["read_file"])


async def test_notes_that_are_too_long_are_refused_and_the_old_ones_stay(tmp_path: Path):
    script = [
        calls(("write_notes", {"notes": FOUND})), calls(("write_notes", {"notes": "x" * (MAX_CHARS + 1)})),
        *fills(12), says(""), says("Done."),
    ]  # fmt: skip
    _, events, model = await ran(script, tmp_path)
    ends = [event.result for event in events if isinstance(event, CallEnded)]
    assert (ends[0].content, ends[1].status) == (f"Kept {len(FOUND)} of 4,000 characters.", "error")
    assert "Notes may have at most 4,000 characters; these have 4,001." in ends[1].content
    assert "> Left: the tests." in model.bodies[-1]["messages"][1]["content"]
