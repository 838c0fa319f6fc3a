"""Edit several places, apply a diff, undo the last change; each call changes everything it names, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent import ToolContext, ToolError, tool

from . import _paths
from ._change_history import MAX_UNDO_BYTES, Changes, read_content
from ._editing import apply_hunks, parse_diff, replace_once
from ._encodings import Decoded, decode, encode

Context = ToolContext[Any]


class Edit(BaseModel):
    """Replace old, which must occur exactly once in the file, with new."""

    model_config = ConfigDict(extra="forbid")

    path: str
    old: str
    """Must occur exactly once after the preceding edits were made."""
    new: str


@tool(exclusive=True)
def edit_files(context: Context, edits: Annotated[tuple[Edit, ...], Field(min_length=1)]) -> str:
    """Make several replacements, in order, in one or more files; if one fails, nothing is changed."""
    texts: dict[_paths.Inside, Decoded] = {}
    changed: list[str] = []
    for number, edit in enumerate(edits, 1):
        path = _paths.inside(context.workspace, edit.path)
        if path not in texts:
            texts[path] = _read(context, path)
        try:
            edited = replace_once(texts[path].text, edit.old, edit.new, path)
        except ToolError as error:
            msg = f"Edit {number} of {len(edits)} failed; nothing was changed. {error}"
            raise ToolError(msg) from error
        texts[path] = replace(texts[path], text=edited.text)
        changed.append(f"{path}: {edited.lines}")
    after = {path: encode(text.text, text.encoding, f'The new text of "{path}"') for path, text in texts.items()}
    context.resources.get(Changes).apply(context.workspace, after)
    return f"Edited {'; '.join(changed)}."


@tool(exclusive=True)
def apply_diff(context: Context, diff: str) -> str:
    """Apply a unified diff; it may create, move and remove files. If one hunk fails, nothing is changed."""
    after: dict[_paths.Inside, bytes | None] = {}
    for one in parse_diff(diff):
        path = _paths.inside(context.workspace, one.path or one.new_path)
        before = after[path] if path in after else read_content(context.workspace, path)
        if one.path == "" and before is not None:
            msg = f'The diff creates "{path}", which already exists. Send a diff against its current content.'
            raise ToolError(msg)
        if one.path and before is None:
            msg = f'The diff changes "{path}", which does not exist. Find the right path with list_files.'
            raise ToolError(msg)
        if one.path and one.new_path not in {"", one.path}:
            _check_free(context, after, one.new_path)
        text = _decode(before or b"", path)
        changed = encode(apply_hunks(text.text, one, path), text.encoding, f'The new text of "{path}"')
        if one.new_path and one.new_path != one.path and one.path:
            after[_paths.inside(context.workspace, one.new_path)] = changed
            changed = None
        after[path] = changed if one.new_path else None
    context.resources.get(Changes).apply(context.workspace, after)
    changes = [f"{'removed' if data is None else 'wrote'} {path}" for path, data in after.items()]
    return f"Applied: {', '.join(changes)}."


@tool(exclusive=True)
def undo_change(context: Context) -> str:
    """Undo the last change that a tool made to files; call it again to undo the one before."""
    last = context.resources.get(Changes).undo(context.workspace)
    files = [f"{'removed' if data is None else 'restored'} {path}" for path, data in last.before.items()]
    return f"Undone: {', '.join(files)}."


def _check_free(context: Context, after: Mapping[_paths.Inside, bytes | None], path: str) -> None:
    target = _paths.inside(context.workspace, path)
    if (after[target] if target in after else read_content(context.workspace, target)) is not None:
        msg = f'The diff moves a file to "{target}", which already exists. Remove that file first, or edit both files.'
        raise ToolError(msg)


def _read(context: Context, path: _paths.Inside) -> Decoded:
    with _paths.open_file(context.workspace, path) as file:
        return _decode(file.read(MAX_UNDO_BYTES + 1), path)


def _decode(data: bytes, path: _paths.Inside) -> Decoded:
    if len(data) > MAX_UNDO_BYTES:
        msg = f'"{path}" is larger than {MAX_UNDO_BYTES:,} bytes. Change it with a shell command.'
        raise ToolError(msg)
    return decode(data, path)
