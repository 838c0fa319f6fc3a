"""Bring a repository's history along into a copy of its folder, so that log, blame, show and diff work there."""

from __future__ import annotations

from pathlib import Path

from ..sandbox.removal import remove_tree
from .placing import link_file, make_folder, place_file
from .tree import walk

_OBJECTS = "objects"


def copy_history(original: Path, copy: Path) -> bool:
    """Copy `.git` into a copy of the folder; return False if there is none, or it could not be copied.

    Objects, which git never changes, are hard-linked where the file system allows it. A `.git` file, as in a worktree
    or a submodule, points outside of the folder and is left out, and so are hooks and locks.
    """
    source, target = original / ".git", copy / ".git"
    if source.is_symlink() or not source.is_dir() or (source / _OBJECTS / "info" / "alternates").exists():
        return False
    try:
        target.mkdir()
        for path, entry in walk(source, protected=frozenset({"hooks"})):
            if entry.kind == "folder":
                make_folder(target, path)
            elif not path.endswith(".lock") and not (
                path.startswith(f"{_OBJECTS}/") and entry.kind == "file" and link_file(path, source, target)
            ):
                place_file(path, source, target)
    except OSError:
        remove_tree(target)
        return False
    return True
