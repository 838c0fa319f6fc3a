"""Write the framework's own files in the workspace; follows no symlink, since a tool may plant one."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from ..sandbox.beneath import opened_parent

OWN_FOLDER = ".agent"
"""The folder in the workspace that is the framework's; no snapshot, diff or restore includes it."""


def write_inside(workspace: Path, path: str, data: bytes, *, replace: bool = False) -> None:
    """Write a new file below the workspace and create its folders; a new `.agent` gets a .gitignore that hides it.

    Args:
        workspace: absolute path of the workspace.
        path: relative to it.
        data: content of the file.
        replace: put it in the place of a file of that name, as a whole; a symlink is replaced, not followed.

    Raises:
        OSError: a folder on the way is a symlink, the file exists and is not replaced, or it cannot be written.
    """
    if path.startswith(f"{OWN_FOLDER}/") and not os.path.lexists(workspace / OWN_FOLDER):
        ignored = f"{OWN_FOLDER}/.gitignore"
        with suppress(FileExistsError), opened_parent(workspace, ignored, create=True) as (folder, name):
            _create(name, folder, b"*\n")
    with opened_parent(workspace, path, create=True) as (folder, name):
        if replace:
            _put(name, folder, data)
        else:
            _create(name, folder, data)


def _put(name: str, folder: int, data: bytes) -> None:
    temporary = f".{secrets.token_hex(8)}"
    try:
        _create(temporary, folder, data)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _create(name: str, folder: int, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "wb") as file:
        file.write(data)
