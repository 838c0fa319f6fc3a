"""Bring a repository's history along into a copy of its folder, so that log, blame, show and diff work there."""

from __future__ import annotations

from pathlib import Path

from ..sandbox.removal import remove_tree
from .placing import link_file, make_folder, place_file
from .tree import walk

_OBJECTS = "objects"


def copy_history(original: Path, copy: Path) -> str:
    """Copy `.git` into a copy of the folder; return why it was left out. Empty if it was not, or there is none.

    Objects, which git never changes, are hard-linked where the file system allows it. A `.git` file, as in a worktree
    or a submodule, points outside of the folder and is left out, and so are hooks and locks.
    """
    source, target = original / ".git", copy / ".git"
    if source.is_symlink() or source.is_file():
        return "its `.git` leads out of it, as in a worktree or a submodule"
    if not source.is_dir():
        return ""
    if (source / _OBJECTS / "info" / "alternates").exists():
        return "it uses the objects of another repository (objects/info/alternates)"
    try:
        target.mkdir()
        for path, entry in walk(source, protected=frozenset({"hooks"})):
            if entry.kind == "folder":
                make_folder(target, path)
            elif not path.endswith(".lock") and not (
                path.startswith(f"{_OBJECTS}/") and entry.kind == "file" and link_file(path, source, target)
            ):
                place_file(path, source, target)
    except OSError as error:
        remove_tree(target)
        return f"its `.git` cannot be copied: {error.strerror}"
    return ""
