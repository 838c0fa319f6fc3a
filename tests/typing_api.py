"""Calls that users make, for mypy and pyright only; never run. `test_wheel.py` checks them against the wheel."""

from pathlib import Path
from typing import Annotated, Literal, assert_type

from pydantic import BaseModel, Field

import tramontane
from agent import (
    Agent,
    Endpoint,
    Image,
    Ladder,
    Limits,
    Outcome,
    Rung,
    Tool,
    ToolContext,
    ToolError,
    Verify,
    ready_tools,
    tool,
)
from agent.testing import ScriptedModel, calls, says
from tramontane.serving import Plan, PlanOptions, plan


class Notes(BaseModel):
    texts: list[str] = []


@tool
def plain(text: str, mode: Literal["a", "b"] = "a") -> str:
    """Do it."""
    return text + mode


@tool(name="note", read_only=False, exclusive=True, timeout_s=5, output_limit_chars=100)
async def take_note(text: Annotated[str, Field(min_length=1)], context: ToolContext[Notes]) -> Notes:
    """Take a note."""
    if not text:
        raise ToolError("nothing to note")
    context.deps.texts.append(text)
    return context.deps


@tool
class Shout(BaseModel):
    """Say it louder."""

    text: str

    def run(self) -> Image:
        return Image.from_file(Path("a.png"))


async def use_tools(context: ToolContext[Notes]) -> None:
    assert_type(plain("text"), str)
    assert_type(await take_note("text", context), Notes)
    ready: list[Tool] = [ready_tools.read_file, ready_tools.run_tests, ready_tools.find("search"), plain, take_note]
    assert_type([one.name for one in ready], list[str])
    assert_type(ready_tools.NAMES, tuple[str, ...])


async def use() -> None:
    agent = Agent(
        Endpoint("http://127.0.0.1:8000/v1", model="m", stream=False),
        tools=[plain, take_note, Shout, ready_tools.read_file, "search"],
        ladder=Ladder(rungs=(Rung(effort="none"), Rung(effort="high")), hold_steps=2),
        limits=Limits(steps=3, wall_s=None),
        verify=Verify(command="true"),
        output_type=Notes,
        workspace=Path(),
        deps=Notes(),
    )
    outcome = await agent.run("Do it.", images=[Image.from_file("a.png")])
    assert_type(outcome, Outcome[Notes])
    assert_type(outcome.raise_for_status().answer, str)
    assert_type(agent.run_sync("Do it."), Outcome[Notes])


def use_the_other_name() -> None:
    model = ScriptedModel([calls(("plain", {"text": "x"})), says("done")])
    agent: Agent[None, str] = tramontane.Agent(model, tools=[plain])
    assert_type(agent.run_sync("Do it."), Outcome[str])
    assert_type(plan(PlanOptions(gpus="h100:4")), Plan)
