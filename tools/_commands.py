"""Helpers for tools that run commands: shell arguments, an environment's Python, exit codes in words; runs nothing."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from agent import ToolError


def shell_argv(command: str) -> tuple[str, ...]:
    """Return the argument list that runs `command` in a shell: bash if present, else sh."""
    bash = Path("/bin/bash")
    return (str(bash) if bash.exists() else "/bin/sh", "-c", command)


def python_of(env: Mapping[str, str]) -> str:
    """Return the Python of an environment.

    Raises:
        ToolError: its PATH has none.
    """
    found = next(filter(None, (shutil.which(name, path=env.get("PATH")) for name in ("python", "python3"))), None)
    if found is None:
        msg = "There is no `python` on the PATH of this run. Say so in your answer."
        raise ToolError(msg)
    return found


def describe_exit(code: int) -> str:
    """Describe how a program ended: `exit code 3`, plus the signal that killed it, if any."""
    return f"exit code {code}" if code >= 0 else f"exit code {128 - code} (killed by {_signal_name(-code)})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
