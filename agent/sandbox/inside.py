"""Find where a path ends relative to a folder that a model can change; opens nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# The kernel's own limit on the symlinks of one path (path_resolution(7), read 2026-11).
MAX_LINKS = 40


class LeadsOut(OSError):
    """Raised when a path leads out of the folder."""

    def __init__(self, link: str | None = None) -> None:
        super().__init__(errno.EXDEV, "a symlink in the workspace leads out of it")
        self.link = link
        """The symlink at fault, relative to the folder. None means that the path itself leads out, or is unknown."""


def inside_of(root: Path, absolute: str) -> str | None:
    """Return `absolute` relative to `root`, compared as text with `..` unchanged. None means it is not below `root`."""
    for top in (str(root), os.path.realpath(root)):
        if (absolute + "/").startswith(top.rstrip("/") + "/"):
            return absolute[len(top.rstrip("/")) :].lstrip("/") or "."
    return None


def find_inside(path: Path, root: Path) -> str | None:
    """Return where a path ends, relative to `root`, after its symlinks are followed. None means outside of `root`.

    Open the result with the functions of `beneath`: they do not follow what takes the place of a folder meanwhile.
    Symlinks that lead into `root` are followed, and those below it that stay there.

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
        if links > MAX_LINKS:
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
