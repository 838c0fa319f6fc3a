"""Objects shared by tool calls: one per run and class, closed with the run."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, ToolContext, tool
from agent.messages import Reply, ToolResult
from agent.model.wire import Request
from agent.testing import ScriptedModel, calls, says

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


def test_the_old_name_still_works_and_warns(tmp_path: Path):
    context = ToolContext(workspace=tmp_path, state=None)
    with pytest.warns(DeprecationWarning, match=r"^ToolContext.kept is now") as warned:
        old = context.kept
    assert old is context.resources
    assert str(warned[0].message) == (
        "ToolContext.kept is now ToolContext.resources; the old name works in this release only. Rename it."
    )
    assert warned[0].filename == __file__
