"""Find and stop one engine's processes by a mark in their environment; never touches a process without it.

A PID is not enough: the engine's first process may be gone while its workers live on (vLLM's do if their leader is
killed with SIGKILL), and PIDs are reused. Workers inherit the mark and keep it after their parents exit.
"""

import contextlib
import os
import secrets
import signal
import time
from pathlib import Path

from .process_group import ProcessId, identify, is_alive

VARIABLE = "TRAMONTANE_ENGINE"

_TERM_S = 10.0
_KILL_S = 5.0
_POLL_S = 0.1


def new_mark() -> str:
    """Create a mark that no other engine has used."""
    return secrets.token_hex(16)


def mark_environment(mark: str) -> dict[str, str]:
    """Return the variables that mark an engine's process and all its descendants."""
    # vLLM names its workers with setproctitle, which by default overwrites the environment that /proc shows. Measured
    # with setproctitle 1.3.8: without SPT_NOENV the mark is lost, with it the mark stays.
    return {VARIABLE: mark, "SPT_NOENV": "1"}


def find_marked(mark: str) -> tuple[ProcessId, ...]:
    """Return the living processes that carry the mark; empty on a system without /proc."""
    wanted = f"{VARIABLE}={mark}".encode()
    return tuple(
        process
        for folder in Path("/proc").glob("[0-9]*")
        if wanted in _environment(folder) and (process := identify(int(folder.name))) is not None
    )


def end_marked(mark: str, *, term_s: float = _TERM_S) -> int:
    """Stop all processes that carry the mark: SIGTERM first, SIGKILL after the deadline.

    Args:
        mark: of one engine.
        term_s: how long they may take to exit after SIGTERM, seconds.

    Returns:
        The number of processes found.
    """
    found = find_marked(mark)
    for number, deadline_s in ((signal.SIGTERM, term_s), (signal.SIGKILL, _KILL_S)):
        _signal_and_wait(find_marked(mark), number, deadline_s)
    return len(found)


def _signal_and_wait(processes: tuple[ProcessId, ...], number: signal.Signals, deadline_s: float) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
    until = time.monotonic() + deadline_s
    while any(is_alive(process) for process in processes) and time.monotonic() < until:
        time.sleep(_POLL_S)  # They are not children of this process, so they cannot be waited for.


def _environment(folder: Path) -> list[bytes]:
    # The process may exit in the meantime, and other users' processes cannot be read.
    with contextlib.suppress(OSError):
        return (folder / "environ").read_bytes().split(b"\0")
    return []
