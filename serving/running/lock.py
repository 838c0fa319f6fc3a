"""Hold the right to have the one recorded server of this user, and clear away what a killed one has left."""

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
    """Hold the right to have the one recorded server, and clear away what a killed one has left.

    Args:
        state: the folder of the record; made if need be.

    Yields:
        How many processes were left and have been ended; they carried the mark of the recorded server.

    Raises:
        EngineError: a server runs here, or is being started, or the folder cannot be written.
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
        yield _clear(state)
    # The kernel drops the lock with the file, also when we are killed.


def _clear(state: Path) -> int:
    dead = read_record(state)
    if dead is None:
        return 0
    ended = end_marked(dead.mark) if find_orphans(dead) else 0
    forget_record(dead, state)
    return ended


def _refuse(running: ServerRecord | None) -> NoReturn:
    if running is None:
        raise EngineError(
            "A server is being started here already.",
            cause="",
            do="Wait for it, or end it: agent serve stop.",
        )
    process = running.pid or running.supervisor_pid
    raise EngineError(
        f"A server runs here already: {running.model!r} at {running.base_url}, process {process}, {running.state}.",
        cause="",
        do="Use that one, or end it first: agent serve stop.",
    )
