"""Remove a folder in which sandboxed commands could write; trusts nothing in it and follows no symlink."""

from __future__ import annotations

import itertools
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path

_MAX_PASSES_IN_VAIN = 20
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path, *, seconds: float = 60.0) -> bool:
    """Remove a folder and everything in it; return whether nothing of it is left. Never raises OSError.

    Works on folders of any depth and without permissions, and while a program still writes there; such a program may
    write faster than anybody can remove, so the work ends after `seconds`. The parent folder must be out of the
    commands' reach.
    """
    try:
        top = _open_folder(str(path), None)
    except OSError:
        return not os.path.lexists(path)
    try:
        _empty(top, time.monotonic() + seconds)
    finally:
        os.close(top)
    with suppress(OSError):
        path.rmdir()
    return not os.path.lexists(path)


def _empty(top: int, deadline: float) -> None:
    """Remove what is in a folder, one level of folders in each pass, until it is empty or the deadline is over."""
    # A name for each folder that moves up: unguessable, so that no program can occupy it.
    token = secrets.token_hex(8)
    before: set[str] = set()
    in_vain = 0
    for number in itertools.count():
        with suppress(OSError):
            names = set(_names(top))
            in_vain = in_vain + 1 if names == before else 0
            if not names or in_vain > _MAX_PASSES_IN_VAIN:
                return
            for index, name in enumerate(names):
                with suppress(OSError):
                    _remove(name, top, f"{token}-{number}-{index}", deadline)
            before = names
        if time.monotonic() > deadline:
            return


def _remove(name: str, top: int, token: str, deadline: float) -> None:
    """Remove a file, or a folder after its folders were moved up to `top`, so that no depth is too great."""
    if time.monotonic() > deadline or _unlink(name, top):
        return
    folder = _open_folder(name, top)
    try:
        for index, child in enumerate(_names(folder)):
            if time.monotonic() > deadline:
                break
            with suppress(OSError):
                if not _unlink(child, folder):
                    os.close(_open_folder(child, folder))  # a folder that moves must be writable: its `..` changes
                    os.rename(child, f"{token}-{index}", src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as items:
        return [item.name for item in items]


def _unlink(name: str, folder: int) -> bool:
    """Remove anything but a folder; return whether it is gone."""
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):
        return False
    except FileNotFoundError:
        pass
    return True


def _open_folder(name: str, parent: int | None) -> int:
    """Open a folder, which may deny all access, and make it accessible; a symlink is an error."""
    pinned = os.open(name, os.O_PATH | _FOLDER, dir_fd=parent)
    try:
        itself = Path(f"/proc/self/fd/{pinned}")  # the folder that is open, whatever its name means by now
        if os.fstat(pinned).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            itself.chmod(stat.S_IRWXU)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(pinned)
