"""Record what a run's tools read and wrote, to undo changes and to detect changes by other programs; not persisted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from agent import ToolError

from . import _paths
from ._differences import escaped
from ._suggestions import look_alike

MAX_CHANGES = 50
"""Older changes can no longer be undone."""
MAX_HELD_BYTES = 100_000_000
"""Of old and new contents together; the oldest changes beyond it can no longer be undone, the last one always can."""
MAX_UNDO_BYTES = 20_000_000
"""The change of a larger file cannot be undone."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """The effect of one call on files."""

    what: str
    """What the call did, as a phrase: `the edit of a.py, lines 3-5`."""
    before: Mapping[_paths.Inside, bytes | None]
    """Content of each file before the call. None means that it did not exist."""
    after: Mapping[_paths.Inside, bytes | None]
    """Content of each file after the call. None means that it was removed."""
    unsaved: _paths.Inside | None
    """A file whose old content was too large to save or could not be read. None means that all were saved."""
    was_executable: Mapping[_paths.Inside, bool]
    """Whether a file was executable, for those that were removed or whose mode was changed."""


@dataclass
class Changes:
    """The changes of a run, newest last."""

    done: list[Change] = field(default_factory=list[Change])
    _seen: dict[_paths.Inside, bytes] = field(default_factory=dict[_paths.Inside, bytes])
    """SHA-256 of each file as the model last saw it."""

    def record_seen(self, path: _paths.Inside, data: bytes) -> None:
        """Record the content of a file that the model read or wrote."""
        self._seen[path] = hashlib.sha256(data).digest()

    def check_unchanged(self, workspace: Path, path: _paths.Inside) -> None:
        """Refuse to overwrite content that the model has not seen.

        Raises:
            ToolError: the file has changed since the model read or wrote it.
        """
        data = read_content(workspace, path) if path in self._seen else None
        if data is not None and hashlib.sha256(data).digest() != self._seen[path]:
            msg = f'"{path}" has changed since you read it: something else wrote to it. Read it again, then write.'
            raise ToolError(msg)

    def on_context_renewed(self) -> None:
        """Forget the changes of the conversation that has ended: the model no longer knows them."""
        self.done, self._seen = [], {}

    def apply(
        self,
        workspace: Path,
        after: Mapping[_paths.Inside, bytes | None],
        *,
        what: str,
        executable: Mapping[_paths.Inside, bool] = MappingProxyType({}),
    ) -> None:
        """Write or remove files, all or none, and save their old content.

        Args:
            workspace: the run's workspace.
            after: the new content of each file. None means to remove it; removals come first.
            what: what the call does, as a phrase for undo_change.
            executable: files whose mode changes.

        Raises:
            ToolError: one of them cannot be written; those already written are restored.
        """
        before: dict[_paths.Inside, bytes | None] = {}
        unsaved: _paths.Inside | None = None
        for path in after:
            try:
                before[path] = data = read_content(workspace, path)
            except ToolError:  # unreadable, but it may still be writable
                before[path], unsaved = None, path
            else:
                unsaved = path if data is not None and len(data) > MAX_UNDO_BYTES else unsaved
        _check_new_names(workspace, [path for path in after if before[path] is None and path != unsaved])
        if unsaved is not None and len(after) > 1:
            msg = (
                f'"{unsaved}" is larger than {MAX_UNDO_BYTES:,} bytes or cannot be read, so it cannot be changed '
                "together with other files; nothing was changed. Change it with a shell command."
            )
            raise ToolError(msg)
        existing = [
            path for path, data in after.items() if before[path] is not None and (data is None or path in executable)
        ]
        was_executable = {path: _paths.is_executable(workspace, path) for path in existing}
        written: list[_paths.Inside] = []
        try:
            for path, data in sorted(after.items(), key=lambda item: item[1] is not None):
                _write_or_remove(workspace, path, data)
                written.append(path)
            for path, flag in executable.items():
                _paths.set_executable(workspace, path, executable=flag)
        except ToolError:
            _restore(workspace, {path: before[path] for path in written}, was_executable)
            raise
        change = Change(what=what, before=before, after=dict(after), unsaved=unsaved, was_executable=was_executable)
        self.done = [*self.done, change][-MAX_CHANGES:]
        while len(self.done) > 1 and sum(_size_bytes(held) for held in self.done) > MAX_HELD_BYTES:
            self.done.pop(0)
        self._update_seen(after)

    def undo(self, workspace: Path) -> Change:
        """Restore the files to their state before the last change.

        Raises:
            ToolError: there is no change, an old content was not saved, or a file was changed since.
        """
        if not self.done:
            msg = "There is no change to undo: your calls changed no file, or every change is already undone."
            raise ToolError(msg)
        last = self.done[-1]
        if last.unsaved is not None:
            self.done.pop()
            msg = (
                f'The last change, {last.what}, cannot be undone: "{last.unsaved}" was larger than '
                f"{MAX_UNDO_BYTES:,} bytes or not readable, so its old content was not saved. Call undo_change again "
                "to undo the change before it."
            )
            raise ToolError(msg)
        for path, data in last.after.items():
            if read_content(workspace, path) != data:
                msg = (
                    f'The last change, {last.what}, cannot be undone: something else changed "{path}" since. Edit it '
                    "instead."
                )
                raise ToolError(msg)
        _restore(workspace, last.before, last.was_executable)
        self.done.pop()
        self._update_seen(last.before)
        return last

    def _update_seen(self, contents: Mapping[_paths.Inside, bytes | None]) -> None:
        for path, data in contents.items():
            if data is None:
                self._seen.pop(path, None)
            else:
                self.record_seen(path, data)


def _check_new_names(workspace: Path, paths: Sequence[_paths.Inside]) -> None:
    """Refuse to create a file whose name, or a folder's, looks the same as one that exists.

    Raises:
        ToolError: there is one, in another Unicode form.
    """
    for path in paths:
        if other := look_alike(workspace, path):
            msg = (
                f'"{path}" would be a second one beside "{escaped(other)}", which looks the same and is in another '
                "Unicode form; nothing was changed. Send the path with these escapes, or take another name."
            )
            raise ToolError(msg)


def _size_bytes(change: Change) -> int:
    return sum(len(data) for data in (*change.before.values(), *change.after.values()) if data is not None)


def read_content(workspace: Path, path: _paths.Inside) -> bytes | None:
    """Return the first `MAX_UNDO_BYTES` + 1 bytes of a file. None means that it does not exist.

    Raises:
        ToolError: the file cannot be read.
    """
    if not _paths.exists(workspace, path):
        return None
    with _paths.open_file(workspace, path) as file:
        return file.read(MAX_UNDO_BYTES + 1)


def _restore(
    workspace: Path, contents: Mapping[_paths.Inside, bytes | None], executable: Mapping[_paths.Inside, bool]
) -> None:
    for path, data in sorted(contents.items(), key=lambda item: item[1] is not None):
        _write_or_remove(workspace, path, data)
    for path, flag in executable.items():
        _paths.set_executable(workspace, path, executable=flag)


def _write_or_remove(workspace: Path, path: _paths.Inside, data: bytes | None) -> None:
    if data is None:
        _paths.remove(workspace, path)
    else:
        _paths.replace_file(workspace, path, data)
