"""Find and end the processes of one engine by a mark in their environment; a process without it is never touched.

A process number alone proves nothing: the engine's first process may be gone and its workers may live on (vLLM's do,
when their leader is killed with SIGKILL), and a number is given anew. Workers inherit the mark, whatever happened to
those who started them.
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
    """Make a mark that no other engine has or had."""
    return secrets.token_hex(16)


def mark_environment(mark: str) -> dict[str, str]:
    """List the variables that mark an engine's process and all that it starts."""
    # vLLM names its workers with setproctitle, which writes the title over the environment that /proc shows, unless it
    # is told not to. Measured with setproctitle 1.3.8: without SPT_NOENV the mark is lost, with it it stays.
    return {VARIABLE: mark, "SPT_NOENV": "1"}


def marked(mark: str) -> tuple[ProcessId, ...]:
    """List the living processes that carry the mark; empty where there is no /proc."""
    wanted = f"{VARIABLE}={mark}".encode()
    return tuple(
        process
        for folder in Path("/proc").glob("[0-9]*")
        if wanted in _environment(folder) and (process := identify(int(folder.name))) is not None
    )


def end_marked(mark: str, *, term_s: float = _TERM_S) -> int:
    """End all that carry the mark: asked first, forced after the deadline.

    Args:
        mark: of one engine.
        term_s: how long they may take to end by themselves, seconds.

    Returns:
        How many there were.
    """
    found = marked(mark)
    for number, deadline_s in ((signal.SIGTERM, term_s), (signal.SIGKILL, _KILL_S)):
        _end(marked(mark), number, deadline_s)
    return len(found)


def _end(processes: tuple[ProcessId, ...], number: signal.Signals, deadline_s: float) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
    until = time.monotonic() + deadline_s
    while any(is_alive(process) for process in processes) and time.monotonic() < until:
        time.sleep(_POLL_S)  # Not our children: there is nothing that could be waited for.


def _environment(folder: Path) -> list[bytes]:
    # The process may end while we look, and those of other users cannot be read.
    with contextlib.suppress(OSError):
        return (folder / "environ").read_bytes().split(b"\0")
    return []
