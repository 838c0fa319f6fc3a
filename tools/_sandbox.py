"""Build the command line under which a shell command runs: the one place where isolation is added, none so far.

What is NOT isolated now: the command runs as the agent's own user. It can read and write every file that user can,
reach the network and every local service, see the host's processes (and through /proc the environment of the agent
itself), start daemons in sessions of their own, and use memory, processors and disk without limit. The workspace is
its working folder, no more. Only its environment is limited, by the caller. Run agents that you do not trust in a
container or a virtual machine.
"""

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
