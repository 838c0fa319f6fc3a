"""Track and restore only what a run itself changed, in a folder where something else may write at the same time."""

from __future__ import annotations

from collections.abc import Mapping

from .gitignore import GitIgnore
from .tree import Entry, is_large, looks_same, read_entry, restore_path, scan, set_metadata, walk
from .workspace import Restored, Snapshot, Workspace


def signatures(workspace: Workspace, snapshot: Snapshot) -> Mapping[str, str]:
    """Return a text for each path that changes whenever the path changes; for a folder, only with its mode."""
    rules = GitIgnore.below(snapshot.tree)
    return {path: _signature(entry) for path, entry in walk(workspace.path, protected=workspace.exclude, rules=rules)}


def restore_own(workspace: Workspace, snapshot: Snapshot, own: Mapping[str, str]) -> Restored:
    """Restore only what a run itself changed, in a folder where something else may write at the same time.

    Args:
        workspace: the folder.
        snapshot: a snapshot of it.
        own: each path that the run changed, with its signature after the run's last change; empty if the run
            removed it. A path with another signature now was changed by something else too, and is left alone.

    Raises:
        OSError: the snapshot cannot be read, or the workspace cannot be written.
    """
    wanted = scan(snapshot.tree, protected=workspace.exclude, rules=GitIgnore.below(snapshot.tree))
    now = {path: entry for path in own if (entry := read_entry(workspace.path / path)) is not None}
    conflicts = {path for path, signature in own.items() if signature != _signature(now.get(path))}
    changed: set[str] = set()
    kept: set[str] = set()
    for path in sorted(own.keys() - conflicts, reverse=True):  # what is in a folder comes before the folder
        entry, before = now.get(path), wanted.get(path)
        if entry is None or (before is not None and before.kind == entry.kind):
            continue
        if entry.kind != "folder":
            (workspace.path / path).unlink()
        elif any((workspace.path / path).iterdir()):
            kept.add(path)  # something else is in it
            continue
        else:
            (workspace.path / path).rmdir()
        changed.add(path)
    for path in sorted(own.keys() - conflicts):
        entry = wanted.get(path)
        if entry is None or path in kept:
            continue
        if is_large(entry):
            kept.update([path] if not looks_same(entry, now.get(path)) else [])
        elif restore_path(workspace.path, path, entry, read_entry(workspace.path / path), snapshot.tree):
            changed.add(path)
            set_metadata(workspace.path / path, entry)
    return Restored(changed=tuple(sorted(changed)), kept=tuple(sorted(kept)), conflicts=tuple(sorted(conflicts)))


def _signature(entry: Entry | None) -> str:
    if entry is None:
        return ""
    if entry.kind == "folder":
        return f"folder {entry.mode:o}"
    return f"{entry.kind} {entry.size_bytes} {entry.mtime_ns} {entry.mode:o} {entry.target}"
