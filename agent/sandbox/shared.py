"""What the commands of one run share: the folder that they have as /tmp and home, and a loopback network."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from . import namespaces
from .removal import remove_tree
from .repositories import git_paths
from .rules import TMP, Temporary

_DISK = Path("/", "var", "tmp")
_FOLDER = "tmp"


class Shared:
    """Made when the first command needs it; `aclose` removes it once all commands have ended."""

    def __init__(self, name: str = "") -> None:
        """Prepare for a run.

        Args:
            name: of the run; if the run was killed and is resumed, its folder is found again. Empty: a random name.
        """
        self._name = name
        self._lock = threading.Lock()  # sync tools run in threads, several at a time
        self._base: Path | None = None
        self._temporary: Temporary | None = None
        self._connects = False
        self._git_paths: dict[tuple[Path, ...], Sequence[Path]] = {}
        self._network: namespaces.Network | None = None

    def temporary(self, *, fixed: Iterable[Path], needed: Iterable[Path]) -> Temporary | None:
        """Return the folder that a command has as /tmp. None if it cannot have it, because of what it needs there.

        Args:
            fixed: paths of this machine that every command of the run reaches.
            needed: paths that this command reaches.

        Raises:
            OSError: the folder could not be made.
        """
        with self._lock:
            if self._temporary is None:
                covered = _names_in_tmp([*fixed, self._made()])
                if "" in covered:
                    return None  # the whole /tmp of the machine was allowed
                self._temporary = Temporary(folder=self._made() / _FOLDER, covered=covered)
                _make_covered(self._temporary)
        # A name that only this command needs is free for the others: they could put a symlink there at any moment.
        return self._temporary if _names_in_tmp(needed) <= self._temporary.covered else None

    def git_paths(self, roots: tuple[Path, ...]) -> Sequence[Path]:
        """Return what belongs to git in folders that commands may change, as it was at the first command there."""
        with self._lock:
            if roots not in self._git_paths:
                self._git_paths[roots] = git_paths(roots)
            return self._git_paths[roots]

    def folder(self) -> Path:
        """Return the folder for commands that can reach it by its own path.

        Raises:
            OSError: the folder could not be made.
        """
        with self._lock:
            return self._made() / _FOLDER

    def connect(self) -> None:
        """Start the commands from now on in one network, so that they reach each other's ports on localhost."""
        self._connects = True

    def network(self, untrusted: Iterable[Path] = ()) -> namespaces.Network | None:
        """Return the network of the run. None if each command has its own: before `connect`, or where it has to.

        Args:
            untrusted: absolute folders whose programs must not be started outside the sandbox.

        Raises:
            OSError: it could not be made.
        """
        if not self._connects or not namespaces.can_enter():
            return None
        with self._lock:
            if self._network is not None and not self._network.can_be_entered:
                self._close_network()
            if self._network is None:
                self._network = namespaces.Network(untrusted=untrusted)
            return self._network

    def private_folder(self) -> AbstractContextManager[Path]:
        """Create a folder as `private_folder` does, beside that of the commands.

        Raises:
            OSError: it could not be made.
        """
        with self._lock:
            return private_folder(self._made())

    async def aclose(self) -> None:
        """Remove the folder and the network."""
        with self._lock:
            base, self._base, self._temporary = self._base, None, None
            self._close_network()
        if base is not None:
            await asyncio.to_thread(remove_tree, base)

    def _close_network(self) -> None:
        if self._network is not None:
            self._network.close()
            self._network = None

    def _made(self) -> Path:
        if self._base is None:
            self._base = _make_base(self._name)
            with suppress(FileExistsError):  # of a killed run, whose commands may have put symlinks there
                (self._base / _FOLDER).mkdir(mode=0o700)
                if self._name:
                    _ignore_caches(self._base / _FOLDER)
        return self._base


@contextmanager
def private_folder(parent: Path | None = None) -> Generator[Path]:
    """Create a folder that commands reach only if it is passed to them; remove it at the end.

    Args:
        parent: the folder that it is made in. None means the machine's temporary folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="tool-", dir=parent))
    try:
        yield folder
    finally:
        remove_tree(folder)


def _make_base(name: str) -> Path:
    """Create the folder of a run, for its user alone, or return the one that a killed run left."""
    chosen = Path(tempfile.gettempdir())
    # /tmp is in memory on many machines, and what lies there is in the way of a command's own /tmp.
    place = _DISK if chosen == TMP and os.access(_DISK, os.W_OK) else chosen
    prefix = "tramontane-"
    if name:
        folder = place / f"{prefix}{name}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
            return folder
        # Another user has taken the name.
    return Path(tempfile.mkdtemp(prefix=prefix, dir=place))


def _ignore_caches(home: Path) -> None:
    """Make git ignore, in a project without a .gitignore, what Python's tools write there."""
    # To write no bytecode, or to write it elsewhere, is slower (boltons 24.0, Python 3.11): a test run takes 35 % more
    # CPU time without it; a run with its own PYTHONPYCACHEPREFIX compiles all that is installed again, in 1.9 s.
    ignored = home / ".config" / "git" / "ignore"
    ignored.parent.mkdir(parents=True)
    ignored.write_text("__pycache__/\n.hypothesis/\n")


def _make_covered(temporary: Temporary) -> None:
    for name in temporary.covered:
        path = temporary.folder / name
        if path.is_symlink() or not path.is_dir():  # left by a killed run, which had no use for the name
            path.unlink(missing_ok=True)
            path.mkdir()


def _names_in_tmp(paths: Iterable[Path]) -> frozenset[str]:
    """Return the names in /tmp at or below which the paths lie; an empty name stands for /tmp itself."""
    inside = (Path(os.path.normpath(path)) for path in paths)
    parts = (path.relative_to(TMP).parts for path in inside if path.is_relative_to(TMP))
    return frozenset(part[0] if part else "" for part in parts)
