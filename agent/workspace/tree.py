"""List, copy and compare folder trees without following symlinks; skips entries with a protected name."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from .gitignore import GitIgnore

EntryKind = Literal["file", "folder", "link"]

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


def walk(root: Path, *, protected: frozenset[str], rules: GitIgnore | None = None) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of a tree by path relative to its root; a folder comes before its contents.

    No symlink is followed, even if a running command puts one in the place of a folder.

    Args:
        root: top folder of the tree.
        protected: names to skip.
        rules: folders that they ignore are skipped too.

    Raises:
        OSError: a folder cannot be listed.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        opened = _open_folder(root, folder)
        try:
            with os.scandir(opened) as items:
                names = sorted(item.name for item in items if item.name not in protected)
            entries = [(name, read_entry(Path(name), folder=opened)) for name in names]
        finally:
            os.close(opened)
        for name, entry in entries:
            if entry is None:
                continue
            path = f"{folder}/{name}" if folder else name
            if entry.kind == "folder":
                if rules is not None and rules.names(path, is_folder=True):
                    continue
                folders.append(path)
            yield path, entry


def scan(root: Path, *, protected: frozenset[str], rules: GitIgnore | None = None) -> Mapping[str, Entry]:
    """Return all entries that `walk` yields."""
    return dict(walk(root, protected=protected, rules=rules))


def read_entry(path: Path, *, folder: int | None = None) -> Entry | None:
    """Return the entry of one path. None if nothing is there, or something that is not listed.

    `folder` is the descriptor of the folder that a relative path starts in; None means the current folder.
    """
    try:
        facts = os.lstat(path, dir_fd=folder)
        kind = _kind(facts.st_mode)
        if kind is None:
            return None
        return Entry(
            kind=kind,
            mode=stat.S_IMODE(facts.st_mode),
            mtime_ns=facts.st_mtime_ns,
            size_bytes=facts.st_size if kind == "file" else 0,
            target=os.readlink(path, dir_fd=folder) if kind == "link" else "",
        )
    except FileNotFoundError:
        return None


def _kind(mode: int) -> EntryKind | None:
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else None


def open_file(root: Path, path: str) -> BinaryIO:
    """Open a file of a tree for reading; no part of `path` may be a symlink.

    Raises:
        OSError: it is not a regular file, or cannot be read.
    """
    folder, _, name = path.rpartition("/")
    opened = _open_folder(root, folder)
    try:
        # O_NONBLOCK: opening a pipe would wait for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened)
    finally:
        os.close(opened)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.fdopen(descriptor, "rb")


def _open_folder(root: Path, path: str) -> int:
    """Open a folder of a tree and return its descriptor; no part of `path` may be a symlink."""
    opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in filter(None, path.split("/")):
        above = opened
        try:
            opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        finally:
            os.close(above)
    return opened


def same_content(one: Path, other: Path) -> bool:
    """Return whether two files have the same bytes; times and modes are not compared."""
    with one.open("rb") as left, other.open("rb") as right:
        return same_bytes(left, right)


def same_bytes(left: BinaryIO, right: BinaryIO) -> bool:
    """Return whether the rest of two files is the same."""
    while True:
        mine = left.read(_CHUNK_BYTES)
        if mine != right.read(_CHUNK_BYTES):
            return False
        if not mine:
            return True


def place_file(source: Path, target: Path) -> None:
    """Replace a file or symlink by a copy of another, with mode and time; after a crash it is the old or the new one.

    Raises:
        OSError: the copy could not be made, or the target is a folder.
    """
    # Unguessable, so that nothing can be planted under that name; the next restore removes what a crash leaves.
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        shutil.copy2(source, partial, follow_symlinks=False)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def share_file(known: Path, source: Path, target: Path, entry: Entry) -> bool:
    """Hard-link `known` at `target` if it equals `source`; return whether it did.

    Args:
        known: a file that is never written to.
        source: the file to copy.
        target: path of the link; nothing is there yet.
        entry: the entry of the source.

    Raises:
        OSError: a file cannot be read.
    """
    if entry.kind != "file" or read_entry(known) != entry or not same_content(known, source):
        return False
    try:
        target.hardlink_to(known)
    except OSError:  # another file system, or one without hard links
        return False
    return True


def set_metadata(path: Path, entry: Entry) -> None:
    """Give a file or folder the mode and time of an entry, where they differ."""
    found = path.lstat()
    if stat.S_IMODE(found.st_mode) != entry.mode:
        path.chmod(entry.mode)
    if found.st_mtime_ns != entry.mtime_ns:
        os.utime(path, ns=(found.st_atime_ns, entry.mtime_ns))


def remove(path: Path, *, protected: frozenset[str]) -> bool:
    """Remove a file, symlink or folder tree; return False if protected names, and the folders they are in, remain.

    Raises:
        OSError: it could not be removed.
    """
    if not stat.S_ISDIR(path.lstat().st_mode):
        path.unlink()
        return True
    make_accessible(path)
    empty = True
    for child in sorted(path.iterdir()):
        empty = (child.name not in protected and remove(child, protected=protected)) and empty
    if empty:
        path.rmdir()
    return empty


def make_accessible(folder: Path) -> int | None:
    """Give the owner full access to a folder; return its previous mode, or None if nothing had to change."""
    mode = stat.S_IMODE(folder.lstat().st_mode)
    if mode & stat.S_IRWXU == stat.S_IRWXU:
        return None
    folder.chmod(mode | stat.S_IRWXU)
    return mode


def restore_path(root: Path, path: str, wanted: Entry, found: Entry | None, source: Path) -> bool:
    """Restore one path from the tree `source`; return whether anything changed."""
    target = root / path
    if found is None or found.kind != wanted.kind:
        if wanted.kind != "folder":
            place_file(source / path, target)
        else:
            if os.path.lexists(target):  # a pipe, socket or device, which `scan` does not list
                target.unlink()
            target.mkdir()
        return True
    if wanted.kind == "folder":
        return found.mode != wanted.mode
    if wanted.kind == "link":
        same = found.target == wanted.target
    else:
        same = found.size_bytes == wanted.size_bytes and same_content(source / path, target)
    if not same:
        place_file(source / path, target)
        return True
    if wanted.kind == "link" or (found.mode, found.mtime_ns) == (wanted.mode, wanted.mtime_ns):
        return False
    set_metadata(target, wanted)
    return True


def is_large(entry: Entry) -> bool:
    """Return whether a snapshot holds only a placeholder for it."""
    return entry.size_bytes > MAX_FILE_BYTES


def looks_same(old: Entry, new: Entry | None) -> bool:
    """Return whether size and time are the same; for files whose content was not copied."""
    return new is not None and (old.size_bytes, old.mtime_ns) == (new.size_bytes, new.mtime_ns)
