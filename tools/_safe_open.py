"""Open files below a folder without ever leaving it, even in a race; raise Outside if a path or symlink leads out."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# The kernel's own limit on the symlinks of one path (path_resolution(7), read 2026-11).
MAX_LINKS = 40

_SYS_OPENAT2 = 437  # the same on every architecture: numbers from 424 on are shared (Linux 5.6, openat2(2))
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
# Folders on the way are only traversed: O_PATH, where the system has it, needs only search permission.
_TRAVERSE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Outside(OSError):
    """Raised when a path leads out of the folder."""

    def __init__(self, link: str | None) -> None:
        super().__init__(errno.EXDEV, "leads outside")
        self.link = link
        """The symlink at fault, relative to the folder. None means that the path itself leads out."""


class NotRegular(OSError):
    """Raised when a path is a FIFO, a device, a folder or another thing that is not a regular file."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "is not a regular file")


class Protected(OSError):
    """Raised on an attempt to write into `.git`."""

    def __init__(self) -> None:
        super().__init__(errno.EPERM, "is in .git")


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a path ends after all symlinks are followed: an open folder and a name in it."""

    folder: int
    """File descriptor of the folder; the caller closes it."""
    name: str
    """The last part, not a symlink when it was checked; `.` for the folder itself."""


def open_beneath(root: Path, relative: str, flags: int) -> int:
    """Open `relative` below `root` and return the descriptor; symlinks are followed as long as they stay inside.

    Raises:
        Outside: the path or one of its symlinks leads out.
        OSError: any other error of the system.
    """
    flags |= os.O_CLOEXEC
    top = os.open(root, _ROOT)
    try:
        return _openat2(top, relative, flags)
    except OSError as error:
        # ENOSYS: the kernel lacks the call. EPERM: a seccomp filter blocks it. EXDEV is also returned for an
        # absolute symlink that stays inside, and EAGAIN for a concurrent rename: the walk decides those.
        if error.errno not in {errno.ENOSYS, errno.EPERM, errno.EXDEV, errno.EAGAIN}:
            raise
    finally:
        os.close(top)
    spot = find_beneath(root, relative)
    try:
        return os.open(spot.name, flags | os.O_NOFOLLOW, dir_fd=spot.folder)
    finally:
        os.close(spot.folder)


def open_regular(root: Path, relative: str) -> BinaryIO:
    """Open a regular file below `root` for reading; unlike `open_beneath`, follow no symlink as the last part.

    Raises:
        NotRegular: it is something else.
        OSError: any other error of the system; ELOOP for a symlink.
    """
    # O_NONBLOCK: opening a FIFO without a writer would block.
    descriptor = open_beneath(root, relative, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular
    return os.fdopen(descriptor, "rb")


def find_beneath(root: Path, relative: str, *, to_write: bool = False) -> Spot:
    """Walk to the last part of `relative`, opening one folder at a time without following symlinks.

    The last part need not exist. `to_write` creates the missing folders on the way and refuses `.git`.

    Raises:
        Outside: the path or one of its symlinks leads out.
        Protected: `to_write` is set and the path leads into `.git`.
        OSError: any other error of the system.
    """
    walk = _Walk(root, to_write=to_write)
    try:
        return walk.resolve(relative)
    except BaseException:
        walk.close()
        raise


class _Walk:
    """The folders traversed so far, all held open.

    `..` returns to the previous one, not to the kernel's parent, so that a folder renamed meanwhile cannot lead out.
    """

    def __init__(self, root: Path, *, to_write: bool) -> None:
        self._root = root
        self._to_write = to_write
        self._held = [os.open(root, _ROOT)]
        self._names: list[str] = []
        self._pending: list[str] = []
        self._links = 0
        self._link: str | None = None

    def resolve(self, relative: str) -> Spot:
        self._pending = relative.split("/")[::-1]
        name = "."
        while self._pending:
            part = self._pending.pop()
            if part in {"", "."}:
                continue
            # Git runs hooks and commands from settings it finds there, outside any sandbox.
            if self._to_write and part.casefold() == ".git":
                raise Protected
            if part == "..":
                self._up()
            elif self._pending:  # even if only `.` or nothing follows: then this must be a folder
                self._enter(part)
            elif not self._follow_link(part):
                name = part
        folder = self._held.pop()
        self.close()
        return Spot(folder=folder, name=name)

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def _up(self) -> None:
        if not self._names:
            raise Outside(self._link)
        os.close(self._held.pop())
        self._names.pop()

    def _enter(self, part: str) -> None:
        try:
            folder = self._open_folder(part)
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP} and self._follow_link(part):
                return
            raise
        self._held.append(folder)
        self._names.append(part)

    def _open_folder(self, part: str) -> int:
        here = self._held[-1]
        try:
            return os.open(part, _TRAVERSE, dir_fd=here)
        except FileNotFoundError:
            if not self._to_write:
                raise
        # Another process may create it at the same moment; the open below decides what it is.
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=here)
        return os.open(part, _TRAVERSE, dir_fd=here)

    def _follow_link(self, part: str) -> bool:
        """Replace a symlink in the path with its target; return False if `part` is not a symlink."""
        try:
            target = os.readlink(part, dir_fd=self._held[-1])
        except OSError:
            return False  # not a symlink, or missing
        self._links += 1
        self._link = "/".join((*self._names, part))
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            inside = inside_of(self._root, target)
            if inside is None:
                raise Outside(self._link)
            while self._names:
                self._up()
            target = inside
        self._pending.extend(target.split("/")[::-1])
        return True


def inside_of(root: Path, absolute: str) -> str | None:
    """Return `absolute` relative to `root`, compared as text with `..` unchanged. None means it is not below `root`."""
    for top in (str(root), os.path.realpath(root)):
        if (absolute + "/").startswith(top.rstrip("/") + "/"):
            return absolute[len(top.rstrip("/")) :].lstrip("/") or "."
    return None


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _openat2(folder: int, relative: str, flags: int) -> int:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    how = _OpenHow(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    path = os.fsencode(relative)
    descriptor = _libc().syscall(ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(folder), path, ctypes.byref(how), size)
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(descriptor)
