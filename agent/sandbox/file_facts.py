"""Read what tells whether a file is as it was: its content, or facts that no program can set; runs and loads none."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_MAX_BYTES = 64 * 1024 * 1024
_MAX_ENTRIES = 400_000
"""Of an environment; 38,000 files take 0.3 s on the machine where this was written."""
_NOT_LOADED = frozenset({"__pycache__", ".lock"})
"""Servers are started so that Python reads no bytecode; uv locks an environment at each start."""


def content_of(path: Path, most_bytes: int) -> bytes | None:
    """Return the beginning of a regular file, with its size if it is longer. None for anything else."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    with os.fdopen(opened, "rb") as file:
        facts = os.fstat(opened)
        if not stat.S_ISREG(facts.st_mode):
            return None
        content = file.read(most_bytes)
    return content if facts.st_size <= most_bytes else content + str(facts.st_size).encode()


def checksum_of(path: Path) -> str:
    """Return the checksum of a file; empty for one that is not there, or not a regular file."""
    content = content_of(path, _MAX_BYTES)
    return "" if content is None else hashlib.sha256(content).hexdigest()


def facts_of(path: Path) -> tuple[int, ...]:
    """Return what a change of a file, or of what leads to it, makes different. Empty if it is not there.

    Programs can set the time of the last change of the content, but not that of the inode.
    """
    with suppress(OSError):
        here, there = path.lstat(), path.stat()
        return _facts(here) if stat.S_ISREG(here.st_mode) else (*_facts(here), *_facts(there))
    return ()


def changed_ns(path: Path) -> int:
    """Return when a file, or a link that is its name, was last changed, by the time that no program can set.

    Of a file in an archive, the time of the archive; 0 if it is not there.
    """
    for place in (path, *path.parents):
        try:
            return max(place.lstat().st_ctime_ns, place.stat().st_ctime_ns)
        except NotADirectoryError:
            continue
        except OSError:
            break
    return 0


def facts_below(folder: Path, within: Sequence[Path] = ()) -> Mapping[str, tuple[int, ...]]:
    """Return the facts of all files below a folder, by path; a symlink to a folder is followed, once.

    Args:
        folder: one that is a symlink is followed too.
        within: a symlink that leads out of these has only its own facts: nothing there is listed. The folder in which
            `folder` lies if there are none.
    """
    roots = [os.path.realpath(root) for root in within or [folder.parent]]
    if not _is_below(os.path.realpath(folder), roots):
        return {str(folder): facts for facts in _own_facts(folder)}
    found: dict[str, tuple[int, ...]] = {}
    seen, left = {os.path.realpath(folder)}, [str(folder)]
    while left and len(found) < _MAX_ENTRIES:
        for entry in _entries(left.pop()):
            if entry.name in _NOT_LOADED:
                continue
            with suppress(OSError):  # it was removed meanwhile
                real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                if entry.is_symlink() and not _is_below(real, roots):
                    found[entry.path] = _facts(entry.stat(follow_symlinks=False))
                    continue
                if not entry.is_dir():
                    found[entry.path] = facts_of(Path(entry.path)) if entry.is_symlink() else _facts(entry.stat())
                    continue
                if entry.is_symlink():
                    found[entry.path] = _facts(entry.stat(follow_symlinks=False))
                if real not in seen:
                    seen.add(real)
                    left.append(entry.path)
    return found


def _is_below(real: str, roots: Iterable[str]) -> bool:
    return any(Path(real).is_relative_to(root) for root in roots)


def _own_facts(path: Path) -> Iterator[tuple[int, ...]]:
    with suppress(OSError):
        yield _facts(path.lstat())


def digest_below(folder: Path) -> str:
    """Return a checksum of the facts of all files below a folder; empty if there are none."""
    found = facts_below(folder)
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest() if found else ""


def checksums(paths: Iterable[Path]) -> Mapping[str, str]:
    """Return the checksum of each file by its path, and of the facts of all below each folder."""
    return {str(path): digest_below(path) if path.is_dir() else checksum_of(path) for path in paths}


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries


def _facts(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_ino, facts.st_size, facts.st_ctime_ns)
