"""Make an agent a tool of another one: its tokens count in the limits of the run that calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field

from .begin import Start
from .errors import ConfigError, EndpointError, ToolError
from .journal.events import Delegated
from .loop.outcome import Outcome
from .loop.parent import ParentRun
from .messages import UserMessage
from .policy.limits import check_positive
from .run_settings import RunSettings
from .tooling.arguments import ModelArguments
from .tooling.context import ToolContext
from .tooling.json_schema import plain_schema
from .tooling.tool import Tool, checked_description, checked_name


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(
        min_length=1, description="What to do, with all the information needed for it: nothing else is passed on."
    )


def agent_tool(
    name: str, description: str, *, settings: Callable[[], RunSettings],
    start: Callable[[RunSettings, Start], Awaitable[Outcome[Any]]], timeout_s: float,
) -> Tool:  # fmt: skip
    """Return a tool whose calls run an agent.

    Args:
        name: of the tool.
        description: what the model reads about it.
        settings: returns the settings of the agent's runs.
        start: starts a run.
        timeout_s: seconds after which a call is abandoned.

    Raises:
        ConfigError: the name is not allowed, the description is empty, or the timeout is not more than 0.
    """

    async def body(value: BaseModel, context: ToolContext[Any]) -> object:
        parent = cast("ParentRun | None", context.parent)
        found = settings()
        if parent is not None:
            found = replace(
                found,
                shared_limits=parent.shared_limits(),
                family=parent.family,
                runs=found.runs or (None if parent.folder is None else parent.folder / "agents"),
            )
        begin = Start(prompt=UserMessage(content=cast("_Arguments", value).prompt))
        try:
            outcome = await start(found, begin)
        except (ConfigError, EndpointError) as error:
            msg = f"The agent behind {name} could not start: {error}"
            raise ToolError(msg) from error
        if parent is not None:
            journal = "" if outcome.journal is None else str(outcome.journal)
            parent.record(
                Delegated(tool=name, run=outcome.run, status=outcome.status, spent=outcome.usage, journal=journal)
            )
        if not outcome.ok:
            said = f" Its last answer:\n{outcome.answer}" if outcome.answer else ""
            msg = f"The agent behind {name} ended as {outcome.status}: {outcome.reason.rstrip('.')}.{said}"
            raise ToolError(msg)
        return outcome.output

    async def prepare(_context: ToolContext[Any]) -> None:
        # Its MCP servers are started to list their tools: before a command of this run can change their files.
        await asyncio.to_thread(settings)

    check_positive(timeout_s, key="timeout_s")
    return Tool(
        name=checked_name(name),
        description=checked_description(name, description),
        parameters=plain_schema(_Arguments, name=name),
        arguments=ModelArguments(model=_Arguments),
        body=body,
        prepare=prepare,
        timeout_s=timeout_s,
    )
