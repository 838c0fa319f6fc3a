"""Snapshot, restore and diff the folder that a run works in; never changes excluded names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ConfigError
from ..sandbox.beneath import MAX_PATH_BYTES
from ..sandbox.removal import remove_tree
from .diff import Change, State, change_of
from .gitignore import GitIgnore
from .placing import (
    folders_in,
    make_accessible,
    make_folder,
    place_file,
    place_placeholder,
    remove,
    restore_path,
    set_folder_mode,
    set_metadata,
    share_file,
)
from .tree import Entry, entry_below, is_large, looks_same, scan, walk
from .withheld import SecretFiles, record_withheld, withheld

EXCLUDED = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "node_modules", ".tox", ".nox", ".agent"}
    | {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
)
"""Names that are skipped at any depth: repository data, installed packages, caches."""

# Caches can be rebuilt, so they do not stop `restore` from removing the folder they are in.
_CACHES = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"})

_NO_SECRETS = SecretFiles()
MAX_FILES = 20_000
MAX_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A copy of the workspace at one moment; defined by its folder alone, so a later process can open it again."""

    tree: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class NoSnapshot:
    """The workspace was not copied, so it cannot be restored."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """What `restore` did."""

    changed: tuple[str, ...]
    """Paths that were removed or restored, or whose mode was restored; sorted. Empty if nothing had changed."""
    kept: tuple[str, ...]
    """Paths that could not be restored or removed, because they contain something excluded, or were too large or too
    secret to copy; sorted."""
    conflicts: tuple[str, ...] = ()
    """Paths that were left alone, because something else changed them after the run did; sorted."""


class Workspace:
    """A folder, by its absolute path."""

    def __init__(self, path: str | Path, *, create: bool = False, exclude: frozenset[str] = EXCLUDED) -> None:
        """Open the folder.

        Args:
            path: the folder.
            create: create it and its parents if it does not exist.
            exclude: names that are neither copied nor changed, at any depth; `.git` is always added.

        Raises:
            ConfigError: it does not exist and `create` is not set, is not a folder, or is `/`.
        """
        folder = Path(path).absolute()
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            folder = folder.resolve(strict=True)
        except OSError as error:
            msg = f"The workspace {str(folder)!r} cannot be used: {error.strerror}. Create it, or use another folder."
            raise ConfigError(msg, key="workspace") from error
        if not folder.is_dir():
            msg = f"The workspace {str(folder)!r} is not a folder. Give the folder that the run may change."
            raise ConfigError(msg, key="workspace")
        if folder == Path(folder.anchor):
            msg = f"The workspace is {str(folder)!r}, the whole machine. Give the one folder that the run may change."
            raise ConfigError(msg, key="workspace")
        self.path = folder
        self.exclude = exclude | {".git"}

    def snapshot(
        self, into: Path, *, like: Path | None = None, secret: SecretFiles = _NO_SECRETS, max_files: int = MAX_FILES,
        max_bytes: int = MAX_BYTES,
    ) -> Snapshot | NoSnapshot:  # fmt: skip
        """Copy the tree, with modes and times; symlinks are copied as symlinks.

        Folders that .gitignore ignores, such as build output, are neither copied nor restored. Of files over
        `MAX_FILE_BYTES` and secret ones only size and time are kept, to detect later whether they changed.

        Args:
            into: a folder that does not exist yet, outside the workspace or under an excluded name.
            like: the tree of an earlier snapshot; files equal to its files are hard-linked to them, not copied.
            secret: files whose content is not copied.
            max_files: limit for files, folders and symlinks together; with more, nothing is copied.
            max_bytes: limit for the total size; with more, nothing is copied.
        """
        return self._copied(into, like=like, secret=secret, max_files=max_files, max_bytes=max_bytes, whole=False)

    def _copied(
        self, into: Path, *, like: Path | None, secret: SecretFiles, max_files: int, max_bytes: int, whole: bool
    ) -> Snapshot | NoSnapshot:
        into = into.absolute()
        if into.is_relative_to(self.path) and not self.exclude & set(into.relative_to(self.path).parts):
            names = ", ".join(sorted(self.exclude))
            return NoSnapshot(reason=f"{into} is inside the workspace; put it elsewhere, or under one of {names}")
        try:
            entries: dict[str, Entry] = {}
            size_bytes = 0
            rules = None if whole else GitIgnore.below(self.path)
            for path, entry in walk(self.path, protected=self.exclude, rules=rules):
                entries[path] = entry
                size_bytes += entry.size_bytes if whole or not is_large(entry) else 0
                if len(entries) > max_files or size_bytes > max_bytes:
                    return NoSnapshot(reason=f"{self.path} has more than {max_files} files or {max_bytes} bytes")
            into.mkdir(parents=True)
            empty = {path for path, entry in entries.items() if secret.include(self.path, path, entry)}
            record_withheld(into, empty)
            empty |= set() if whole else {path for path, entry in entries.items() if is_large(entry)}
            _copy(self.path, into, entries, like=like, empty=empty)
        except OSError as error:
            return NoSnapshot(reason=f"{error.strerror}: {error.filename}")
        return Snapshot(tree=into)

    def copy(self, into: Path) -> Workspace:
        """Return a copy of the workspace, without the excluded names.

        Args:
            into: as for `snapshot`.

        Raises:
            ConfigError: it is too large or cannot be copied; no partial copy is left.
        """
        was_there = into.exists()
        taken = self._copied(into, like=None, secret=_NO_SECRETS, max_files=MAX_FILES, max_bytes=MAX_BYTES, whole=True)
        if isinstance(taken, Snapshot):
            return Workspace(taken.tree, exclude=self.exclude)
        if not was_there:
            remove_tree(into)
        if into.absolute().is_relative_to(self.path):
            advice = "Choose a folder outside of it for `runs` (AGENT_RUNS_DIR), or use a smaller workspace."
        else:
            advice = "Use a folder with only what the run needs, or let it work in the folder itself, without a copy."
        msg = f"The workspace {str(self.path)!r} cannot be copied: {taken.reason}. {advice}"
        raise ConfigError(msg, key="workspace")

    def restore(self, snapshot: Snapshot) -> Restored:
        """Restore the tree; files with the same content are not written again.

        Each file is replaced atomically, so a crash leaves a mix of old and new files, which another call completes.

        Raises:
            OSError: the snapshot cannot be read, or the workspace cannot be written.
        """
        # The rules of the snapshot: what the run wrote into a .gitignore must hide nothing.
        rules = GitIgnore.below(snapshot.tree)
        wanted = scan(snapshot.tree, protected=self.exclude, rules=rules)
        opened = self._make_folders_accessible(rules)
        found = dict(scan(self.path, protected=self.exclude, rules=rules))
        found |= {path: replace(found[path], mode=mode) for path, mode in opened.items() if path}
        without_content = withheld(snapshot.tree)
        other_kind = {path for path, entry in found.items() if path in wanted and wanted[path].kind != entry.kind}
        unwanted = [path for path in found if path not in wanted or path in other_kind - without_content]
        kept = self._clear(unwanted)
        changed = set(unwanted)
        for path, entry in wanted.items():
            if any(path == stuck or path.startswith(f"{stuck}/") for stuck in kept):
                continue
            if is_large(entry) or path in without_content:
                if not looks_same(entry, found.get(path)):
                    kept.add(path)
            elif restore_path(self.path, path, entry, found.get(path), snapshot.tree):
                changed.add(path)
        for path in reversed([path for path, entry in wanted.items() if entry.kind == "folder" and path not in kept]):
            set_metadata(self.path, path, wanted[path])
            opened.pop(path, None)
        for path, mode in opened.items():
            set_folder_mode(self.path, path, mode)
        return Restored(changed=tuple(sorted(changed)), kept=tuple(sorted(kept)))

    def diff(self, snapshot: Snapshot, *, below: str = "", max_chars: int = 20_000) -> tuple[Change, ...]:
        """Return what changed since the snapshot, sorted by path; folders themselves are not listed.

        Args:
            snapshot: a snapshot of this workspace.
            below: only this file, or what is in this folder; relative to the workspace. Empty means everything.
            max_chars: limit for all diffs together; changes beyond it are listed without their text.

        Raises:
            OSError: a folder cannot be listed.
        """
        rules = GitIgnore.below(snapshot.tree)
        before = scan(snapshot.tree, protected=self.exclude, rules=rules)
        after = scan(self.path, protected=self.exclude, rules=rules)
        without_content = withheld(snapshot.tree)
        wanted = (path for path in before.keys() | after.keys() if not below or f"{path}/".startswith(f"{below}/"))
        changes: list[Change] = []
        left_chars = max_chars
        for path in sorted(wanted):
            old, new = before.get(path), after.get(path)
            if old is not None and (is_large(old) or path in without_content):
                kind = "removed" if new is None else "changed"
                why = "secret, and not in the snapshot" if path in without_content else "too large for the snapshot"
                note = f"[{why}: it had {old.size_bytes} bytes]"
                change = None if looks_same(old, new) else Change(path=path, kind=kind, diff=note)
            else:
                change = change_of(
                    path,
                    before=State(root=snapshot.tree, entry=old),
                    after=State(root=self.path, entry=new),
                    with_text=left_chars > 0,
                )
            if change is None:
                continue
            if change.has_text and (over := len(change.diff) - left_chars) > 0:
                change = replace(change, diff=f"{change.diff[:left_chars]}\n[{over} more characters]".lstrip())
            left_chars = max(0, left_chars - len(change.diff))
            changes.append(change)
        return tuple(changes)

    def _clear(self, paths: Iterable[str]) -> set[str]:
        """Remove the paths, folders before their contents; return those that remain because of something excluded."""
        done: set[str] = set()
        kept: set[str] = set()
        for path in paths:
            above = path.rpartition("/")[0]
            if above not in done:
                is_gone = remove(self.path, path, protected=self.exclude - _CACHES)
            else:  # what can be removed went with the folder above it
                is_gone = above not in kept or entry_below(self.path, path) is None
            done.add(path)
            if not is_gone:
                kept.add(path)
        return kept

    def _make_folders_accessible(self, rules: GitIgnore) -> dict[str, int]:
        """Make every folder accessible, since a tool may have changed its mode; return the modes that were changed."""
        opened: dict[str, int] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            mode = make_accessible(self.path, folder)
            if mode is not None:
                opened[folder] = mode
            below = folders_in(self.path, folder, protected=self.exclude)
            paths = [f"{folder}/{name}" if folder else name for name in below]
            reachable = (path for path in paths if len(os.fsencode(path)) <= MAX_PATH_BYTES)
            folders += [path for path in reachable if not rules.names(path, is_folder=True)]
        return opened


def changes_since(
    snapshot: Path, workspace: Path, *, below: str = "", max_chars: int = 2_000_000
) -> tuple[Change, ...]:
    """Return what changed in a workspace since its snapshot, sorted by path; for tools: see `ToolContext.snapshot`.

    Caches, installed packages, `.git` and what .gitignore ignores are not compared.

    Args:
        snapshot: folder of the snapshot.
        workspace: the workspace.
        below: only this file, or what is in this folder; relative to the workspace. Empty means everything.
        max_chars: limit for all diffs together; changes beyond it are listed without their text.

    Raises:
        OSError: a folder cannot be listed.
    """
    return Workspace(workspace).diff(Snapshot(tree=snapshot), below=below, max_chars=max_chars)


def _copy(root: Path, into: Path, entries: Mapping[str, Entry], *, like: Path | None, empty: Set[str]) -> None:
    for path, entry in entries.items():
        if entry.kind == "folder":
            make_folder(into, path)
        elif path in empty:
            place_placeholder(into, path, entry)
        elif like is None or not share_file(path, like, root, into, entry):
            place_file(path, root, into)
    for path in reversed([path for path, entry in entries.items() if entry.kind == "folder"]):
        set_metadata(into, path, entries[path])
