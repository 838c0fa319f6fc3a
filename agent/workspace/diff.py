"""Describe the change between two states of one path, for people; bounded in size, and a text diff only for text."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .tree import Entry, same_content

ChangeKind = Literal["added", "changed", "removed"]

# difflib's time grows with the square of the lines that differ: 4,000 against 4,000 take about a second.
_MAX_BYTES = 256 * 1024
_MAX_LINES = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference between a snapshot and the workspace."""

    path: str
    """Relative to the workspace, with slashes."""
    kind: ChangeKind
    diff: str
    """A unified diff, or a note in brackets if it is not text, is too large, or only its mode or target changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """The state of one path at one time."""

    path: Path
    """Where to read its content; need not exist."""
    entry: Entry | None
    """None means that it does not exist."""


def change_of(name: str, *, before: State, after: State) -> Change | None:
    """Return the change of one path. None means no change, or a folder, which is covered by its files.

    Raises:
        OSError: a file cannot be read.
    """
    old, new = _leaf(before), _leaf(after)
    if old is None:
        return None if new is None else Change(path=name, kind="added", diff=_text_diff(name, before, after))
    if new is None:
        return Change(path=name, kind="removed", diff=_text_diff(name, before, after))
    if old.kind != new.kind or old.target != new.target:
        return Change(path=name, kind="changed", diff=f"[{_describe(old)} became {_describe(new)}]")
    if old.kind == "file" and not (old.size_bytes == new.size_bytes and same_content(before.path, after.path)):
        return Change(path=name, kind="changed", diff=_text_diff(name, before, after))
    if old.kind == "file" and old.mode != new.mode:
        return Change(path=name, kind="changed", diff=f"[mode {old.mode:o} became {new.mode:o}]")
    return None


def _leaf(state: State) -> Entry | None:
    return None if state.entry is None or state.entry.kind == "folder" else state.entry


def _describe(entry: Entry) -> str:
    return f"link to {entry.target}" if entry.kind == "link" else f"file of {entry.size_bytes} bytes"


def _text_diff(name: str, before: State, after: State) -> str:
    for state in (before, after):
        entry = _leaf(state)
        if entry is not None and (entry.kind == "link" or entry.size_bytes > _MAX_BYTES):
            return f"[{_describe(entry)}]"
    old, new = _lines(before), _lines(after)
    if old is None or new is None:
        entry = _leaf(after) or _leaf(before)
        return "[not text]" if entry is None else f"[not text, {entry.size_bytes} bytes]"
    if max(len(old), len(new)) > _MAX_LINES:
        return f"[{len(old)} lines became {len(new)}]"
    was = f"a/{name}" if _leaf(before) else "/dev/null"
    now = f"b/{name}" if _leaf(after) else "/dev/null"
    return "\n".join(difflib.unified_diff(old, new, was, now, lineterm=""))


def _lines(state: State) -> list[str] | None:
    if _leaf(state) is None:
        return []
    try:
        text = state.path.read_bytes().decode()
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    *lines, rest = text.split("\n")
    return [*lines, f"{rest}\n\\ No newline at end of file"] if rest else lines
