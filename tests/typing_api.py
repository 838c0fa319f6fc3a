"""Calls that users make, for the type checker only; never run."""

from pathlib import Path
from typing import Annotated, Literal, assert_type

from pydantic import BaseModel, Field

from agent import Agent, Endpoint, Image, Ladder, Limits, Outcome, Rung, Tool, ToolContext, ToolError, Verify, tool


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


assert_type(plain, Tool)
assert_type(take_note, Tool)


async def use() -> None:
    agent = Agent(
        Endpoint("http://127.0.0.1:8000/v1", model="m", stream=False),
        tools=[plain, take_note],
        ladder=Ladder(rungs=(Rung(effort="none"), Rung(effort="high")), hold_steps=2),
        limits=Limits(steps=3, wall_s=None),
        verify=Verify(command="true"),
        output_type=Notes,
        workspace=Path(),
        deps=Notes(),
    )
    outcome = await agent.run("Do it.", images=[Image.from_file("a.png")])
    assert_type(outcome, Outcome)
    assert_type(outcome.raise_for_status().answer, str)
    assert_type(agent.run_sync("Do it."), Outcome)
