"""Bring a repository's history along into a copy of its folder, so that log, blame, show and diff work there."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

_OBJECTS = "objects"


def copy_history(original: Path, copy: Path) -> bool:
    """Copy `.git` into a copy of the folder; return False if there is none, or it could not be copied.

    Objects, which git never changes, are hard-linked where the file system allows it. A `.git` file, as in a worktree
    or a submodule, points outside of the folder and is left out, and so are hooks and locks.
    """
    source, target = original / ".git", copy / ".git"
    if source.is_symlink() or not source.is_dir() or (source / _OBJECTS / "info" / "alternates").exists():
        return False

    def place(path: str, to: str) -> str:
        if f"{os.sep}{_OBJECTS}{os.sep}" in path[len(str(source)) :]:
            with suppress(OSError):  # another file system, or one without hard links
                os.link(path, to, follow_symlinks=False)
                return to
        return str(shutil.copy2(path, to, follow_symlinks=False))

    try:
        shutil.copytree(
            source, target, symlinks=True, copy_function=place, ignore=shutil.ignore_patterns("*.lock", "hooks")
        )
    except (OSError, shutil.Error):
        shutil.rmtree(target, ignore_errors=True)
        return False
    return True
