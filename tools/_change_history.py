"""What the tools of a run wrote and read, so that a change can be undone, and a file that changed meanwhile is seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent import ToolError

from . import _paths

MOST_CHANGES = 50
"""Older ones can no longer be undone."""
MAX_KEPT_BYTES = 20_000_000
"""Of one file; the change of a larger one cannot be undone."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One call's effect on files."""

    before: Mapping[_paths.Inside, bytes | None]
    """Content of each file before it. None: there was no such file."""
    after: Mapping[_paths.Inside, bytes | None]
    """Content of each file after it. None: it was removed."""
    lost: _paths.Inside | None
    """A file that was too large to keep, or could not be read. None: there was none."""


@dataclass
class Changes:
    """The changes of a run, the newest last."""

    done: list[Change] = field(default_factory=list[Change])
    _seen: dict[_paths.Inside, bytes] = field(default_factory=dict[_paths.Inside, bytes])
    """SHA-256 of each file as the model saw it last."""

    def saw(self, path: _paths.Inside, data: bytes) -> None:
        """Remember what the model was shown of a file, or wrote to it."""
        self._seen[path] = hashlib.sha256(data).digest()

    def check_unchanged(self, workspace: Path, path: _paths.Inside) -> None:
        """Refuse to write over what the model does not know.

        Raises:
            ToolError: the file is no longer as it was when the model read or wrote it.
        """
        now = content(workspace, path) if path in self._seen else None
        if now is not None and hashlib.sha256(now).digest() != self._seen[path]:
            msg = f'"{path}" has changed since you read it: something else wrote to it. Read it again, then write.'
            raise ToolError(msg)

    def apply(self, workspace: Path, after: Mapping[_paths.Inside, bytes | None]) -> None:
        """Write or remove files, all or none, and remember how they were.

        Raises:
            ToolError: one of them cannot be written; those before it are put back.
        """
        before: dict[_paths.Inside, bytes | None] = {}
        lost: _paths.Inside | None = None
        for path in after:
            try:
                before[path] = found = content(workspace, path)
            except ToolError:  # whether it may be written is another question, which the write answers
                before[path], lost = None, path
            else:
                lost = path if found is not None and len(found) > MAX_KEPT_BYTES else lost
        if lost is not None and len(after) > 1:
            msg = f'"{lost}" cannot be kept while it is changed together with others. Change it with a command.'
            raise ToolError(msg)
        written: list[_paths.Inside] = []
        try:
            for path, data in after.items():
                _put(workspace, path, data)
                written.append(path)
        except ToolError:
            for path in reversed(written):
                _put(workspace, path, before[path])
            raise
        self.done = [*self.done, Change(before=before, after=dict(after), lost=lost)][-MOST_CHANGES:]
        self._note(after)

    def undo(self, workspace: Path) -> Change:
        """Put back what the last change found.

        Raises:
            ToolError: there is none, or one of its files was changed since.
        """
        if not self.done:
            msg = "There is no change to undo: no file was written by a tool of this run, or all are undone."
            raise ToolError(msg)
        last = self.done[-1]
        if last.lost is not None:
            self.done.pop()
            msg = (
                f'The last change cannot be undone: "{last.lost}" could not be kept, for it was larger than '
                f"{MAX_KEPT_BYTES:,} bytes or not readable. Another call undoes the change before it."
            )
            raise ToolError(msg)
        for path, data in last.after.items():
            if content(workspace, path) != data:
                msg = (
                    f'The last change cannot be undone: "{path}" was changed by something else since. Edit it instead.'
                )
                raise ToolError(msg)
        for path, data in last.before.items():
            _put(workspace, path, data)
        self.done.pop()
        self._note(last.before)
        return last

    def _note(self, now: Mapping[_paths.Inside, bytes | None]) -> None:
        for path, data in now.items():
            if data is None:
                self._seen.pop(path, None)
            else:
                self.saw(path, data)


def content(workspace: Path, path: _paths.Inside) -> bytes | None:
    """Return what a file holds, of a large one the first `MAX_KEPT_BYTES` + 1. None: there is no such file.

    Raises:
        ToolError: it cannot be read.
    """
    if not _paths.exists(workspace, path):
        return None
    with _paths.open_file(workspace, path) as file:
        return file.read(MAX_KEPT_BYTES + 1)


def _put(workspace: Path, path: _paths.Inside, data: bytes | None) -> None:
    if data is None:
        _paths.remove(workspace, path)
    else:
        _paths.write_whole(workspace, path, data)
