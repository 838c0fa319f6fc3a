"""Explain why a command of a tool did not start: which program is missing, and where it was looked for."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

from ..errors import ToolError
from ..sandbox.process import CommandResult

_NO_FILE = os.strerror(errno.ENOENT)
_REASONS = frozenset({_NO_FILE, os.strerror(errno.EACCES), os.strerror(errno.ENOEXEC)})
_ADVICE = {
    errno.E2BIG: "Write a script with write_file and run that.",
    errno.EBUSY: "Stop the other command first.",  # from `sandbox.container.held_input`
}
_LAUNCHER_CODES = frozenset({1, 126, 127})


def not_started(error: OSError, argv: Sequence[str], env: Mapping[str, str]) -> ToolError:
    """Return the error for the model about a command that the operating system did not start.

    Args:
        error: what starting it raised.
        argv: the command and its arguments.
        env: its complete environment.
    """
    reason = error.strerror or str(error)
    if reason in _REASONS and error.filename == argv[0]:
        return ToolError(_missing(argv[0], reason, env))
    advice = _ADVICE.get(error.errno or 0, "No command can run now: say so in your answer.")
    return ToolError(f"The command could not be started: {reason}. {advice}")


def check_started(result: CommandResult, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Check that a command that has ended was started: inside a sandbox, only its launcher's output shows that.

    Raises:
        ToolError: it was not.
    """
    if result.exit_code not in _LAUNCHER_CODES:
        return
    # The one line that prlimit of util-linux prints under bubblewrap, or our own launcher under Landlock.
    reason = result.output.strip().removeprefix("prlimit: failed to execute ").removeprefix(f"{argv[0]}: ")
    if reason in _REASONS:
        raise ToolError(_missing(argv[0], reason, env))


def _missing(program: str, reason: str, env: Mapping[str, str]) -> str:
    if "/" not in program and reason == _NO_FILE:
        what = f"There is no `{program}` on the PATH of this run ({env.get('PATH', os.defpath)})."
    else:
        what = f"`{program}` could not be started: {reason}."
    return f"{what} Use another program, or say so in your answer."
