"""Calls that users make, for mypy and pyright only; never run. `test_wheel.py` checks them against the wheel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, assert_type

from pydantic import BaseModel, Field

import tramontane
from agent import (
    Agent,
    ApprovalRequest,
    Change,
    Endpoint,
    EventStream,
    Image,
    Ladder,
    Limits,
    McpServer,
    Model,
    ModelSettings,
    Outcome,
    Permission,
    Prices,
    Rung,
    Session,
    Spent,
    Task,
    Tool,
    ToolContext,
    ToolError,
    Verify,
    ready_tools,
    runs_folder,
    tool,
)
from agent.events import CallEnded, CallStarted, Event, RunEnded, Status, TextDelta
from agent.testing import MakeModel, MakeServer, ScriptedModel, calls, says
from tramontane.serving import Plan, PlanOptions, plan

URL = "http://127.0.0.1:8000/v1"


class Notes(BaseModel):
    texts: list[str] = []


@dataclass
class Point:
    x: int
    y: int


class Movie(TypedDict):
    title: str
    year: int


# Tools: the decorator keeps the type of what it decorates.


@tool
def plain(text: str, mode: Literal["a", "b"] = "a") -> str:
    """Do it."""
    return text + mode


@tool(name="note", read_only=False, exclusive=True, timeout_s=5, output_limit_chars=100)
async def take_note(text: Annotated[str, Field(min_length=1)], context: ToolContext[Notes]) -> Notes:
    """Take a note."""
    if not text:
        raise ToolError("nothing to note")
    assert_type(context.deps, Notes)
    assert_type(context.workspace, Path)
    done = await context.run(["true"], timeout_s=5)
    assert_type(done.exit_code, int | None)
    context.deps.texts.append(text)
    return context.deps


@tool
async def wait(seconds: float) -> None:
    """Wait."""


@tool
class Shout(BaseModel):
    """Say it louder."""

    text: str

    def run(self) -> Image:
        return Image.from_file(Path("a.png"))


class Account:
    def balance(self, currency: Literal["EUR", "USD"] = "EUR") -> float:
        """Return the balance."""
        return 1.0


async def use_tools(context: ToolContext[Notes]) -> None:
    assert_type(plain("text"), str)
    assert_type(await take_note("text", context), Notes)
    assert_type(await wait(0.1), None)
    assert_type(Shout(text="hi").run(), Image)
    assert_type(tool(Account().balance)("USD"), float)
    assert_type(tool(Account().balance, name="balance", read_only=True)("USD"), float)
    ready: list[Tool] = [ready_tools.read_file, ready_tools.run_tests, ready_tools.find("search"), plain, take_note]
    assert_type([one.name for one in ready], list[str])
    assert_type(ready_tools.NAMES, tuple[str, ...])


# The type of the result follows from `output_type`, and stays through everything that starts a run.


async def use_results() -> None:
    assert_type((await Agent(URL).run("Do it.")).output, str)
    assert_type((await Agent(URL, output_type=Notes).run("Do it.")).output, Notes)
    assert_type((await Agent(URL, output_type=Point).run("Do it.")).output, Point)
    assert_type((await Agent(URL, output_type=Movie).run("Do it.")).output, Movie)
    assert_type((await Agent(URL, output_type=int).run("Do it.")).output, int)
    assert_type((await Agent(URL, output_type=list[Point]).run("Do it.")).output, list[Point])
    union: Agent[None, Notes | int] = Agent(URL, output_type=Notes | int)
    assert_type((await union.run("Do it.")).output, Notes | int)
    optional = Agent[None, Notes | None](URL, output_type=Notes | None)
    assert_type((await optional.run("Do it.")).output, Notes | None)
    several: Agent[None, Notes | Point] = Agent(URL, output_type=[Notes, Point])
    assert_type((await several.run("Do it.")).output, Notes | Point)
    listed = Agent[None, Notes | Point](URL, output_type=[Notes, Point])
    assert_type((await listed.run("Do it.")).output, Notes | Point)
    assert_type((await Agent(URL, output_type=dict[str, int]).run("Do it.")).output, dict[str, int])


def test_with_fixtures(scripted_model: MakeModel, scripted_server: MakeServer) -> None:
    Agent(scripted_model([says("x")]), fallback=[scripted_server().url])


def agent_on(model: Model | str) -> Agent:
    return Agent(model)


async def use_kept_types(agent: Agent[Notes, Point]) -> None:
    outcome = await agent.run("Do it.", deps=Notes(), limits=Limits(steps=2), model_settings=ModelSettings(seed=1))
    assert_type(outcome, Outcome[Point])
    assert_type(outcome.output.x, int)
    assert_type(outcome.raise_for_status(), Outcome[Point])
    assert_type(agent.run_sync("Do it.", history=outcome), Outcome[Point])
    assert_type(agent.run_sync("Do it.", history=outcome.messages), Outcome[Point])
    assert_type(agent.run_sync("Do it.", history=outcome.to_chat()), Outcome[Point])
    assert_type(agent.run_sync("Do it.", history=[{"role": "user", "content": "Hi."}]), Outcome[Point])
    assert_type(await agent.resume("run"), Outcome[Point])
    assert_type(agent.resume_sync(Path("run")), Outcome[Point])
    assert_type(replace(agent, limits=Limits(steps=1)), Agent[Notes, Point])
    assert_type(agent.deps, Notes)
    session = agent.session("talk", limits=Limits(tokens=1000))
    assert_type(session, Session[Point])
    assert_type(await session.run("Do it."), Outcome[Point])
    assert_type(await session.resume(), Outcome[Point])
    assert_type(session.fork(turns=1), Session[Point])
    assert_type(session.turns[-1].workspace, Path)
    assert_type(agent.sessions(), tuple[str, ...])


# Watching.


def show(event: Event) -> None:
    match event:
        case CallStarted(tool=name):
            assert_type(name, str)
        case CallEnded(result=result):
            assert_type(result.content, str)
        case RunEnded(status=status):
            assert_type(status, Status)
        case _:
            assert_type(event.at, str | None)


async def show_later(event: Event) -> None:
    show(event)


async def use_watching(agent: Agent[None, Point]) -> None:
    stream = agent.stream("Do it.")
    assert_type(stream, EventStream[Point])
    async for event in stream:
        if isinstance(event, TextDelta):
            assert_type(event.text, str)
        elif isinstance(event, RunEnded):
            assert_type(event.spent, Spent)
        assert_type(event.at, str | None)
    await stream.aclose()
    async with agent.stream("Do it.") as closed:
        assert_type(closed, EventStream[Point])
    assert_type(stream.outcome, Outcome[Point])
    await agent.run("Do it.", observe=show)
    await agent.run("Do it.", observe=show_later)


# Everything else that an agent takes.


async def ask(request: ApprovalRequest) -> bool:
    return request.tool == "plain" and request.why != ""


async def use() -> None:
    agent = Agent(
        Endpoint(URL, model="m", stream=False),
        tools=[plain, take_note, wait, Shout, Account().balance, len, ready_tools.read_file, "search"],
        instructions="Be brief.",
        project_instructions="none",
        output_type=Notes,
        deps=Notes(),
        fallback=[URL, Endpoint(URL)],
        mcp={"notes": McpServer(command=("notes",))},
        model_settings=ModelSettings(temperature=0.2, extra_body={"top_k": 5}),
        ladder=Ladder(rungs=(Rung(effort="none"), Rung(effort="high")), hold_steps=2),
        limits=Limits(steps=3, wall_s=None),
        verify=Verify(command="true"),
        workspace=Path(),
        workspace_mode="copy",
        env={"A": "b", "USER": None},
        secret_files=[".env"],
        sandbox="none",
        permissions=[Permission(tool="plain", do="ask")],
        approve=ask,
        runs=runs_folder(),
    )
    assert_type(agent, Agent[Notes, Notes])
    outcome = await agent.run("Do it.", images=[Image.from_file("a.png")], name="first")
    assert_type(outcome, Outcome[Notes])
    assert_type(outcome.status, Status)
    assert_type(outcome.answer, str)
    assert_type(outcome.diff(), str)
    assert_type(outcome.undo(), tuple[str, ...])
    assert_type(sum((one.usage for one in [outcome]), Spent()).cost(Prices(prompt=1, output=2)), float)
    other: Tool = agent.as_tool("other", "Ask the other one.")
    assert_type(Agent(URL, tools=[other]), Agent[None, str])


def changes(found: Sequence[Change]) -> list[str]:
    return [change.path for change in found if change.kind == "added"]


def use_the_other_name() -> None:
    model = ScriptedModel([calls(("plain", {"text": "x"})), says("done")])
    agent: Agent[None, str] = tramontane.Agent(model, tools=[plain])
    assert_type(agent.run_sync("Do it."), Outcome[str])
    assert_type(plan(PlanOptions(gpus="h100:4")), Plan)
    described = Agent(URL, output_type={"type": "object", "properties": {"title": {"type": "string"}}})
    assert_type(described.run_sync("Do it.").output, dict[str, Any | None])
    assert_type(Agent(URL, output_type=Notes.model_json_schema(), deps=1), Agent[int, dict[str, Any | None]])
    untyped: Agent[None, Any] = Agent(URL, output_type={"type": "object"})
    assert_type(untyped.run_sync("Do it.").output, Any)


def use_tasks() -> None:
    short = Task(
        prompt="Do it.", tools=["read_file", "./own.py:shout"], workspace=".", model="pocket", verify="true",
        sandbox="none", limits={"wall": "5m"}, mcp={"notes": {"command": ["notes"]}}, secret_files=[".env"],
        permissions=[{"tool": "*", "do": "ask"}], directory="tasks",
    )  # fmt: skip
    assert_type(short.workspace.path, str)
    assert_type(short.tools[0].use, str)
    assert_type(short.limits, Limits)
    Task(prompt="Do it.", limits=Limits(steps=2), verify=Verify(command="true"), mcp={"n": McpServer(url=URL)})
    assert_type(Agent.from_task(short, URL, environ={}), Agent[None, Any])
