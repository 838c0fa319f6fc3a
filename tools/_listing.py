"""List a folder of the workspace without following symlinks; raise the system's own errors."""

from __future__ import annotations

import itertools
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent import open_beneath

# Read at most this many names of a folder, so that a million small files cannot fill the memory.
MAX_NAMES = 20_000

NEVER_WALKED = frozenset({".git", ".agent"})
"""Folders that are left out unless the path given is in them: git's, and the framework's, with kept outputs."""

EntryKind = Literal["file", "folder", "link", "other"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a folder."""

    name: str
    kind: EntryKind
    size_bytes: int
    """Size of a file; 0 for the other kinds."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The contents of a folder."""

    entries: tuple[Entry, ...]
    """Sorted by name."""
    complete: bool
    """False if the folder has more than `MAX_NAMES` entries."""


def scan(workspace: Path, relative: str) -> Listing:
    """Return the entries of a folder.

    Raises:
        OSError: it does not exist, leads out of the workspace, or cannot be read.
    """
    descriptor = open_beneath(workspace, relative, os.O_RDONLY | os.O_DIRECTORY, follow=True)
    try:
        with os.scandir(descriptor) as items:
            entries = [_entry(item) for item in itertools.islice(items, MAX_NAMES)]
            complete = next(items, None) is None
    finally:
        os.close(descriptor)
    return Listing(entries=tuple(sorted(entries, key=lambda entry: entry.name)), complete=complete)


def _entry(item: os.DirEntry[str]) -> Entry:
    try:
        if item.is_symlink():
            return Entry(name=item.name, kind="link", size_bytes=0)
        if item.is_dir(follow_symlinks=False):
            return Entry(name=item.name, kind="folder", size_bytes=0)
        status = item.stat(follow_symlinks=False)
    except OSError:  # removed in the meantime
        return Entry(name=item.name, kind="other", size_bytes=0)
    kind: EntryKind = "file" if stat.S_ISREG(status.st_mode) else "other"
    return Entry(name=item.name, kind=kind, size_bytes=status.st_size if kind == "file" else 0)
