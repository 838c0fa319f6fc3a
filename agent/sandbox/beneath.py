"""Open files below a folder that a model can change without ever leaving it, even in a race; opens nothing outside."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .inside import MAX_LINKS, LeadsOut, inside_of
from .opened import check_opened
from .own_code import own_code_identities

MAX_PATH_BYTES = 4095
"""The longest path that the kernel takes (PATH_MAX, limits.h of Linux 6.18, without the null byte)."""
_SYS_OPENAT2 = 437  # the same on every architecture: numbers from 424 on are shared (Linux 5.6, openat2(2))
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
# Folders on the way are only traversed: O_PATH, where the system has it, needs only search permission.
_TRAVERSE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO without a writer would block.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_ROOT = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class Protected(OSError):
    """Raised when a path goes through a protected name, or into what agent itself runs from."""

    def __init__(self, name: str) -> None:
        super().__init__(errno.EPERM, f"is in {name}")
        self.name = name
        """The name. Empty for what agent itself runs from."""


def open_beneath(root: Path, path: str, flags: int, *, follow: bool = False) -> int:
    """Open a path below `root` and return the descriptor; what a call may not reach is refused, see `opened`.

    Args:
        root: the folder.
        path: relative to it. Empty means the folder itself.
        flags: as for os.open, without O_CREAT.
        follow: follow symlinks that stay inside. Without it, a symlink is an error with ELOOP, also as the last part.

    Raises:
        LeadsOut: the path or one of its symlinks leads out.
        OSError: any other error of the system.
    """
    descriptor = _opened(root, path, flags, follow=follow)
    try:
        check_opened(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _opened(root: Path, path: str, flags: int, *, follow: bool) -> int:
    flags = (flags | os.O_CLOEXEC) & ~os.O_NOFOLLOW  # with O_PATH, it would open a symlink itself
    top = os.open(root, _ROOT)
    try:
        return _openat2(top, path or ".", flags, follow=follow)
    except OSError as error:
        # ENOSYS: the kernel lacks the call. EPERM: a seccomp filter blocks it. EXDEV is also returned for an
        # absolute symlink that stays inside, and EAGAIN for a concurrent rename: the walk decides those.
        if error.errno == errno.ELOOP and not follow:
            raise _through_symlink(path) from None
        if error.errno not in {errno.ENOSYS, errno.EPERM, errno.EXDEV, errno.EAGAIN}:
            raise
    finally:
        os.close(top)
    with _walked(_Walk(root, follow=follow), path) as (folder, name):
        if not follow and name != "." and stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
            raise _through_symlink(path)
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)


def open_regular(root: Path, path: str, *, follow: bool = False) -> BinaryIO:
    """Open a regular file below `root` for reading; takes the arguments of `open_beneath`.

    Raises:
        IsADirectoryError: it is a folder.
        OSError: it is another thing that is no regular file (EINVAL), or any other error of `open_beneath`.
    """
    return _regular(open_beneath(root, path, _READ, follow=follow), path)


def open_named(path: Path) -> BinaryIO:
    """Open a regular file that a person named, for reading, wherever its symlinks lead.

    Raises:
        IsADirectoryError: it is a folder.
        OSError: it is another thing that is no regular file (EINVAL), or any other error of the system.
    """
    return _regular(os.open(path, _READ), str(path))


def _regular(descriptor: int, path: str) -> BinaryIO:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "not a regular file", path)


@contextmanager
def opened_parent(
    root: Path, path: str, *, follow: bool = False, create: bool = False, protected: frozenset[str] = frozenset()
) -> Generator[tuple[int, str]]:
    """Open the folder that a path below `root` lies in; yield its descriptor and the path's last name.

    What is then done by that name in that folder happens inside the root, whatever the folders on the way are replaced
    by meanwhile. The last part need not exist; it is `.` for the root itself.

    Args:
        root: the folder.
        path: relative to it.
        follow: follow symlinks that stay inside, the last part included. Without it, a symlink before the last part is
            an error; the last part may be one.
        create: create the missing folders on the way.
        protected: lower-case names that no part of the path may have once symlinks are followed. If there are any, the
            path must not lead into what agent itself runs from either.

    Raises:
        LeadsOut: the path or one of its symlinks leads out.
        Protected: it goes through a protected name.
        OSError: any other error of the system.
    """
    folder, _, last = path.rpartition("/")
    if follow or create or protected or last in {"", ".", ".."}:
        with _walked(_Walk(root, follow=follow, create=create, protected=protected), path) as (opened, name):
            check_opened(opened, name)
            yield opened, name
        return
    opened = _opened(root, folder, _TRAVERSE, follow=False)
    try:
        check_opened(opened, last)
        yield opened, last
    finally:
        os.close(opened)


def _through_symlink(path: str) -> OSError:
    return OSError(errno.ELOOP, "the path goes through a symlink", path)


@contextmanager
def _walked(walk: _Walk, path: str) -> Generator[tuple[int, str]]:
    try:
        name = walk.resolve(path)
        yield walk.folder, name
    finally:
        os.close(walk.folder)


class _Walk:
    """A walk to the folder that a path lies in; opens one folder at a time, without following symlinks itself."""

    def __init__(
        self, root: Path, *, follow: bool, create: bool = False, protected: frozenset[str] = frozenset()
    ) -> None:  # fmt: skip
        self._root, self._follow, self._create, self._protected = root, follow, create, protected
        self.folder = os.open(root, _ROOT)
        """Descriptor of the folder reached so far; the caller closes it."""
        self._names: list[str] = []
        self._pending: list[str] = []
        self._links = 0
        self._link: str | None = None

    def resolve(self, path: str) -> str:
        """Walk to the folder of the last part, and return its name; `.` for the root itself."""
        self._pending = path.split("/")[::-1]
        name = "."
        while self._pending:
            part = self._pending.pop()
            if part in {"", "."}:
                continue
            if part.casefold() in self._protected:
                raise Protected(part)
            if part == "..":
                self._up()
            elif self._pending:  # even if only `.` or nothing follows: then this must be a folder
                self._enter(part)
            elif not (self._follow and self._follow_link(part)):
                name = part
        return name

    def _up(self) -> None:
        # Not the kernel's `..`: a folder that was renamed meanwhile could lead out.
        if not self._names:
            raise LeadsOut(self._link)
        names, self._names = self._names[:-1], []
        self._go(os.open(self._root, _ROOT))
        for name in names:
            self._go(os.open(name, _TRAVERSE, dir_fd=self.folder))
        self._names = names

    def _enter(self, part: str) -> None:
        try:
            folder = self._open_folder(part)
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP} and self._follow_link(part):
                return
            raise
        self._go(folder)
        self._names.append(part)

    def _go(self, folder: int) -> None:
        os.close(self.folder)
        self.folder = folder
        if self._protected:
            facts = os.fstat(folder)
            if (facts.st_dev, facts.st_ino) in own_code_identities():
                raise Protected("")

    def _open_folder(self, part: str) -> int:
        try:
            return os.open(part, _TRAVERSE, dir_fd=self.folder)
        except FileNotFoundError:
            if not self._create:
                raise
        check_opened(self.folder, "/".join((part, *self._pending[::-1])))
        # Another process may create it at the same moment; the open below decides what it is.
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=self.folder)
        return os.open(part, _TRAVERSE, dir_fd=self.folder)

    def _follow_link(self, part: str) -> bool:
        """Replace a symlink in the path with its target; return False if `part` is not a symlink."""
        try:
            target = os.readlink(part, dir_fd=self.folder)
        except OSError:
            return False  # not a symlink, or missing
        self._links += 1
        self._link = "/".join((*self._names, part))
        if not self._follow:
            raise _through_symlink(self._link)
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            inside = inside_of(self._root, target)
            if inside is None:
                raise LeadsOut(self._link)
            self._names = []
            self._go(os.open(self._root, _ROOT))
            target = inside
        self._pending.extend(target.split("/")[::-1])
        return True


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _openat2(folder: int, path: str, flags: int, *, follow: bool) -> int:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | (0 if follow else _RESOLVE_NO_SYMLINKS)
    how = _OpenHow(flags, 0, resolve)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "the path holds a null character", path)
    descriptor = _libc().syscall(ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(folder), encoded, ctypes.byref(how), size)
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return int(descriptor)
