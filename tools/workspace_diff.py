"""Show what a run has changed in its workspace so far; compares with the copy made at its start, and writes nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agent import Change, ToolContext, ToolError, changes_since, tool

from . import _paths
from ._declared import folder_path
from ._encodings import decode
from ._hunk_headings import with_headings
from ._paging import part_of, room_chars
from ._suggestions import suggestion

MAX_LISTED = 200
MAX_LINE_CHARS = 1_000
MAX_TEXT_BYTES = 20_000_000

Context = ToolContext[Any]


@tool(read_only=True, paths=folder_path)
def diff(
    context: Context,
    path: Annotated[str, Field(description="Only this file or folder.")] = ".",
    start_line: Annotated[int, Field(ge=1, description="Line of the diff to start at, to read a long one on.")] = 1,
) -> str:
    """Show what was changed in the workspace since the run started, as a unified diff."""
    relative = _paths.inside(context.workspace, path)
    if context.snapshot is None or not context.snapshot.is_dir():
        raise ToolError(_no_snapshot(context))
    try:
        changes = changes_since(context.snapshot, context.workspace, below="" if relative == "." else relative)
    except OSError as error:
        msg = f"The workspace cannot be compared: {error.strerror or error}. Read the files that you changed."
        raise ToolError(msg) from error
    if not changes:
        return _nothing(context, relative)
    room = room_chars(context)
    text = context.redacted(_text(changes, context.snapshot))
    part = part_of(text, "The diff", start_line, 1_000_000, numbers=False, max_chars=room)
    cut = f"cut at {room:,} characters, or give path" if part.is_cut and start_line == 1 else ""
    return part.with_notes("" if part.is_whole else part.note, cut)


def _text(changes: Sequence[Change], snapshot: Path) -> str:
    """Return a list of the changes, unless there is but one, and then their diffs."""
    diffs = [_short_lines(_with_headings(change, snapshot)) for change in changes if change.has_text]
    if len(changes) == len(diffs) == 1:
        return f"{diffs[0]}\n"
    listed = [_line(change) for change in changes[:MAX_LISTED]]
    if len(changes) > MAX_LISTED:
        listed.append(f"... and {len(changes) - MAX_LISTED:,} more; give path to see those of one folder")
    head = f"{len(changes):,} {'file' if len(changes) == 1 else 'files'} changed:"
    return "\n".join([head, *listed, *diffs]) + "\n"


def _line(change: Change) -> str:
    return f"{change.kind} {_paths.printable(change.path)}{'' if change.has_text else f' {change.diff}'}"


def _with_headings(change: Change, snapshot: Path) -> str:
    if change.kind != "changed":
        return change.diff
    try:
        with _paths.open_file(snapshot, _paths.inside(snapshot, change.path)) as file:
            old = decode(file.read(MAX_TEXT_BYTES), change.path).text
    except ToolError:  # a name or an encoding that the file tools do not take
        return change.diff
    return with_headings(change.diff, old, change.path)


def _short_lines(text: str) -> str:
    return re.sub(
        rf"^(.{{{MAX_LINE_CHARS}}})(.+)$",
        lambda found: f"{found[1]} [... {len(found[2]):,} more characters in this line]",
        text,
        flags=re.MULTILINE,
    )


def _no_snapshot(context: Context) -> str:
    reason = context.no_snapshot or "the run works in a folder that was not named, or none of its tools changes files"
    has_git = _paths.exists(context.workspace, _paths.Inside(".git"))
    advice = "Use run_shell with git diff." if has_git else "Read the files that you changed."
    return f"There is no copy of the workspace from the start of the run to compare with: {reason}. {advice}"


def _nothing(context: Context, path: _paths.Inside) -> str:
    if path == ".":
        return "Nothing in the workspace has changed since the run started."
    assert context.snapshot is not None
    existed = (context.snapshot / path).exists()
    if not existed and not _paths.exists(context.workspace, path):
        msg = f'There is no "{path}", and there was none when the run started. {suggestion(context.workspace, path)}'
        raise ToolError(msg)
    if not existed:
        return f'"{path}" is not compared: .gitignore ignores it, it is a cache or installed, or it holds no files.'
    return f'"{path}" has not changed since the run started.'
