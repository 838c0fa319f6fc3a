"""Decide whether an MCP server runs in the sandbox of commands, and say so; starts none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from agent import ConfigError, Launch, McpServer, Sandbox

from ._server_session import Launched


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerPlace:
    """Where a server runs."""

    launch: Launched | None = None
    """Prepares its start in the sandbox, to list its tools. None means that it runs outside."""
    notes: Sequence[str] = ()
    """For the user, at the start of a run."""
    advice: str = ""
    """What to do if it fails, with a space before it."""


def find_place(
    name: str, server: McpServer, directory: Path, changing: Sequence[Path], sandbox: Callable[[str], Sandbox] | None
) -> ServerPlace:
    """Return where a server runs: in the sandbox, if the run can change what it runs and nothing was said against it.

    Args:
        name: of the server in the task.
        server: its settings.
        directory: absolute; where its command runs.
        changing: absolute; folders that the run may change, the workspace first.
        sandbox: finds that in which a server, by its name, lists its tools. None means that servers cannot run in it.

    Raises:
        ConfigError: this machine has no sandbox for it.
    """
    if not changing or not server.runs_code_in(changing, directory):
        return ServerPlace()
    if server.sandbox == "none":
        note = (
            "it runs outside the sandbox (`sandbox: none`), with all that you can do, and the run can change what it "
            "runs; it is ended once that has changed, as far as its command and its Python files tell what that is"
        )
        return ServerPlace(notes=[note])
    if sandbox is None:
        return ServerPlace()
    advice = (
        f"`sandbox` of the task, with `network`, `read` and `write`, and `mcp.{name}.env` give it more; "
        f"`mcp.{name}.sandbox: none` runs it outside"
    )
    try:
        found = sandbox(name)
    except ConfigError as error:
        msg = (
            f"The MCP server `{name}` runs code that a run can change, and so belongs in the sandbox. {error.problem} "
            f"To run only this server outside, set `mcp.{name}.sandbox: none`."
        )
        raise ConfigError(msg, key=f"mcp.{name}") from error

    def launch(env: Mapping[str, str]) -> AbstractContextManager[Launch]:
        changing[0].mkdir(parents=True, exist_ok=True)  # a run would make it
        return server.launch(found, workspace=changing[0].resolve(), directory=directory, env=env)

    network = "" if found.rules.network else " and without network"
    why = f"it runs in the sandbox of commands{network}, because the run can change what it runs"
    return ServerPlace(launch=launch, notes=[f"{why} ({advice})"], advice=f" Note that {why}: {advice}.")
