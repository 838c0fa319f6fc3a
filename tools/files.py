"""List, read, write and edit the text files of the workspace; refuse every path that leads out of it."""

from __future__ import annotations

import base64
from collections import deque
from typing import Annotated, Any

from pydantic import Field

from agent import Image, ToolContext, ToolError, tool

from . import _paths
from . import _text as _texts
from ._change_history import Changes
from ._editing import replace_once
from ._encodings import Decoded, decode, encode
from ._ignored import Ignored

MAX_ENTRIES = 200
MAX_DEPTH = 4
# Below the default limit of a tool result, so that the note on how to read on is never truncated.
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
    pending = deque([(top, 1)])
    # Breadth first: at the entry limit, it is the deep folders that are not expanded.
    while pending:
        folder, depth = pending.popleft()
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
            and not ignored.skips(_paths.below(folder, entry.name), is_folder=entry.kind == "folder")
        ]
        count = f"{'' if listing.complete else 'more than '}{_count(len(entries), 'entry', 'entries')}"
        if folder != top and (depth > MAX_DEPTH or len(lines) + len(entries) > MAX_ENTRIES):
            lines[folder] += f" ({count}, not shown)"
            continue
        if len(entries) > MAX_ENTRIES or not listing.complete:
            lines[top] = f"[{count}; only the first {MAX_ENTRIES} are shown; use search or run_shell to find others]\n"
        for entry in entries[:MAX_ENTRIES]:
            relative = _paths.below(folder, entry.name)
            lines[relative] = _entry_line(relative, entry)
            if entry.kind == "folder":
                pending.append((relative, depth + 1))
    head = lines.pop(top)
    if ignored.count:
        head += f"[{_count(ignored.count, 'entry', 'entries')} that .gitignore names left out]\n"
    # Sort by path parts, so that a folder comes right before its contents.
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
    relative = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, relative) as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    media_type = _image_type(data)
    if media_type:
        return _image(data, relative, media_type)
    context.resources.get(Changes).record_seen(relative, data)
    text = _text(data, relative)
    return _excerpt(text.text, relative, start_line, line_count) + (f"\n{text.note}" if text.note else "")


@tool(exclusive=True)
def write_file(context: Context, path: str, content: str) -> str:
    """Write a whole text file; replaces what was there."""
    relative = _paths.inside(context.workspace, path)
    data = encode(content, "utf-8", "content")
    changes = context.resources.get(Changes)
    changes.check_unchanged(context.workspace, relative)
    is_new = not _paths.exists(context.workspace, relative)
    what = f"the write of {relative}{', which created it' if is_new else ''}"
    changes.apply(context.workspace, {relative: data}, what=what)
    return f"Wrote {_count(len(data), 'byte', 'bytes')} to {relative}."


@tool(exclusive=True)
def edit_file(context: Context, path: str, old: str, new: str) -> str:
    """Replace text in a file; old must occur exactly once."""
    relative = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, relative) as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    text = _text(data, relative)
    encode(new, text.encoding, "new")  # its error names the parameter; that of the whole text could not
    edited = replace_once(text.text, old, new, relative)
    after = encode(edited.text, text.encoding, "the new text")
    what = f"the edit of {relative}, {edited.lines}"
    context.resources.get(Changes).apply(context.workspace, {relative: after}, what=what)
    return f"Edited {relative}: {edited.lines}."


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _entry_line(relative: str, entry: _paths.Entry) -> str:
    name = _paths.printable(relative)
    if entry.kind == "folder":
        return f"{name}/"
    if entry.kind == "file":
        return f"{name} ({_count(entry.size_bytes, 'byte', 'bytes')})"
    return f"{name} (a link)" if entry.kind == "link" else f"{name} (not a regular file)"


def _text(data: bytes, relative: str) -> Decoded:
    if len(data) > MAX_TEXT_BYTES:
        msg = (
            f'"{relative}" is larger than {MAX_TEXT_BYTES:,} bytes. Use search, or run_shell with head, tail or '
            "sed -n, to see parts of it."
        )
        raise ToolError(msg)
    return decode(data, relative)


def _excerpt(text: str, relative: str, start_line: int, line_count: int) -> str:
    lines = _texts.split_lines(text)
    total = len(lines)
    if not total:
        return "(an empty file)"
    if start_line > total:
        msg = (
            f'"{relative}" has {_count(total, "line", "lines")}; start_line {start_line} is past the end. '
            "Give a smaller start_line."
        )
        raise ToolError(msg)
    if start_line == 1 and line_count >= total and len(text) <= MAX_SHOWN_CHARS:
        return text
    taken: list[str] = []
    remaining = MAX_SHOWN_CHARS
    for number, line in enumerate(lines[start_line - 1 : start_line - 1 + line_count], start_line):
        if len(line) > remaining:
            break
        taken.append(f"{number}: {line}")
        remaining -= len(taken[-1])
    if not taken:
        line = lines[start_line - 1].removesuffix("\n")
        note = f"[line {start_line} of {total} is cut: {MAX_SHOWN_CHARS:,} of {len(line):,} characters"
        return f"{start_line}: {line[:MAX_SHOWN_CHARS]}\n{note}; use run_shell with cut -c to see more]"
    end = start_line - 1 + len(taken)
    body = "".join(taken)
    more = f"; read on with start_line={end + 1}" if end < total else ""
    return f"{body}{'' if body.endswith(chr(10)) else chr(10)}[lines {start_line}-{end} of {total}{more}]"


def _image_type(data: bytes) -> str:
    """Return the media type of an image, detected by its first bytes; empty if data is not an image."""
    signatures = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for signature, media_type in signatures.items() if data.startswith(signature)), "")


def _image(data: bytes, relative: str, media_type: str) -> Image:
    if len(data) > MAX_IMAGE_BYTES:
        msg = f'The picture "{relative}" is larger than {MAX_IMAGE_BYTES:,} bytes. Make a smaller copy of it first.'
        raise ToolError(msg)
    return Image(data=base64.b64encode(data).decode("ascii"), media_type=media_type)
