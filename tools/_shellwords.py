"""Word a shell command as an argument list; what isolates it, `ToolContext.launch` knows."""

from __future__ import annotations

from pathlib import Path

from agent import ToolError


def shell_argv(command: str) -> tuple[str, ...]:
    """Return the argument list that runs `command` in a shell: bash where there is one, else sh.

    Raises:
        ToolError: no command can hold what it holds.
    """
    if "\0" in command:
        msg = "The command holds a NUL character, which no command can. Send it without."
        raise ToolError(msg)
    bash = Path("/bin/bash")
    return (str(bash) if bash.exists() else "/bin/sh", "-c", command)
