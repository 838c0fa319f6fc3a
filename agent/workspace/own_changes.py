"""Tell what a run itself changed from what others did in the same folder, and restore only the former."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from ..sandbox.beneath import MAX_PATH_BYTES
from .gitignore import GitIgnore
from .placing import remove_folder, restore_path, set_metadata, unlink
from .tree import Entry, entry_below, is_large, looks_same, walk
from .withheld import withheld
from .workspace import Restored, Snapshot, Workspace

_PATH_LIKE = re.compile(r"[\w./-]+")
_MAX_DEPTH = 64
"""The most folders in an end of a path by which a text names it; each end is a text, so all ends would fill memory."""


def signatures(workspace: Workspace, snapshot: Snapshot) -> Mapping[str, str]:
    """Return a text for each path that changes whenever the path changes; for a folder, only with its mode.

    Raises:
        OSError: a folder cannot be listed.
    """
    rules = GitIgnore.below(snapshot.tree)
    return {path: _signature(entry) for path, entry in walk(workspace.path, protected=workspace.exclude, rules=rules)}


def signatures_at_start(workspace: Workspace, snapshot: Snapshot) -> Mapping[str, str]:
    """Return what `signatures` returned when the snapshot was made.

    Raises:
        OSError: a folder of the snapshot cannot be listed.
    """
    rules = GitIgnore.below(snapshot.tree)
    return {path: _signature(entry) for path, entry in walk(snapshot.tree, protected=workspace.exclude, rules=rules)}


def signature_at_start(snapshot: Snapshot, path: str) -> str:
    """Return the signature that a path had when the snapshot was made; empty if it did not exist."""
    return _signature(entry_below(snapshot.tree, path))


def named(paths: Collection[str], texts: Sequence[str]) -> set[str]:
    """Return the paths that occur in one of the texts, or below a folder of `paths` that does.

    A text may name a path as it is, by its end, such as `a.py` after `cd src`, or from the root of the file system.
    """
    found_words = (word for text in texts for word in _PATH_LIKE.findall(text) if len(word) <= MAX_PATH_BYTES)
    words = {word.removeprefix("./").rstrip("./") for word in found_words}
    ends = {end for word in words for end in _ends(word)}
    found: set[str] = set()
    above = "/"
    for path in sorted(paths, key=lambda path: path.replace("/", "\0")):  # a folder comes right before its contents
        if path.startswith(above):
            found.add(path)
            continue
        is_named = path in ends or any(end in words for end in _ends(path))
        if not is_named and not _PATH_LIKE.fullmatch(path):
            is_named = any(path.rpartition("/")[2] in text for text in texts)
        if is_named:
            found.add(path)
            above = f"{path}/"
    return found


def changed_by_others(workspace: Workspace, own: Mapping[str, str]) -> set[str]:
    """Return the paths that something else changed after the run did.

    Args:
        workspace: the folder.
        own: each path that the run changed, with its signature after the run's last change; empty if it was removed.
    """
    return {path for path, signature in own.items() if _is_other(workspace, path, signature)}


def restore_own(workspace: Workspace, snapshot: Snapshot, own: Mapping[str, str]) -> Restored:
    """Restore only what a run itself changed, in a folder where something else may write at the same time.

    Args:
        workspace: the folder.
        snapshot: a snapshot of it.
        own: as for `changed_by_others`. A path that has another signature now, or that cannot be read or written, is
            left alone and listed in `conflicts`.
    """
    changed: set[str] = set()
    kept: set[str] = set()
    conflicts: set[str] = set()
    for path in sorted(own, reverse=True):  # what is in a folder comes before the folder
        try:
            if _is_other(workspace, path, own[path]):
                conflicts.add(path)
            elif _cleared(workspace, snapshot, path, kept):
                changed.add(path)
        except OSError:
            conflicts.add(path)
    for path in sorted(own.keys() - conflicts - kept):
        try:
            if _put_back(workspace, snapshot, path, kept):
                changed.add(path)
        except OSError:
            conflicts.add(path)
    return Restored(changed=tuple(sorted(changed)), kept=tuple(sorted(kept)), conflicts=tuple(sorted(conflicts)))


def _cleared(workspace: Workspace, snapshot: Snapshot, path: str, kept: set[str]) -> bool:
    """Remove what the snapshot does not have; return whether it was there. A folder with contents is kept."""
    entry, before = entry_below(workspace.path, path), entry_below(snapshot.tree, path)
    if entry is None or (before is not None and (before.kind == entry.kind or path in withheld(snapshot.tree))):
        return False
    if entry.kind != "folder":
        unlink(workspace.path, path)
    elif not remove_folder(workspace.path, path):
        kept.add(path)  # something else is in it
        return False
    return True


def _put_back(workspace: Workspace, snapshot: Snapshot, path: str, kept: set[str]) -> bool:
    """Put back what the snapshot has; return whether anything changed."""
    before, entry = entry_below(snapshot.tree, path), entry_below(workspace.path, path)
    if before is None:
        return False
    if is_large(before) or path in withheld(snapshot.tree):
        kept.update([] if looks_same(before, entry) else [path])
        return False
    if not restore_path(workspace.path, path, before, entry, snapshot.tree):
        return False
    set_metadata(workspace.path, path, before)
    return True


def _is_other(workspace: Workspace, path: str, signature: str) -> bool:
    try:
        return _signature(entry_below(workspace.path, path)) != signature
    except OSError:  # a folder above it was made unreadable
        return True


def _ends(path: str) -> list[str]:
    parts = path.split("/")
    return [path, *("/".join(parts[-count:]) for count in range(1, min(len(parts), _MAX_DEPTH + 1)))]


def _signature(entry: Entry | None) -> str:
    if entry is None:
        return ""
    if entry.kind == "folder":
        return f"folder {entry.mode:o}"
    return f"{entry.kind} {entry.size_bytes} {entry.mtime_ns} {entry.mode:o} {entry.target}"
