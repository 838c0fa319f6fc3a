"""Record which process runs a run, for the error of a second one; decides nothing, the lock of the journal does."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

OWNER_NAME = "owner.json"
# A process writes its name after it has the lock; on a busy machine another one may ask in between.
_WAIT_S = 1.0


def record_owner(folder: Path) -> None:
    """Write this process into the run's folder. A folder that cannot be written to keeps no owner."""
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}
    with suppress(OSError):
        (folder / OWNER_NAME).write_text(json.dumps(owner))


def forget_owner(folder: Path) -> None:
    """Remove the owner, so that the next one is never taken for this process. A killed process leaves it behind."""
    with suppress(OSError):
        (folder / OWNER_NAME).unlink()


def running_message(folder: Path) -> str:
    """Return the error for a run that cannot be resumed because its journal is locked."""
    owner = _living_owner(folder)
    if owner is None:
        return f"Run {folder.name!r} is running in another process. Wait for it to end, or stop it first."
    pid, host, since = owner
    if host != socket.gethostname():
        where, stop = f"another process, pid {pid} on {host!r}", "stop it there first"
    elif pid == os.getpid():
        where, stop = "this process", "stop it first"
    else:
        where, stop = f"another process, pid {pid} on this machine ({host!r})", f"stop it first with `kill {pid}`"
    return f"Run {folder.name!r} is running in {where}, since {since}. Wait for it to end, or {stop}."


def _living_owner(folder: Path) -> tuple[int, str, str] | None:
    """Return pid, host and start of the owner, waiting for it to be written; none if it is not, or names a dead one."""
    until = time.monotonic() + _WAIT_S
    while True:
        with suppress(OSError, ValueError, KeyError, TypeError):
            owner = json.loads((folder / OWNER_NAME).read_text())
            pid, host, since = int(owner["pid"]), str(owner["host"]), str(owner["since"])
            if host != socket.gethostname() or _is_alive(pid):
                return pid, host, since
        if time.monotonic() > until:
            return None
        threading.Event().wait(0.02)


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
