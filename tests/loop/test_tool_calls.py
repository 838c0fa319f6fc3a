"""Execution of the calls of a turn: limits, duplicates, repeated calls and failing observers."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Image, Limits, Outcome, Tool, tool
from agent.journal.events import Event
from agent.loop.file_tracking import FileTracker
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says


def results(outcome: Outcome) -> list[tuple[str, str]]:
    return [(each.status, each.content) for each in outcome.messages if isinstance(each, ToolResult)]


async def triggers(tools: list[Tool], *replies: Any) -> list[str]:
    events: list[Event] = []
    await Agent(ScriptedModel([*replies, says("Done.")]), tools=tools).run("Go.", observe=events.append)
    return [event.trigger for event in events if event.kind == "triggered"]


async def test_a_batch_beyond_the_limit_is_not_executed_at_all():
    done: list[int] = []

    @tool
    def note(number: int) -> None:
        """Write a note."""
        done.append(number)

    batch = calls(*[("note", {"number": number}) for number in range(3)])
    outcome = await Agent(ScriptedModel([batch]), tools=[note], limits=Limits(tool_calls=2)).run("Go.")

    assert (outcome.status, done, outcome.usage.tool_calls) == ("budget", [], 0)
    assert outcome.reason == (
        "the limit tool_calls = 2 does not allow 3 more (0 used). Raise `limits.tool_calls`, or "
        "set it to None (null in a task)."
    )


async def test_calls_that_are_not_executed_do_not_count_towards_the_limit():
    @tool(read_only=True)
    def note(number: int) -> str:
        """Read a note."""
        return f"noted {number}"

    batch = calls(("note", {"number": 1}), ("note", {"number": 1}), ("note", {"number": "x"}))
    outcome = await Agent(ScriptedModel([batch, says("Done.")]), tools=[note], limits=Limits(tool_calls=1)).run("Go.")

    assert outcome.status == "finished"
    assert [status for status, _ in results(outcome)] == ["ok", "duplicate", "invalid"]


async def test_two_different_images_are_not_a_repetition():
    """They once counted as one, because only the text of a result was compared."""
    numbers = count()

    @tool(read_only=True)
    def look() -> Image:
        """Look."""
        return Image(data=base64.b64encode(bytes([next(numbers)])).decode(), media_type="image/png")

    @tool(read_only=True)
    def stare() -> Image:
        """Return the same image each time."""
        return Image(data="aGk=", media_type="image/png")

    assert await triggers([look, stare], calls(("look", {})), calls(("look", {}))) == []
    assert await triggers([look, stare], calls(("stare", {})), calls(("stare", {}))) == ["repeat"]


async def test_a_long_output_counts_as_repeated_although_it_is_in_another_file(tmp_path: Path):
    @tool(output_limit_chars=300)
    def talk() -> str:
        """Talk."""
        return "blah " * 1_000

    again = calls(("talk", {}))
    model = ScriptedModel([again, again, says("Done.")])
    outcome = await Agent(model, tools=[talk], workspace=tmp_path).run("Go.")

    assert "You made this very call before" in results(outcome)[1][1]
    assert len(list((tmp_path / ".agent" / "outputs").iterdir())) == 2


async def test_an_observer_error_stops_the_run_and_is_not_wrapped_in_a_group():
    @tool
    async def work() -> str:
        """Work."""
        await asyncio.sleep(0)
        return "done"

    def fail(event: Event) -> None:
        if event.kind == "call_ended":
            msg = "the view is broken"
            raise RuntimeError(msg)

    outcome = await Agent(ScriptedModel([calls(("work", {}))]), tools=[work]).run("Go.", observe=fail)
    assert (outcome.status, outcome.reason) == ("error", "`observe` raised RuntimeError: the view is broken")


async def test_a_call_that_changes_files_costs_two_jobs_beside_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It once cost four: the journal's sync, the files before, the files after, and what had changed."""
    (tmp_path / "work").mkdir()
    jobs: list[str] = []

    async def to_thread(function: Any, *args: Any, **keywords: Any) -> Any:
        jobs.append(function.__name__)
        return function(*args, **keywords)

    @tool
    def note(number: int) -> None:
        """Write a note."""
        jobs.append("note")
        (tmp_path / "work" / f"{number}.txt").touch()

    events: list[Event] = []
    both = calls(("note", {"number": 1}), ("note", {"number": 2}))
    agent = Agent(
        ScriptedModel([both, says("1.txt.")]), tools=[note], workspace=tmp_path / "work", runs=tmp_path / "runs"
    )
    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    await agent.run("Go.", observe=events.append)

    during = jobs[jobs.index("_sync_and_look") :]
    assert sorted(during) == ["_changes", "_sync_and_look", "_sync_and_look", "note", "note", "sync"]
    assert [len(event.files) + len(event.unsure) for event in events if event.kind == "files_changed"] == [2]


async def test_no_call_begins_before_the_files_of_all_were_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second of two calls at the same time must not change files while the first one still lists them."""
    (tmp_path / "work").mkdir()
    order: list[str] = []

    def look(self: FileTracker) -> dict[str, str]:
        order.append("look")
        time.sleep(0.05)
        order.append("looked")
        return {}

    @tool
    def note(number: int) -> None:
        """Write a note."""
        order.append("note")

    monkeypatch.setattr(FileTracker, "_signatures_before", look)
    both = calls(("note", {"number": 1}), ("note", {"number": 2}))
    await Agent(ScriptedModel([both, says("Done.")]), tools=[note], workspace=tmp_path / "work").run("Go.")
    assert order[:2] == ["look", "looked"]
    assert order.count("note") == 2
    assert order.index("looked") < order.index("note")


async def test_the_last_events_are_flushed_outside_of_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk once held up all other runs of the process for up to 0.36 s."""
    synced: list[bool] = []
    main = threading.get_ident()

    def sync(_: int) -> None:
        synced.append(threading.get_ident() == main)

    monkeypatch.setattr(os, "fdatasync", sync)
    outcome = await Agent(ScriptedModel([says("Done.")]), runs=tmp_path).run("Go.")
    assert (outcome.status, synced) == ("finished", [False])
