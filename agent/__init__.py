"""The public API of the framework; each name is imported when it is first used."""

# Not from typing: `python -m agent` would import it from the current folder, see `__main__`.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from .agent import Agent
    from .errors import (
        AgentError,
        ConfigError,
        EndpointError,
        EndpointRejected,
        EndpointTimeout,
        EndpointUnreachable,
        EndpointUnreadable,
        NoAnswer,
        RunFailed,
        ToolError,
    )
    from .journal.runs import runs_folder
    from .loop.outcome import Outcome
    from .messages import Image
    from .model.endpoint import Endpoint
    from .model.protocol import Model
    from .model.settings import ModelSettings
    from .policy.budget import Prices, Spent
    from .policy.ladder import Ladder, Rung
    from .policy.limits import Limits
    from .policy.permissions import ApprovalRequest, Permission
    from .policy.verification import Verify
    from .sandbox import CommandLimits, Launch, Rules, Sandbox, find_sandbox
    from .sandbox.beneath import Protected, open_beneath, open_regular, opened_parent
    from .sandbox.inside import LeadsOut, inside_of
    from .sandbox.process import CommandResult, Process, at_forced_end, kill_session
    from .sandbox.terminal import displayed
    from .session import Session
    from .streaming import EventStream
    from .task.load import load_task
    from .task.mcp_server import McpServer
    from .task.task import Task
    from .tooling.context import ToolContext
    from .tooling.from_schema import tool_from_schema
    from .tooling.tool import Tool, tool
    from .workspace.diff import Change
    from .workspace.gitignore import GitIgnore
    from .workspace.workspace import changes_since

__all__ = [
    "Agent",
    "AgentError",
    "ApprovalRequest",
    "Change",
    "CommandLimits",
    "CommandResult",
    "ConfigError",
    "Endpoint",
    "EndpointError",
    "EndpointRejected",
    "EndpointTimeout",
    "EndpointUnreachable",
    "EndpointUnreadable",
    "EventStream",
    "GitIgnore",
    "Image",
    "Ladder",
    "Launch",
    "LeadsOut",
    "Limits",
    "McpServer",
    "Model",
    "ModelSettings",
    "NoAnswer",
    "Outcome",
    "Permission",
    "Prices",
    "Process",
    "Protected",
    "Rules",
    "RunFailed",
    "Rung",
    "Sandbox",
    "Session",
    "Spent",
    "Task",
    "Tool",
    "ToolContext",
    "ToolError",
    "Verify",
    "at_forced_end",
    "changes_since",
    "displayed",
    "find_sandbox",
    "inside_of",
    "kill_session",
    "load_task",
    "open_beneath",
    "open_regular",
    "opened_parent",
    "runs_folder",
    "tool",
    "tool_from_schema",
]

# pydantic takes 0.1 s to import, jsonschema and yaml 0.05 s each: `agent --help` needs none, a tool file only pydantic.
_MODULES = {
    "Agent": "agent",
    "ApprovalRequest": "policy.permissions",
    "Change": "workspace.diff",
    "CommandLimits": "sandbox",
    "CommandResult": "sandbox.process",
    "Endpoint": "model.endpoint",
    "EventStream": "streaming",
    "GitIgnore": "workspace.gitignore",
    "Image": "messages",
    "Ladder": "policy.ladder",
    "Launch": "sandbox",
    "LeadsOut": "sandbox.inside",
    "Limits": "policy.limits",
    "Model": "model.protocol",
    "ModelSettings": "model.settings",
    "Outcome": "loop.outcome",
    "Permission": "policy.permissions",
    "Prices": "policy.budget",
    "Process": "sandbox.process",
    "Protected": "sandbox.beneath",
    "Rules": "sandbox",
    "Rung": "policy.ladder",
    "Sandbox": "sandbox",
    "Session": "session",
    "Spent": "policy.budget",
    "Task": "task.task",
    "Tool": "tooling.tool",
    "ToolContext": "tooling.context",
    "McpServer": "task.mcp_server",
    "Verify": "policy.verification",
    "at_forced_end": "sandbox.process",
    "changes_since": "workspace.workspace",
    "displayed": "sandbox.terminal",
    "find_sandbox": "sandbox",
    "inside_of": "sandbox.inside",
    "kill_session": "sandbox.process",
    "load_task": "task.load",
    "open_beneath": "sandbox.beneath",
    "open_regular": "sandbox.beneath",
    "opened_parent": "sandbox.beneath",
    "runs_folder": "journal.runs",
    "tool": "tooling.tool",
    "tool_from_schema": "tooling.from_schema",
}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        from importlib import import_module

        value: object = getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
