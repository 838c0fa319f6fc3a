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
    from .ignored import GitIgnore
    from .limits import Limits
    from .messages import Image
    from .outcome import Outcome
    from .permissions import Permission
    from .sandbox import CommandLimits, Launch, Rules, Sandbox, find_sandbox
    from .schematool import tool_from_schema
    from .task import Task
    from .taskfile import load_task
    from .taskparts import McpServer, Verify
    from .toolcontext import ToolContext
    from .toolspec import Tool, tool

__all__ = [
    "Agent",
    "AgentError",
    "CommandLimits",
    "ConfigError",
    "Endpoint",
    "EndpointError",
    "EndpointRejected",
    "EndpointTimeout",
    "EndpointUnreachable",
    "EndpointUnreadable",
    "GitIgnore",
    "Image",
    "Ladder",
    "Launch",
    "Limits",
    "McpServer",
    "Outcome",
    "Permission",
    "Rules",
    "RunFailed",
    "Rung",
    "Sandbox",
    "Task",
    "Tool",
    "ToolContext",
    "ToolError",
    "Verify",
    "find_sandbox",
    "load_task",
    "tool",
    "tool_from_schema",
]

# pydantic takes 0.1 s, jsonschema and yaml 0.05 s each: `agent --help` pays for none, a tool file only for pydantic.
_HOMES = {
    "Agent": "assembly",
    "CommandLimits": "sandbox",
    "Endpoint": "endpoint",
    "GitIgnore": "ignored",
    "Image": "messages",
    "Ladder": "escalation",
    "Launch": "sandbox",
    "Limits": "limits",
    "Outcome": "outcome",
    "Permission": "permissions",
    "Rules": "sandbox",
    "Rung": "escalation",
    "Sandbox": "sandbox",
    "Task": "task",
    "Tool": "toolspec",
    "ToolContext": "toolcontext",
    "McpServer": "taskparts",
    "Verify": "taskparts",
    "find_sandbox": "sandbox",
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
