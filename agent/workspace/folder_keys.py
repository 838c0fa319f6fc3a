"""Turn paths of folders into parts of file names, so that a listing shows which of them may overlap."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

_PARTS = 20
"""How many are in a key; deeper folders count as overlapping if these are equal."""


def folder_key(folder: Path) -> str:
    """Return the key of an absolute path: a checksum of each part, from the top."""
    return "".join(f"{zlib.crc32(os.fsencode(part)):08x}" for part in folder.parts[1 : _PARTS + 1])


def may_overlap(key: str, other: str) -> bool:
    """Return whether one folder may be the other or contain it; False means that neither does."""
    return key.startswith(other) or other.startswith(key)


def overlap(folder: Path, other: Path) -> bool:
    """Return whether one folder is the other or contains it."""
    return folder.is_relative_to(other) or other.is_relative_to(folder)
