"""Helpers for tools that run commands: shell arguments, an environment's Python, exit codes in words; runs nothing."""

from __future__ import annotations

import os
import re
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
    path = env.get("PATH", os.defpath)  # by default shutil.which takes the PATH of this process
    found = next(filter(None, (shutil.which(name, path=path) for name in ("python", "python3"))), None)
    if found is None:
        msg = f"There is no `python` on the PATH of this run ({path}). Do not call this again; say so in your answer."
        raise ToolError(msg)
    return found


def check_pytest(output: str, env: Mapping[str, str]) -> None:
    """Check what `python -m pytest` printed.

    Raises:
        ToolError: the environment's Python has no pytest.
    """
    if re.search(r": No module named '?pytest'?$", output, re.MULTILINE):
        python = python_of(env)
        msg = (
            f"pytest is not installed for {python}, the Python of this run. Run the tests another way with run_shell, "
            f"or say in your answer that `{python} -m pip install pytest` is needed."
        )
        raise ToolError(msg)


def describe_exit(code: int) -> str:
    """Describe how a program ended: `exit code 3`, plus the signal that killed it, if any."""
    return f"exit code {code}" if code >= 0 else f"exit code {128 - code} (killed by {_signal_name(-code)})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
