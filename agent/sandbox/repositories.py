"""Find the git repositories in a folder, whose settings and hooks anyone who uses git there runs; reads no content."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .programs import links_to

MAX_ENTRIES = 400_000
"""Listed at most, nearest to the top first; 60,000 take 0.1 s on the machine where this was written."""
_MAX_ENTRIES_QUICKLY = 60_000
_MAX_POINTER_BYTES = 4096
_POINTER = b"gitdir: "
_BARE_NAMES = ("HEAD", "commondir", "objects", "refs")
_BARE_FILES = ("config", "config.worktree", "commondir", "hooks")


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A folder that git takes for a repository or for a checkout of one."""

    path: Path
    """Absolute; the folder that holds `.git`, or the bare repository itself."""
    kind: Literal["folder", "file", "link", "bare"]
    """What its `.git` is; `bare` if it has none."""

    def git_folder(self) -> Path:
        """Return the folder of its settings, which need not exist; for a file or link, what it leads to."""
        git = self.path / ".git"
        if self.kind == "bare":
            return self.path
        if self.kind == "file":
            return Path(os.path.realpath(self.path / _pointed(git)))
        return Path(os.path.realpath(git)) if self.kind == "link" else git  # `resolve` fails at a link to itself


class Search:
    """The repositories in a folder, those nearest to the top first; symlinks are not followed."""

    def __init__(self, root: Path, *, quick: bool = False) -> None:
        """Prepare it; iterate over it to search.

        Args:
            root: the folder.
            quick: whether to look at fewer files, for a search after each call.
        """
        self._root, self._most = root, _MAX_ENTRIES_QUICKLY if quick else MAX_ENTRIES
        self.is_whole = True
        """False once something was not looked at, because there are too many files."""

    def __iter__(self) -> Iterator[Repository]:
        """Search, and yield each."""
        folders, listed = [self._root], 0
        while folders:
            below: list[Path] = []
            for folder in folders:
                # Beyond the limit, and in a folder that cannot be listed, git's own names are looked up.
                entries = _entries(folder) if listed < self._most else None
                if entries is None or ".git" in entries or "HEAD" in entries:
                    yield from _repositories_at(folder)
                if entries is not None:
                    listed += len(entries)
                    below += [Path(item) for item in entries.values() if item.name != ".git" and _is_folder(item)]
                elif listed >= self._most:
                    self.is_whole = False
            folders = below


def git_paths(roots: Iterable[Path]) -> tuple[Path, ...]:
    """Return the paths in folders that commands may change but that belong to git there, and must stay as they are."""
    found: dict[Path, None] = {}
    for root in (root for root in roots if root.is_dir()):
        top = root.resolve()
        for repository in Search(root):
            git = repository.git_folder()
            if repository.kind in {"folder", "file"}:
                found[repository.path / ".git"] = None
            if repository.kind == "bare":
                found |= dict.fromkeys(git / name for name in _BARE_FILES if (git / name).exists())
            elif repository.kind != "folder" and git != top and git.is_relative_to(top) and git.exists():
                found[git] = None
    return tuple(path for path in found if not path.is_symlink())


def _entries(folder: Path) -> Mapping[str, os.DirEntry[str]] | None:
    """Return what is in a folder, by name. None if it cannot be listed."""
    try:
        with os.scandir(folder) as items:
            return {item.name: item for item in items}
    except OSError:
        return None


def _repositories_at(folder: Path) -> Iterator[Repository]:
    """Yield what git takes a folder for; it may be a repository of both kinds."""
    try:
        mode = os.lstat(folder / ".git").st_mode
        yield Repository(path=folder, kind="link" if stat.S_ISLNK(mode) else "folder" if stat.S_ISDIR(mode) else "file")
    except OSError:
        pass
    # As git does, which looks for objects and refs where commondir leads.
    has = {name for name in _BARE_NAMES if os.path.lexists(folder / name)}
    if "HEAD" in has and ("commondir" in has or has >= {"objects", "refs"}):
        yield Repository(path=folder, kind="bare")


def _pointed(path: Path) -> str:
    """Return where a `.git` file leads, as git reads it: blanks and line ends inside belong to the path.

    If it is not such a file, its own name is returned.
    """
    data = _beginning(path)
    if data is None or not data.startswith(_POINTER):
        return path.name
    return os.fsdecode(data.rstrip(b"\r\n").partition(b"\0")[0].removeprefix(_POINTER))


def _beginning(path: Path) -> bytes | None:
    """Return the beginning of a regular file. None for anything else, such as a pipe, which would block."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return None
        return file.read(_MAX_POINTER_BYTES)


def real_paths(paths: Iterable[Path], roots: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths that exist and lead through no symlink in one of the folders: a command may have put it there."""
    tops = [root.resolve() for root in roots]
    for path in paths:
        steps = links_to(path)
        if steps is not None and not any(step.is_relative_to(top) for step in steps[:-1] for top in tops):
            yield path


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir(follow_symlinks=False)
    except OSError:
        return False
