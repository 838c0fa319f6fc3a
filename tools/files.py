"""List, read, write and edit the text files of the workspace; refuses every path that leads out of it."""

from __future__ import annotations

import base64
from collections import deque
from typing import Annotated, Any

from pydantic import Field

from agent import Image, ToolContext, ToolError, tool

from . import _paths
from . import _text as _texts
from ._change_history import Changes
from ._editing import edited
from ._encodings import Decoded, decoded, encoded
from ._ignored import Ignored

MAX_ENTRIES = 200
MAX_DEPTH = 4
# Below the default limit of a tool result, so that our own note on how to read on is never cut away.
MAX_SHOWN_CHARS = 14_000
MAX_TEXT_BYTES = 20_000_000
MAX_IMAGE_BYTES = 5_000_000

Context = ToolContext[Any]


@tool(read_only=True)
def list_files(context: Context, path: str = ".") -> str:
    """List the files and folders below a folder, with sizes."""
    top = _paths.inside(context.workspace, path)
    lines = {top: ""}
    ignored = Ignored(context.workspace, top)
    waiting = deque([(top, 1)])
    # Breadth first: when the room runs out, it is the deep folders that stay closed.
    while waiting:
        folder, depth = waiting.popleft()
        if len(lines) > MAX_ENTRIES:
            lines[folder] += " (not shown)"
            continue
        try:
            listing = _paths.list_folder(context.workspace, folder)
        except ToolError:
            if folder == top:
                raise
            lines[folder] += " (cannot be read)"
            continue
        entries = [
            entry
            for entry in listing.entries
            if entry.name != ".git"
            and not ignored.leaves_out(_paths.below(folder, entry.name), is_folder=entry.kind == "folder")
        ]
        count = f"{'' if listing.complete else 'more than '}{_counted(len(entries), 'entry', 'entries')}"
        if folder != top and (depth > MAX_DEPTH or len(lines) + len(entries) > MAX_ENTRIES):
            lines[folder] += f" ({count}, not shown)"
            continue
        if len(entries) > MAX_ENTRIES or not listing.complete:
            lines[top] = f"[{count}; only the first {MAX_ENTRIES} are shown; use search or run_shell to find others]\n"
        for entry in entries[:MAX_ENTRIES]:
            relative = _paths.below(folder, entry.name)
            lines[relative] = _entry_line(relative, entry)
            if entry.kind == "folder":
                waiting.append((relative, depth + 1))
    head = lines.pop(top)
    if ignored.count:
        head += f"[{_counted(ignored.count, 'entry', 'entries')} that .gitignore names left out]\n"
    # By parts, so that a folder stands right before what it holds.
    ordered = sorted(lines, key=lambda relative: relative.split("/"))
    return head + "\n".join(lines[relative] for relative in ordered) or "(an empty folder)"


@tool(read_only=True)
def read_file(
    context: Context,
    path: str,
    start_line: Annotated[int, Field(ge=1)] = 1,
    line_count: Annotated[int, Field(ge=1)] = 400,
) -> str | Image:
    """Read a text file, or look at a picture."""
    shown = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, shown) as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    media_type = _picture_type(data)
    if media_type:
        return _picture(data, shown, media_type)
    context.resources.get(Changes).saw(shown, data)
    text = _text(data, shown)
    return _part(text.text, shown, start_line, line_count) + (f"\n{text.note}" if text.note else "")


@tool(exclusive=True)
def write_file(context: Context, path: str, content: str) -> str:
    """Write a whole text file; replaces what was there."""
    shown = _paths.inside(context.workspace, path)
    data = encoded(content, "utf-8", "content")
    changes = context.resources.get(Changes)
    changes.check_unchanged(context.workspace, shown)
    changes.apply(context.workspace, {shown: data})
    return f"Wrote {_counted(len(data), 'byte', 'bytes')} to {shown}."


@tool(exclusive=True)
def edit_file(context: Context, path: str, old: str, new: str) -> str:
    """Replace text in a file; old must occur exactly once."""
    shown = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, shown) as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    text = _text(data, shown)
    encoded(new, text.encoding, "new")  # names what cannot be written; the whole could not
    done = edited(text.text, old, new, shown)
    after = encoded(done.text, text.encoding, "the new text")
    context.resources.get(Changes).apply(context.workspace, {shown: after})
    return f"Edited {shown}: {done.place}."


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _entry_line(relative: str, entry: _paths.Entry) -> str:
    name = _paths.readable(relative)
    if entry.kind == "folder":
        return f"{name}/"
    if entry.kind == "file":
        return f"{name} ({_counted(entry.size_bytes, 'byte', 'bytes')})"
    return f"{name} (a link)" if entry.kind == "link" else f"{name} (not a regular file)"


def _text(data: bytes, shown: str) -> Decoded:
    if len(data) > MAX_TEXT_BYTES:
        msg = (
            f'"{shown}" is larger than {MAX_TEXT_BYTES:,} bytes. Use search, or run_shell with head, tail or sed -n, '
            "to see parts of it."
        )
        raise ToolError(msg)
    return decoded(data, shown)


def _part(text: str, shown: str, start_line: int, line_count: int) -> str:
    lines = _texts.lines_of(text)
    total = len(lines)
    if not total:
        return "(an empty file)"
    if start_line > total:
        msg = (
            f'"{shown}" has {_counted(total, "line", "lines")}; start_line {start_line} is past the end. '
            "Give a smaller start_line."
        )
        raise ToolError(msg)
    if start_line == 1 and line_count >= total and len(text) <= MAX_SHOWN_CHARS:
        return text
    taken: list[str] = []
    room = MAX_SHOWN_CHARS
    for number, line in enumerate(lines[start_line - 1 : start_line - 1 + line_count], start_line):
        if len(line) > room:
            break
        taken.append(f"{number}: {line}")
        room -= len(taken[-1])
    if not taken:
        line = lines[start_line - 1].removesuffix("\n")
        note = f"[line {start_line} of {total} is cut: {MAX_SHOWN_CHARS:,} of {len(line):,} characters"
        return f"{start_line}: {line[:MAX_SHOWN_CHARS]}\n{note}; use run_shell with cut -c to see more]"
    end = start_line - 1 + len(taken)
    body = "".join(taken)
    more = f"; read on with start_line={end + 1}" if end < total else ""
    return f"{body}{'' if body.endswith(chr(10)) else chr(10)}[lines {start_line}-{end} of {total}{more}]"


def _picture_type(data: bytes) -> str:
    """Return the media type of a picture, judged by its first bytes; empty: it is none."""
    starts = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for start, media_type in starts.items() if data.startswith(start)), "")


def _picture(data: bytes, shown: str, media_type: str) -> Image:
    if len(data) > MAX_IMAGE_BYTES:
        msg = f'The picture "{shown}" is larger than {MAX_IMAGE_BYTES:,} bytes. Make a smaller copy of it first.'
        raise ToolError(msg)
    return Image(data=base64.b64encode(data).decode("ascii"), media_type=media_type)
