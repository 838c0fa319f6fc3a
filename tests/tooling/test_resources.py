"""Objects shared by tool calls: one per run and class, closed with the run."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Ladder, Rung, ToolContext, ToolError, tool
from agent.journal.events import Event, Noticed
from agent.messages import Reply, ToolResult
from agent.model.wire import Request
from agent.testing import ScriptedModel, calls, says
from agent.tooling import resources
from agent.tooling.resources import Resources, RunningCommands

ENV = {"PATH": os.defpath}


async def test_each_run_has_its_own_object_and_closes_it(tmp_path: Path):
    closed: list[int] = []

    class Counter:
        def __init__(self) -> None:
            self.count = 0

        async def aclose(self) -> None:
            closed.append(self.count)

    @tool
    def count(context: ToolContext[Any]) -> int:
        """Count up."""
        counter = context.resources.get(Counter)
        counter.count += 1
        return counter.count

    for _ in range(2):
        model = ScriptedModel([calls(("count", {})), calls(("count", {})), says("Done.")])
        outcome = await Agent(model, tools=[count], workspace=tmp_path, env=ENV).run("Count.")
        assert [message.content for message in outcome.messages if isinstance(message, ToolResult)] == ["1", "2"]
    assert closed == [2, 2]


async def test_objects_are_closed_when_the_run_fails_even_if_one_is_already_gone(tmp_path: Path):
    closed: list[str] = []

    class First:
        async def aclose(self) -> None:
            closed.append("first")

    class Second:
        async def aclose(self) -> None:
            closed.append("second")
            raise ProcessLookupError

    @tool
    def look(context: ToolContext[Any]) -> str:
        """Look."""
        context.resources.get(First)
        context.resources.get(Second)
        context.resources.get(dict)
        return "seen"

    def cancelled(request: Request) -> Reply:
        raise asyncio.CancelledError

    model = ScriptedModel([calls(("look", {})), cancelled])
    with pytest.raises(asyncio.CancelledError):
        await Agent(model, tools=[look], workspace=tmp_path, env=ENV).run("Look.")
    assert closed == ["second", "first"]


class Wrong:
    """Fails to close, in the way that `how` says."""

    how = ""

    async def aclose(self) -> None:
        match self.how:
            case "raises":
                msg = "the key is sk-canary-0123456789"
                raise RuntimeError(msg)
            case "exits":
                sys.exit(3)
            case "is a group":
                msg = "two"
                raise BaseExceptionGroup(msg, [KeyError("a"), asyncio.CancelledError()])
            case "cancels itself":
                raise asyncio.CancelledError
            case "cannot be shown":
                raise Unreadable
            case "hangs":
                await asyncio.Event().wait()
            case "has no connection":
                raise BrokenPipeError
            case _:
                raise AssertionError


class Unreadable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("raises", "RuntimeError: the key is [secret API_KEY]"),
        ("exits", "RuntimeError: it called sys.exit()"),
        ("is a group", "BaseExceptionGroup: two (2 sub-exceptions)"),
        ("cancels itself", "it was cancelled"),
        ("cannot be shown", "Unreadable: (its message cannot be read)"),
        ("hangs", "it did not end within 0.01 s"),
        ("has no connection", ""),
    ],
)
async def test_an_object_that_fails_to_close_does_not_lose_the_outcome_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, failure: str
):
    """Anything but an OSError ended `run` with that exception, and a batch with it."""
    monkeypatch.setattr(Wrong, "how", how)
    monkeypatch.setattr(resources, "CLOSE_TIMEOUT_S", 0.01)
    closed: list[str] = []

    class First:
        async def aclose(self) -> None:
            closed.append("first")

    @tool
    def look(context: ToolContext[Any]) -> str:
        """Look."""
        context.resources.get(First)
        context.resources.get(Wrong)
        return "seen"

    seen: list[str] = []
    agent = Agent(
        ScriptedModel([calls(("look", {})), says("Done.")]), tools=[look], workspace=tmp_path, env=ENV,
        secrets={"API_KEY": "sk-canary-0123456789"},
    )  # fmt: skip
    outcome = await agent.run("Look.", observe=lambda event: seen.extend(_notice(event)))

    told = [f"Wrong.aclose() failed: {failure}. What it held may still be open."] if failure else []
    assert (outcome.status, outcome.answer, list(outcome.notices), seen) == ("finished", "Done.", told, told)
    assert closed == ["first"]


def _notice(event: Event) -> list[str]:
    return [event.text] if isinstance(event, Noticed) else []


async def test_an_object_that_fails_on_a_renewed_conversation_does_not_end_the_run(tmp_path: Path):
    class Remembers:
        def on_context_renewed(self) -> None:
            msg = "gone"
            raise KeyError(msg)

    @tool
    def look(context: ToolContext[Any]) -> str:
        """Look."""
        context.resources.get(Remembers)
        msg = "no"
        raise ToolError(msg)

    ladder = Ladder(rungs=(Rung(effort=None), Rung(effort=None, fresh_context=True)), triggers={"tool_error": 1})
    model = ScriptedModel([calls(("look", {})), says("Done.")])
    outcome = await Agent(model, tools=[look], workspace=tmp_path, env=ENV, ladder=ladder).run("Look.")

    assert outcome.status == "finished"
    assert outcome.notices == (
        "Remembers.on_context_renewed() failed: KeyError: 'gone'. It may still go by the old conversation.",
    )


async def test_commands_whose_own_functions_fail_are_all_stopped_and_tried_again_at_the_end(tmp_path: Path):
    """A `stop` that raised ended the run when files were put back; the commands after it ran on."""
    stopped: list[str] = []

    def unknown() -> bool:
        raise LookupError

    async def fails() -> None:
        stopped.append("fails")
        raise RuntimeError

    async def works() -> None:
        stopped.append("works")

    running = RunningCommands()
    running.add("one", is_running=unknown, stop=fails)
    running.add("two", is_running=lambda: True, stop=works)
    assert await running.stop() == ("one", "two")
    assert stopped == ["fails", "works"]
    with pytest.raises(RuntimeError, match=r"^one: RuntimeError$"):
        await running.aclose()
    assert stopped == ["fails", "works", "fails"]


async def test_objects_are_all_closed_when_the_caller_is_cancelled_meanwhile(tmp_path: Path):
    closed: list[str] = []
    closing = asyncio.Event()

    class First:
        async def aclose(self) -> None:
            closed.append("first")

    class Second:
        async def aclose(self) -> None:
            closing.set()
            await asyncio.Event().wait()

    kept = Resources()
    kept.get(First)
    kept.get(Second)
    ending = asyncio.create_task(kept.aclose(pytest.fail))
    await closing.wait()
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert closed == ["first"]


def test_the_old_name_still_works_and_warns(tmp_path: Path):
    context = ToolContext(workspace=tmp_path)
    with pytest.warns(DeprecationWarning, match=r"^ToolContext.kept is now") as warned:
        old = context.kept
    assert old is context.resources
    assert str(warned[0].message) == (
        "ToolContext.kept is now ToolContext.resources; the old name works in this release only. Rename it."
    )
    assert warned[0].filename == __file__
