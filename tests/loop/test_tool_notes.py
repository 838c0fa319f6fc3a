"""What is not checked about a run's tools is told once, at its start, in few lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent import Agent, Limits, Tool, tool, tool_from_schema
from agent.testing import ScriptedModel, calls, says
from agent.tooling.notes import notes_of


@tool
def wait() -> str:
    """Wait."""
    return "done"


def noted(name: str, *notes: str) -> Tool:
    return replace(wait, name=name, notes=notes)


def test_a_note_that_several_tools_have_is_told_once_and_those_about_servers_come_first() -> None:
    tools = [
        noted("a", "$.x: one"),
        noted("b", "mcp.web: large", "$.x: one"),
        *(noted(f"c{i}", "$: all") for i in range(5)),
    ]
    assert notes_of(tools) == ("mcp.web: large", "a, b: $.x: one", "c0, c1, c2 and 2 more: $: all")


async def _notices(tmp_path: Path, *tools: Tool) -> list[str]:
    notices: list[str] = []
    agent = Agent(ScriptedModel([says("Done.")]), tools=tools, workspace=tmp_path)
    outcome = await agent.run("Do it.", observe=lambda event: notices.append(getattr(event, "text", "")))
    assert outcome.status == "finished"
    return [text for text in notices if text]


async def test_a_run_begins_with_what_is_not_checked(tmp_path: Path) -> None:
    async def nothing(_arguments: dict) -> str:
        return ""

    shape = {"properties": {"x": {"pattern": "^(?=a)"}}}
    made = tool_from_schema(nothing, name="take", description="Take it.", parameters=shape)
    assert await _notices(tmp_path, made) == ["take: $.x: the pattern ^(?=a) is not checked: it looks ahead"]


async def test_many_notes_are_folded(tmp_path: Path) -> None:
    found = await _notices(tmp_path, noted("a", *(f"$.x{number}: not checked" for number in range(9))))
    assert found == [
        "a: $.x0: not checked",
        "a: $.x1: not checked",
        "a: $.x2: not checked",
        "6 more notes about the tools: `agent run --dry-run` prints all of them",
    ]


async def test_a_resumed_run_does_not_tell_them_again(tmp_path: Path) -> None:
    tools, limits = [noted("wait", "$.x: not checked")], Limits(steps=1)
    runs = tmp_path / "runs"
    first = Agent(ScriptedModel([calls(("wait", {}))]), tools=tools, workspace=tmp_path, runs=runs, limits=limits)
    stopped = await first.run("Do it.")
    assert stopped.status == "budget"
    assert stopped.journal is not None
    events: list[str] = []
    second = Agent(ScriptedModel([says("Done.")]), tools=tools, workspace=tmp_path, runs=runs)
    outcome = await second.resume(stopped.journal.parent, observe=lambda event: events.append(event.kind))
    assert outcome.status == "finished"
    assert outcome.notices == ("wait: $.x: not checked",)
    assert "noticed" not in events


@pytest.mark.parametrize(("window_tokens", "is_told"), [(8_192, True), (32_768, False), (None, False)])
async def test_definitions_that_take_a_fifth_of_the_window_are_told(window_tokens: int | None, is_told: bool):
    long = replace(wait, description="word " * 1_500)
    model = ScriptedModel([says("Done.")], window_tokens=window_tokens)
    outcome = await Agent(model, tools=[long], instructions="Work.").run("Hello")
    told = (
        "The tool definitions take about 2,552 of the window's 8,192 tokens in every request. To send fewer, list the "
        "tools that the task needs: `tools`, or `mcp.NAME.tools` for an MCP server."
    )
    assert outcome.notices == ((told,) if is_told else ())
