"""Edit several places, apply a diff, undo the last change; each call changes everything it names, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent import ToolContext, ToolError, tool

from . import _paths
from ._change_history import MAX_UNDO_BYTES, Changes
from ._declared import paths_of_diff, paths_of_edits
from ._diff_parsing import parse_diff
from ._diff_plan import plan_diff
from ._editing import line_range, replace_once
from ._encodings import Decoded, decode, encode
from ._spans import Spans

Context = ToolContext[Any]


class Edit(BaseModel):
    """Replace old, which must occur exactly once in the file, with new."""

    model_config = ConfigDict(extra="forbid")

    path: str
    old: str
    """Must occur exactly once after the preceding edits were made."""
    new: str


@tool(exclusive=True, paths=paths_of_edits)
def edit_files(context: Context, edits: Annotated[tuple[Edit, ...], Field(min_length=1)]) -> str:
    """Make several replacements, in order, in one or more files; if one fails, nothing is changed."""
    texts: dict[_paths.Inside, Decoded] = {}
    spans: dict[_paths.Inside, Spans] = {}
    for number, edit in enumerate(edits, 1):
        path = _paths.inside(context.workspace, edit.path)
        if path not in texts:
            texts[path], spans[path] = _read(context, path), Spans()
        try:
            edited = replace_once(texts[path].text, edit.old, edit.new, path)
        except ToolError as error:
            msg = f"Edit {number} of {len(edits)} failed; nothing was changed. {error}"
            raise ToolError(msg) from error
        texts[path] = replace(texts[path], text=edited.text)
        spans[path].replace(edited.start, edited.removed, edited.added)
    after = {path: encode(text.text, text.encoding, f'The new text of "{path}"') for path, text in texts.items()}
    # The lines as they are after all edits: a later one may have moved those of an earlier one.
    changed = {
        path: [line_range(text.text, span.start, span.end - span.start) for span in spans[path].found]
        for path, text in texts.items()
    }
    what = f"the edits of {'; '.join(', '.join([path, *lines]) for path, lines in changed.items())}"
    context.resources.get(Changes).apply(context.workspace, after, what=what)
    return _report("Edited", [f"{path}: {'; '.join(lines)}" for path, lines in changed.items()])


@tool(exclusive=True, paths=paths_of_diff)
def apply_diff(context: Context, diff: str = "", diff_file: str = "") -> str:
    """Apply a unified diff; it may create, move and remove files. If one hunk fails, nothing is changed.

    Args:
        diff: The diff itself; or leave it out and give diff_file.
        diff_file: A file of the workspace that holds the diff.
    """
    if (diff == "") == (diff_file == ""):
        msg = "Give either diff, the text of a unified diff, or diff_file, the path of a file that holds one."
        raise ToolError(msg)
    if diff_file:
        diff = _read(context, _paths.inside(context.workspace, diff_file)).text
    plan = plan_diff(context.workspace, parse_diff(diff))
    report = [f"{path}: {'; '.join([words, *plan.moved.get(path, ())])}" for path, words in plan.report.items()]
    what = f"the diff of {'; '.join(f'{path}, {words}' for path, words in plan.report.items())}"
    context.resources.get(Changes).apply(context.workspace, plan.after, what=what, executable=plan.executable)
    return _report("Applied to", report)


@tool(exclusive=True)
def undo_change(context: Context) -> str:
    """Undo the last change that a tool made to files; call it again to undo the one before."""
    changes = context.resources.get(Changes)
    last = changes.undo(context.workspace)
    left = len(changes.done)
    more = f"{left} more {'change' if left == 1 else 'changes'} can be undone" if left else "nothing more can be undone"
    return f"Undone: {last.what} ({more})."


def _report(verb: str, lines: Sequence[str]) -> str:
    """Return one sentence about one file, or a line for each of several."""
    if len(lines) == 1:
        return f"{verb} {lines[0]}."
    return "\n".join([f"{verb} {len(lines)} files:", *lines])


def _read(context: Context, path: _paths.Inside) -> Decoded:
    with _paths.open_file(context.workspace, path) as file:
        data = file.read(MAX_UNDO_BYTES + 1)
    if len(data) > MAX_UNDO_BYTES:
        msg = f'"{path}" is larger than {MAX_UNDO_BYTES:,} bytes. Change it with a shell command.'
        raise ToolError(msg)
    return decode(data, path)
