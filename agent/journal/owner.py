"""Record which process runs a run, for the error of a second one; decides nothing, the lock of the journal does."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

OWNER_NAME = "owner.json"


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
    try:
        owner = json.loads((folder / OWNER_NAME).read_text())
        pid, host, since = int(owner["pid"]), str(owner["host"]), str(owner["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"Run {folder.name!r} is running in another process. Wait for it to end, or stop it first."
    if host != socket.gethostname():
        where, stop = f"another process, pid {pid} on {host!r}", "stop it there first"
    elif pid == os.getpid():
        where, stop = "this process", "stop it first"
    else:
        where, stop = f"another process, pid {pid} on this machine ({host!r})", f"stop it first with `kill {pid}`"
    return f"Run {folder.name!r} is running in {where}, since {since}. Wait for it to end, or {stop}."
