"""Take set-user-ID and set-group-ID from files that a run left: whoever starts such a file runs as its owner."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

from ..names import listed
from .placing import clear_set_ids, make_accessible
from .tree import walk


def without_set_ids(place: Path, *, since_ns: int) -> str:
    """Take the bits from files that got them since a moment, and return a sentence about these. Empty if none did.

    Call it when no command of the run is alive.

    Args:
        place: the folder.
        since_ns: start of the run, in nanoseconds since 1970; older files keep the bits.
    """
    taken: list[str] = []
    for path, entry in walk(place, protected=frozenset(), unreadable=[]):
        with suppress(OSError):
            if entry.kind == "folder" and entry.mode & stat.S_IRWXU != stat.S_IRWXU:
                make_accessible(place, path)  # others may reach a file in it, though its owner cannot list it
            has_one = entry.kind == "file" and entry.mode & (stat.S_ISUID | stat.S_ISGID)
            if has_one and clear_set_ids(place, path, since_ns=since_ns):
                taken.append(str(place / path))
    if not taken:
        return ""
    return (
        "The run left files that run as their owner, whoever starts them (set-user-ID or set-group-ID): "
        f"{listed(taken)}. That permission was taken away."
    )
