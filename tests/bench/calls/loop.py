"""Send a case through a whole run with a scripted model and compare what the tool was called with."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace

from calls.judging import Case, executed_value, plain
from calls.values import Json

from agent import Agent, Limits, ToolContext
from agent.messages import RawCall, Reply, Usage
from agent.testing import ScriptedModel, says
from agent.tooling.toolbox import Toolbox


def agrees(case: Case, toolbox: Toolbox, tool_name: str) -> str | None:
    """Return how the run differs from `read` and `check`. None means it calls the tool with the same value."""
    called: list[Json] = []

    async def body(value: object, _context: ToolContext[None]) -> object:
        called.append(plain(value))
        return "done"

    tools = [replace(tool, body=body) if tool.name == tool_name else tool for tool in toolbox]
    raw = RawCall(id="AAAAAAAAA", name=tool_name if case.name is None else case.name, arguments=case.arguments)
    usage = Usage(prompt_tokens=10, completion_tokens=10)
    reply = Reply(
        content=case.content or "",
        tool_calls=() if case.content is not None else (raw,),
        finish_reason=case.finish_reason,
        usage=usage,
    )
    model = ScriptedModel([reply, *(says("done") for _ in range(6))])
    with tempfile.TemporaryDirectory() as folder:  # a run looks through its folder, and this one is large
        asyncio.run(Agent(model, tools=tools, limits=Limits(steps=4), workspace=folder).run("Go."))
    expected = executed_value(case, toolbox, tool_name)
    if expected is None:
        return f"called with {called[0]!r}, but check refuses" if called else None
    return None if called and called[0] == expected else f"called with {called!r}, but check accepts {expected!r}"
