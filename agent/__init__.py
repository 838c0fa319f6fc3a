"""The front door of the framework: the public names, no work; heavy ones load when they are first used."""

from typing import TYPE_CHECKING

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
from .toolspec import Tool, ToolContext, tool

if TYPE_CHECKING:
    from .assembly import Agent
    from .endpoint import Endpoint
    from .outcome import Outcome
    from .schematool import tool_from_schema
    from .task import Task
    from .taskfile import load_task
    from .taskparts import Verify

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

# A tool file needs none of these, and they bring jsonschema, yaml and the loop: 60 ms that `import agent` is spared.
_LAZY = {
    "Agent": "assembly",
    "Endpoint": "endpoint",
    "Outcome": "outcome",
    "Task": "task",
    "Verify": "taskparts",
    "load_task": "taskfile",
    "tool_from_schema": "schematool",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
