"""Make the copy that branches of a run begin with, and bring the changes of one of them into the workspace."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..sandbox.removal import remove_tree
from .git_history import copy_history
from .gitignore import GitIgnore
from .own_changes import signatures
from .placing import remove, remove_folder, restore_path, set_metadata
from .tree import Entry, entry_below, is_large, looks_same, same_content, scan
from .withheld import withheld
from .workspace import Snapshot, Workspace

_INSTALLED = frozenset({".venv", "venv", "node_modules", ".tox", ".nox"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What was brought into the workspace."""

    changed: tuple[str, ...]
    """Sorted."""
    conflicts: tuple[str, ...]
    """Paths that were left alone, because they are not as they were at the start; sorted."""
    signatures: Mapping[str, str]
    """Of the changed paths, see `own_changes.py`."""


def copy_of_start(workspace: Workspace, snapshot: Snapshot, into: Path) -> Path:
    """Return a copy of the workspace as it was when the snapshot was made, with its git history; make it if need be.

    Raises:
        ConfigError: it is too large, or cannot be copied.
        OSError: it cannot be restored.
    """
    if not into.exists():
        partial = into.with_name(f"{into.name}.partial")  # of a run that was killed
        if partial.exists():
            remove_tree(partial)
        partial.parent.mkdir(parents=True, exist_ok=True)
        copy = workspace.copy(partial)
        copy.restore(snapshot)
        copy_history(workspace.path, copy.path)
        partial.rename(into)
    return into


def left_out(workspace: Workspace) -> Sequence[str]:
    """Return the names in the workspace that a copy of it does not have, without caches and repository data."""
    names = {path.name for path in workspace.path.iterdir()}
    return sorted(names & workspace.exclude & _INSTALLED)


def take_changes(workspace: Workspace, start: Snapshot, branch: Workspace, branch_start: Snapshot) -> Taken:
    """Bring what a branch changed in its copy into the workspace; a second call completes what a crash interrupted.

    Args:
        workspace: the folder; what the run itself changed there was put back.
        start: its snapshot.
        branch: the copy that the branch worked in.
        branch_start: the snapshot of the copy.

    Raises:
        OSError: something cannot be read or written.
    """
    rules, protected = GitIgnore.below(branch_start.tree), workspace.exclude
    before = scan(branch_start.tree, protected=protected, rules=rules)
    after = scan(branch.path, protected=protected, rules=rules)
    secret = withheld(branch_start.tree)
    paths = [
        path
        for path in sorted(before.keys() | after.keys())  # folders come before what is in them
        if not _same(path, branch_start.tree, before.get(path), branch.path, after.get(path), secret)
    ]
    changed: set[str] = set()
    conflicts: set[str] = set()
    known = withheld(start.tree)
    for path in reversed([path for path in paths if path not in after or _other_kind(before, after, path)]):
        here = entry_below(workspace.path, path)
        if here is None:
            changed.add(path)
        elif not _same(path, start.tree, entry_below(start.tree, path), workspace.path, here, known):
            if not _same(path, branch.path, after.get(path), workspace.path, here, ()):
                conflicts.add(path)
        elif here.kind == "folder":
            (changed if remove_folder(workspace.path, path) else conflicts).add(path)
        else:
            remove(workspace.path, path, protected=protected)
            changed.add(path)
    for path in (path for path in paths if path in after and path not in conflicts):
        here = entry_below(workspace.path, path)
        is_start = _same(path, start.tree, entry_below(start.tree, path), workspace.path, here, known)
        if not (here is None or is_start or _same(path, branch.path, after[path], workspace.path, here, ())):
            conflicts.add(path)
            continue
        restore_path(workspace.path, path, after[path], here, branch.path)
        changed.add(path)
    for path in reversed([path for path in paths if path in after and after[path].kind == "folder"]):
        if path not in conflicts:
            set_metadata(workspace.path, path, after[path])
    now = signatures(workspace, start)
    return Taken(
        changed=tuple(sorted(changed)), conflicts=tuple(sorted(conflicts)),
        signatures={path: now.get(path, "") for path in sorted(changed)},
    )  # fmt: skip


def _other_kind(before: Mapping[str, Entry], after: Mapping[str, Entry], path: str) -> bool:
    return path in before and before[path].kind != after[path].kind


def _same(
    path: str, tree: Path, before: Entry | None, other: Path, after: Entry | None, without_content: Collection[str]
) -> bool:  # fmt: skip
    """Return whether a path is the same in two trees; of a file that the first holds only as a placeholder, by size."""
    if before is None or after is None or before.kind != after.kind:
        return before is after
    if before.kind == "folder":
        return before.mode == after.mode
    if before.kind == "link":
        return before.target == after.target
    if is_large(before) or path in without_content:
        return looks_same(before, after)
    return (before.mode, before.size_bytes) == (after.mode, after.size_bytes) and same_content(path, tree, other)
