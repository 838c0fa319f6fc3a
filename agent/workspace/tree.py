"""List and compare folder trees without following symlinks; changes nothing."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ..sandbox.beneath import MAX_PATH_BYTES, open_beneath, open_regular, opened_parent
from .gitignore import GitIgnore

EntryKind = Literal["file", "folder", "link"]

_MAX_DEPTH = 100
_CHUNK_BYTES = 1024 * 1024
MAX_FILE_BYTES = 64 * 1024 * 1024
"""For a larger file, a snapshot holds a sparse placeholder with the same size and time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry of a tree; sockets, pipes and devices are not listed."""

    kind: EntryKind
    mode: int
    """Permission bits."""
    mtime_ns: int
    size_bytes: int
    """0 unless it is a file."""
    target: str = ""
    """Target of a symlink, as written in it."""


def folders_below(top: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder of a tree with the names of its folders and of what else is in it, as os.walk does.

    Symlinks are not followed, and are no folders; what cannot be listed or is nested too deep is left out. The caller
    may remove names from the list of folders.
    """
    pending = [(top, 0)]
    while pending:
        place, depth = pending.pop()
        try:
            with os.scandir(place) as items:
                entries = sorted((item.name, item.is_dir(follow_symlinks=False)) for item in items)
        except OSError:
            continue
        below = [name for name, is_folder in entries if is_folder]
        yield place, below, [name for name, is_folder in entries if not is_folder]
        if depth < _MAX_DEPTH:
            pending += [(place / name, depth + 1) for name in reversed(below)]


def walk(
    root: Path, *, protected: frozenset[str], rules: GitIgnore | None = None, unreadable: list[str] | None = None
) -> Iterator[tuple[str, Entry]]:  # fmt: skip
    """Yield the entries of a tree by path relative to its root; a folder comes before its contents.

    No symlink is followed, even if a running command puts one in the place of a folder. What lies so deep that its path
    is longer than `MAX_PATH_BYTES` is left out: no program can open it by its path.

    Args:
        root: top folder of the tree.
        protected: names to skip.
        rules: folders that they ignore are skipped too.
        unreadable: gets the path of each folder that cannot be listed; without it, the first one is an error.

    Raises:
        OSError: a folder cannot be listed.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            opened = open_beneath(root, folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            if unreadable is None:
                raise
            unreadable.append(folder)
            continue
        try:
            with os.scandir(opened) as items:
                names = sorted(item.name for item in items if item.name not in protected)
            entries = [(name, _read_entry(name, opened)) for name in names]
        finally:
            os.close(opened)
        for name, entry in entries:
            if entry is None:
                continue
            path = f"{folder}/{name}" if folder else name
            if len(os.fsencode(path)) > MAX_PATH_BYTES:
                continue
            if entry.kind == "folder":
                if rules is not None and rules.names(path, is_folder=True):
                    continue
                folders.append(path)
            yield path, entry


def scan(root: Path, *, protected: frozenset[str], rules: GitIgnore | None = None) -> Mapping[str, Entry]:
    """Return all entries that `walk` yields."""
    return dict(walk(root, protected=protected, rules=rules))


def entry_below(root: Path, path: str) -> Entry | None:
    """Return the entry of a path of a tree. None if it is not there, or a folder on the way is a symlink.

    Raises:
        OSError: a folder on the way cannot be opened.
    """
    try:
        with opened_parent(root, path) as (folder, name):
            return _read_entry(name, folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def same_content(path: str, one: Path, other: Path) -> bool:
    """Return whether a file has the same bytes in two trees; times and modes are not compared.

    Raises:
        OSError: one of them is not a regular file, or cannot be read.
    """
    with open_regular(one, path) as left, open_regular(other, path) as right:
        return same_bytes(left, right)


def same_bytes(left: BinaryIO, right: BinaryIO) -> bool:
    """Return whether the rest of two files is the same."""
    while True:
        mine = left.read(_CHUNK_BYTES)
        if mine != right.read(_CHUNK_BYTES):
            return False
        if not mine:
            return True


def is_large(entry: Entry) -> bool:
    """Return whether a snapshot holds only a placeholder for it."""
    return entry.size_bytes > MAX_FILE_BYTES


def looks_same(old: Entry, new: Entry | None) -> bool:
    """Return whether size and time are the same; for files whose content was not copied."""
    return new is not None and (old.size_bytes, old.mtime_ns) == (new.size_bytes, new.mtime_ns)


def _read_entry(name: str, folder: int) -> Entry | None:
    """Return the entry of a name in an open folder. None if nothing is there, or something that is not listed."""
    try:
        facts = os.lstat(name, dir_fd=folder)
        kind = _kind(facts.st_mode)
        if kind is None:
            return None
        return Entry(
            kind=kind,
            mode=stat.S_IMODE(facts.st_mode),
            mtime_ns=facts.st_mtime_ns,
            size_bytes=facts.st_size if kind == "file" else 0,
            target=os.readlink(name, dir_fd=folder) if kind == "link" else "",
        )
    except FileNotFoundError:
        return None


def _kind(mode: int) -> EntryKind | None:
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else None
