"""Lock the user's single server record, and stop processes left by a server that was killed."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ..directories import writing_to
from ..errors import EngineError
from .marks import end_marked
from .record import ServerRecord, current_server, find_orphans, forget_record, read_record


@contextmanager
def exclusive_server(state: Path) -> Generator[int]:
    """Lock the server record for a block, and stop processes left by a server that was killed.

    Args:
        state: the folder of the record; created if missing.

    Yields:
        The number of leftover processes that were stopped; they carried the recorded server's mark.

    Raises:
        EngineError: a server is running or starting here, or the folder is not writable.
    """
    with writing_to(state):
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / "server.lock").open("w", encoding="utf-8")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _refuse(current_server(state))
        running = current_server(state)
        if running is not None:
            _refuse(running)
        yield _stop_leftovers(state)
    # The kernel releases the lock when the file is closed, even if this process is killed.


def _stop_leftovers(state: Path) -> int:
    dead = read_record(state)
    if dead is None:
        return 0
    ended = end_marked(dead.mark) if find_orphans(dead) else 0
    forget_record(dead, state)
    return ended


def _refuse(running: ServerRecord | None) -> NoReturn:
    if running is None:
        raise EngineError(
            "A server is already starting here.",
            cause="",
            do="Wait for it, or stop it: agent serve stop.",
        )
    process = running.pid or running.supervisor_pid
    raise EngineError(
        f"A server is already running here: {running.model!r} at {running.base_url}, process {process}, "
        f"{running.state}.",
        cause="",
        do="Use it, or stop it first: agent serve stop.",
    )
