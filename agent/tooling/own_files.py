"""Write the framework's own files in the workspace, below `.agent`; follows no symlink, since a tool may plant one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

OWN_FOLDER = ".agent"
"""The folder in the workspace that is the framework's; no snapshot, diff or restore includes it."""


def write_inside(workspace: Path, path: str, data: bytes, *, replace: bool = False) -> None:
    """Write a new file below the workspace and create its folders; a new `.agent` gets a .gitignore that hides it.

    Args:
        workspace: absolute path of the workspace.
        path: relative to it.
        data: content of the file.
        replace: remove a file of that name first; it is not written through, even if it is a symlink.

    Raises:
        OSError: a folder on the way is a symlink, the file exists and is not replaced, or it cannot be written.
    """
    *folders, name = path.split("/")
    here = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            is_new = False
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=here)
                is_new = True
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
            if is_new and folder == OWN_FOLDER:
                _create(".gitignore", here, b"*\n")
        if replace:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=here)
        _create(name, here, data)
    finally:
        os.close(here)


def _create(name: str, folder: int, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "wb") as file:
        file.write(data)
