"""Change several places at once, apply a diff, undo: every call changes all that it names, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent import ToolContext, ToolError, tool

from . import _paths
from ._change_history import MAX_KEPT_BYTES, Changes, content
from ._editing import edited, parsed_diff, patched
from ._encodings import Decoded, decoded, encoded

Context = ToolContext[Any]


class Edit(BaseModel):
    """One replacement."""

    model_config = ConfigDict(extra="forbid")

    path: str
    old: str
    """Must occur exactly once, after the edits before it."""
    new: str


@tool(exclusive=True)
def edit_files(context: Context, edits: Annotated[tuple[Edit, ...], Field(min_length=1)]) -> str:
    """Replace several texts, in one or more files; if one does not fit, nothing is changed."""
    texts: dict[_paths.Inside, Decoded] = {}
    told: list[str] = []
    for number, edit in enumerate(edits, 1):
        path = _paths.inside(context.workspace, edit.path)
        if path not in texts:
            texts[path] = _text(context, path)
        try:
            done = edited(texts[path].text, edit.old, edit.new, path)
        except ToolError as error:
            msg = f"Edit {number} of {len(edits)} does not fit, so nothing was changed. {error}"
            raise ToolError(msg) from error
        texts[path] = replace(texts[path], text=done.text)
        told.append(f"{path}: {done.place}")
    after = {path: encoded(text.text, text.encoding, f'The new text of "{path}"') for path, text in texts.items()}
    context.resources.get(Changes).apply(context.workspace, after)
    return f"Edited {'; '.join(told)}."


@tool(exclusive=True)
def apply_diff(context: Context, diff: str) -> str:
    """Apply a unified diff; makes and removes files too. If one hunk does not fit, nothing is changed."""
    after: dict[_paths.Inside, bytes | None] = {}
    for one in parsed_diff(diff):
        path = _paths.inside(context.workspace, one.path or one.new_path)
        known = after[path] if path in after else content(context.workspace, path)
        if one.path == "" and known is not None:
            msg = f'The diff makes "{path}", which is there already. Give the diff from what it holds now.'
            raise ToolError(msg)
        if one.path and known is None:
            msg = f'There is no "{path}" in the workspace, so the diff does not fit. See what there is with list_files.'
            raise ToolError(msg)
        if one.path and one.new_path not in {"", one.path}:
            _check_free(context, after, one.new_path)
        before = _decoded(known or b"", path)
        changed = encoded(patched(before.text, one, path), before.encoding, f'The new text of "{path}"')
        if one.new_path and one.new_path != one.path and one.path:
            after[_paths.inside(context.workspace, one.new_path)] = changed
            changed = None
        after[path] = changed if one.new_path else None
    context.resources.get(Changes).apply(context.workspace, after)
    made = [f"{'removed' if data is None else 'wrote'} {path}" for path, data in after.items()]
    return f"Applied: {', '.join(made)}."


@tool(exclusive=True)
def undo_change(context: Context) -> str:
    """Undo the last change that a tool made to files; call it again for the one before."""
    last = context.resources.get(Changes).undo(context.workspace)
    told = [f"{path} {'is gone again' if data is None else 'is as it was'}" for path, data in last.before.items()]
    return f"Undone: {', '.join(told)}."


def _check_free(context: Context, after: Mapping[_paths.Inside, bytes | None], path: str) -> None:
    to = _paths.inside(context.workspace, path)
    if (after[to] if to in after else content(context.workspace, to)) is not None:
        msg = f'The diff moves a file to "{to}", which is there already. Remove that one first, or edit both.'
        raise ToolError(msg)


def _text(context: Context, path: _paths.Inside) -> Decoded:
    with _paths.open_file(context.workspace, path) as file:
        return _decoded(file.read(MAX_KEPT_BYTES + 1), path)


def _decoded(data: bytes, path: _paths.Inside) -> Decoded:
    if len(data) > MAX_KEPT_BYTES:
        msg = f'"{path}" is larger than {MAX_KEPT_BYTES:,} bytes. Change it with a command.'
        raise ToolError(msg)
    return decoded(data, path)
