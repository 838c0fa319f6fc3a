"""Open files below a folder that the model can change; what a symlink leads to outside of it is never opened."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# The kernel's own limit on the symlinks of one path (path_resolution(7), read 2026-11).
_MAX_LINKS = 40


class LeadsOut(OSError):
    """Raised when a symlink below a folder leads out of it."""

    def __init__(self) -> None:
        super().__init__(errno.EXDEV, "a symlink in the workspace leads out of it")


def find_inside(path: Path, root: Path) -> str | None:
    """Return where a path ends, relative to `root`, after its symlinks are followed. None means outside of `root`.

    Open the result with the functions below: they do not follow what takes the place of a folder meanwhile. Symlinks
    that lead into `root` are followed, and those below it that stay there.

    Raises:
        LeadsOut: the path leads into `root`, and a symlink there leads out again.
        OSError: a symlink cannot be read, or there are too many.
    """
    top, here = root.resolve(), Path("/")
    links, led_from_inside = 0, False
    pending = [*path.absolute().parts[:0:-1]]
    while pending:
        part = pending.pop()
        # As the kernel reads it: the folder above the one that the symlinks have led to.
        below = here.parent if part == ".." else here / part
        target = None if part == ".." else _target(below)
        if target is None:
            here = below
            continue
        led_from_inside = led_from_inside or here.is_relative_to(top)
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        here = Path("/") if target.is_absolute() else here
        pending.extend(part for part in target.parts[::-1] if part != "/")
    if here.is_relative_to(top):
        return str(here.relative_to(top))
    if led_from_inside:
        raise LeadsOut
    return None


def _target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR}:  # not a symlink, or missing
            return None
        raise


def open_file(root: Path, path: str) -> BinaryIO:
    """Open a file of a tree for reading; no part of `path` may be a symlink.

    Raises:
        OSError: it is not a regular file, or cannot be read.
    """
    with opened_parent(root, path) as (folder, name):
        # O_NONBLOCK: opening a pipe would wait for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.fdopen(descriptor, "rb")


@contextmanager
def opened_parent(root: Path, path: str) -> Generator[tuple[int, str]]:
    """Open the folder that a path of a tree lies in; yield its descriptor and the path's last name.

    What is then done by that name in that folder happens inside the tree, whatever the folders on the way are replaced
    by meanwhile. No part of `path` before its last name may be a symlink.

    Raises:
        OSError: a folder on the way is a symlink, does not exist, or cannot be opened.
    """
    folder, _, name = path.rpartition("/")
    opened = open_folder(root, folder)
    try:
        yield opened, name
    finally:
        os.close(opened)


def open_folder(root: Path, path: str) -> int:
    """Open a folder of a tree and return its descriptor; no part of `path` may be a symlink. Empty means the root."""
    opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in filter(None, path.split("/")):
        above = opened
        try:
            opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        finally:
            os.close(above)
    return opened
