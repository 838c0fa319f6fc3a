"""The front door of the framework: the public names, each loaded when it is first used."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .assembly import Agent
    from .endpoint import Endpoint
    from .errors import (
        AgentError,
        ConfigError,
        EndpointError,
        EndpointRejected,
        EndpointTimeout,
        EndpointUnreachable,
        EndpointUnreadable,
        RunFailed,
        ToolError,
    )
    from .escalation import Ladder, Rung
    from .limits import Limits
    from .messages import Image
    from .outcome import Outcome
    from .schematool import tool_from_schema
    from .task import Task
    from .taskfile import load_task
    from .taskparts import Verify
    from .toolspec import Tool, ToolContext, tool

__all__ = [
    "Agent",
    "AgentError",
    "ConfigError",
    "Endpoint",
    "EndpointError",
    "EndpointRejected",
    "EndpointTimeout",
    "EndpointUnreachable",
    "EndpointUnreadable",
    "Image",
    "Ladder",
    "Limits",
    "Outcome",
    "RunFailed",
    "Rung",
    "Task",
    "Tool",
    "ToolContext",
    "ToolError",
    "Verify",
    "load_task",
    "tool",
    "tool_from_schema",
]

# pydantic takes 0.1 s, jsonschema and yaml 0.05 s each: `agent --help` pays for none, a tool file only for pydantic.
_HOMES = {
    "Agent": "assembly",
    "Endpoint": "endpoint",
    "Image": "messages",
    "Ladder": "escalation",
    "Limits": "limits",
    "Outcome": "outcome",
    "Rung": "escalation",
    "Task": "task",
    "Tool": "toolspec",
    "ToolContext": "toolspec",
    "Verify": "taskparts",
    "load_task": "taskfile",
    "tool": "toolspec",
    "tool_from_schema": "schematool",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    value: object = getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
