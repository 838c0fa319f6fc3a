"""Describe the change between two states of one path; a text diff only for text, and follows no symlink."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..names import on_its_line
from ..sandbox.beneath import open_regular
from .tree import Entry, same_bytes
from .unified import unified_diff

ChangeKind = Literal["added", "changed", "removed"]

MAX_TEXT_BYTES = 20_000_000
"""Of larger files only the sizes are told."""
NOT_SHOWN = "[diff left out]"
"""Takes the place of a diff that nobody asked for, or that would be too long."""
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference between a snapshot and the workspace.

    Attributes:
        path: Relative to the workspace, with slashes.
        kind: What became of the path.
        diff: A unified diff, or a note in brackets if it is not text, is too large, or only its mode or target changed.
    """

    path: str
    kind: ChangeKind
    diff: str

    @property
    def has_text(self) -> bool:
        """Whether `diff` is a diff, not a note."""
        return not self.diff.startswith("[")

    @property
    def line(self) -> str:
        """What became of the path, on one line."""
        return f"{self.kind:8} {on_its_line(self.path)}"

    @property
    def text(self) -> str:
        """The diff; for a change without one, a line with the path and the note."""
        return self.diff if self.has_text else f"{self.line}  {self.diff}"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """The state of one path at one time."""

    root: Path
    """The tree that it is in."""
    entry: Entry | None
    """None means that it does not exist."""


def change_of(name: str, *, before: State, after: State, with_text: bool = True) -> Change | None:
    """Return the change of one path. None means no change, or a folder, which is covered by its files.

    Args:
        name: the path, relative to both roots.
        before: its state in the snapshot.
        after: its state in the workspace.
        with_text: whether to compute the text diff; without it, its place is taken by a note.
    """
    old, new = _leaf(before), _leaf(after)
    if old is None and new is None:
        return None
    kind: ChangeKind = "added" if old is None else "removed" if new is None else "changed"
    if old is not None and new is not None:
        if old.kind != new.kind or old.target != new.target:
            return Change(path=name, kind=kind, diff=f"[{_describe(old)} became {_describe(new)}]")
        try:
            is_same = old.kind == "link" or _same(name, before, after)
        except OSError as error:
            return Change(path=name, kind=kind, diff=_unreadable(error))
        if is_same and (old.kind == "link" or old.mode == new.mode):
            return None
        if is_same:
            return Change(path=name, kind=kind, diff=f"[mode {old.mode:o} became {new.mode:o}]")
    return Change(path=name, kind=kind, diff=_text_diff(name, before, after) if with_text else NOT_SHOWN)


def _leaf(state: State) -> Entry | None:
    return None if state.entry is None or state.entry.kind == "folder" else state.entry


def _same(name: str, before: State, after: State) -> bool:
    assert before.entry is not None
    assert after.entry is not None
    if before.entry.size_bytes != after.entry.size_bytes:
        return False
    with open_regular(before.root, name) as left, open_regular(after.root, name) as right:
        return same_bytes(left, right)


def _describe(entry: Entry) -> str:
    return f"link to {on_its_line(entry.target)}" if entry.kind == "link" else f"file of {entry.size_bytes} bytes"


def _unreadable(error: OSError) -> str:
    return f"[cannot be read: {error.strerror or error}]"


def _text_diff(name: str, before: State, after: State) -> str:
    for state in (before, after):
        entry = _leaf(state)
        if entry is not None and (entry.kind == "link" or entry.size_bytes > MAX_TEXT_BYTES):
            return f"[{_describe(entry)}]"
    try:
        old, new = _text(name, before), _text(name, after)
    except OSError as error:
        return _unreadable(error)
    if old is None or new is None:
        entry = _leaf(after) or _leaf(before)
        return "[not text]" if entry is None else f"[not text, {entry.size_bytes} bytes]"
    was = name if _leaf(before) else None
    now = name if _leaf(after) else None
    return unified_diff(old, new, old_path=was, new_path=now) or _empty_file(name, added=was is None)


def _empty_file(name: str, *, added: bool) -> str:
    """Return the diff that adds or removes an empty file: it has no hunks, so git's header says what happens."""
    paths = f"{on_its_line(f'a/{name}')} {on_its_line(f'b/{name}')}"
    return f"diff --git {paths}\n{'new' if added else 'deleted'} file mode 100644"


def _text(name: str, state: State) -> str | None:
    """Return the text of a file, empty if there is none. None means that it is not text."""
    if _leaf(state) is None:
        return ""
    with open_regular(state.root, name) as file:
        data = file.read(MAX_TEXT_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # As the file tools read it, so that the diff can be applied by them.
        text = data.decode("latin-1")
        return None if _CONTROL.search(text) else text
    return None if "\0" in text else text
