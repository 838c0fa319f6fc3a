"""Plan what the files of a diff become, from what they are now; reads the workspace and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent import ToolError

from . import _paths
from ._change_history import MAX_UNDO_BYTES, read_content
from ._diff_applying import Applied, apply_hunks
from ._diff_parsing import FileDiff
from ._encodings import Decoded, decode, encode
from ._suggestions import suggestion


@dataclass(kw_only=True)
class Plan:
    """The contents and modes of all files of a diff, once it is applied."""

    after: dict[_paths.Inside, bytes | None] = field(default_factory=dict[_paths.Inside, bytes | None])
    """None means that the file is removed."""
    executable: dict[_paths.Inside, bool] = field(default_factory=dict[_paths.Inside, bool])
    """Files whose mode changes."""
    report: dict[_paths.Inside, str] = field(default_factory=dict[_paths.Inside, str])
    """What happens to each file, such as `lines 3-5`."""
    moved: dict[_paths.Inside, tuple[str, ...]] = field(default_factory=dict[_paths.Inside, tuple[str, ...]])
    """Of each file, a clause for each hunk that was applied elsewhere than its header says."""


def plan_diff(workspace: Path, diffs: Sequence[FileDiff]) -> Plan:
    """Return what a diff does to the workspace.

    Like git, takes the content of a file that is moved or copied from before the diff. Several parts about one file
    are applied one after the other.

    Raises:
        ToolError: a file is missing or exists already, or a hunk does not apply.
    """
    planning = _Planning(workspace)
    for diff in diffs:
        planning.note_freed(diff)
    for diff in diffs:
        planning.add(diff)
    return planning.plan


def paths_of(workspace: Path, diffs: Sequence[FileDiff]) -> tuple[_paths.Inside, ...]:
    """Return the files that a diff reads or changes.

    Raises:
        ToolError: a name is not a legal path of the workspace.
    """
    planning = _Planning(workspace)
    return tuple(path for diff in diffs for path in planning.paths(diff))


class _Planning:
    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self.plan = Plan()
        self._freed: set[_paths.Inside] = set()
        """Files that the diff removes or moves away."""
        self._made: set[_paths.Inside] = set()
        """Files that the diff creates, or moves or copies others to."""

    def note_freed(self, diff: FileDiff) -> None:
        if not diff.creates and not diff.copies:
            path, target = self.paths(diff)
            if diff.removes or path != target:
                self._freed.add(path)

    def add(self, diff: FileDiff) -> None:
        path, target = self.paths(diff)
        if diff.creates:
            self._create(diff, target)
            return
        before = self._content(path, moves=path != target)
        if before is None:
            msg = f'The diff changes "{path}", which does not exist. {suggestion(self._workspace, path)}'
            raise ToolError(msg)
        if len(before) > MAX_UNDO_BYTES:
            msg = f'"{path}" is larger than {MAX_UNDO_BYTES:,} bytes. Change it with a shell command.'
            raise ToolError(msg)
        if diff.removes:
            self._remove(diff, path, before)
            return
        edited = self._edited(diff, before, path)
        if path == target:
            self._change(diff, path, edited)
        else:
            self._move(diff, path, target, edited)

    def paths(self, diff: FileDiff) -> tuple[_paths.Inside, _paths.Inside]:
        """Return the path before and after; with or without the prefixes a/ and b/, whichever exists."""
        before, after = diff.names.before, diff.names.after
        chosen = 0
        if not diff.creates:
            exists = [_paths.exists(self._workspace, _paths.inside(self._workspace, name)) for name in before]
            chosen = exists.index(True) if True in exists else 0
        old = _paths.inside(self._workspace, before[chosen])
        new = old if diff.removes else _paths.inside(self._workspace, after[min(chosen, len(after) - 1)])
        return (new, new) if diff.creates else (old, new)

    def _content(self, path: _paths.Inside, *, moves: bool) -> bytes | None:
        """Return what the hunks apply to: for a move or copy what was there before the diff, as git means it."""
        planned = self.plan.after.get(path)
        if planned is not None and path not in self._made and not moves:
            return planned
        original = read_content(self._workspace, path)
        return planned if original is None else original

    def _edited(self, diff: FileDiff, before: bytes, path: _paths.Inside) -> _Edited:
        if not diff.hunks:
            return _Edited(data=before, applied=Applied(text="", lines="", moved=()))
        text = decode(before, path) if before else Decoded(text="")
        applied = apply_hunks(text.text, diff.hunks, path)
        return _Edited(data=encode(applied.text, text.encoding, f'The new text of "{path}"'), applied=applied)

    def _create(self, diff: FileDiff, path: _paths.Inside) -> None:
        exists = path not in self._freed and _paths.exists(self._workspace, path)
        if exists or path in self._made:
            msg = f'The diff creates "{path}", which already exists. Send a diff against its current content.'
            raise ToolError(msg)
        edited = self._edited(diff, b"", path)
        count = edited.data.count(b"\n") + (not edited.data.endswith(b"\n") and edited.data != b"")
        self._make(diff, path, edited, f"created, {count} {'line' if count == 1 else 'lines'}")

    def _remove(self, diff: FileDiff, path: _paths.Inside, before: bytes) -> None:
        edited = self._edited(diff, before, path)
        if diff.hunks and edited.data:
            count = edited.data.count(b"\n") or 1
            msg = (
                f'The diff removes "{path}", but leaves {count} of its lines; nothing was changed. Begin all its lines '
                "with -, or send a diff that keeps the file."
            )
            raise ToolError(msg)
        if path not in self._made:
            self.plan.after[path] = None
        self.plan.report[path] = "removed"

    def _change(self, diff: FileDiff, path: _paths.Inside, edited: _Edited) -> None:
        self.plan.after[path] = edited.data
        words = [edited.applied.lines, _mode_words(diff)]
        earlier = [self.plan.report[path]] if path in self.plan.report else []
        self.plan.report[path] = "; ".join([*earlier, *filter(None, words)]) or "no line changed"
        self._note(diff, path, edited)

    def _move(self, diff: FileDiff, path: _paths.Inside, target: _paths.Inside, edited: _Edited) -> None:
        exists = target not in self._freed and _paths.exists(self._workspace, target)
        if exists or target in self._made:
            word = "copies" if diff.copies else "moves"
            msg = f'The diff {word} a file to "{target}", which already exists. Remove that file first, or edit both.'
            raise ToolError(msg)
        words = [f"{'copied' if diff.copies else 'moved'} from {path}", edited.applied.lines]
        self._make(diff, target, edited, "; ".join(filter(None, [*words, _mode_words(diff)])))
        if diff.executable is None and _paths.is_executable(self._workspace, path):
            self.plan.executable[target] = True
        if not diff.copies and path not in self._made:
            self.plan.after[path] = None

    def _make(self, diff: FileDiff, path: _paths.Inside, edited: _Edited, report: str) -> None:
        self._made.add(path)
        self.plan.after[path] = edited.data
        self.plan.report[path] = report
        self._note(diff, path, edited)

    def _note(self, diff: FileDiff, path: _paths.Inside, edited: _Edited) -> None:
        self.plan.moved[path] = (*self.plan.moved.get(path, ()), *edited.applied.moved)
        if diff.executable is not None:
            self.plan.executable[path] = diff.executable


@dataclass(frozen=True, kw_only=True)
class _Edited:
    data: bytes
    applied: Applied


def _mode_words(diff: FileDiff) -> str:
    if diff.executable is None:
        return ""
    return "made executable" if diff.executable else "no longer executable"
