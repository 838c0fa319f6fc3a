"""List, read, write and edit the text files of the workspace; refuse every path that leads out of it."""

from __future__ import annotations

import base64
import os
from collections import deque
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field

from agent import Image, ToolContext, ToolError, tool

from . import _paths
from ._change_history import Changes, read_content
from ._declared import own_path
from ._editing import replace_once
from ._encodings import Decoded, decode, encode, encode_like, only_crlf
from ._ignored import Ignored
from ._listing import NEVER_WALKED
from ._paging import MAX_SHOWN_CHARS, part_of, room_chars
from ._text import BOM, split_lines

MAX_ENTRIES = 200
MAX_DEPTH = 4
MAX_TEXT_BYTES = 20_000_000
MAX_SEARCHED_BYTES = 64_000_000
"""The largest file that search reads, if it is given as the path."""
MAX_IMAGE_BYTES = 5_000_000

Context = ToolContext[Any]


@tool(read_only=True, paths=own_path)
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
            if entry.name not in NEVER_WALKED
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


StartLine = Annotated[int, Field(ge=1)]
LineCount = Annotated[int, Field(ge=1)]
_LINE_COUNT = 400
"""Default of `line_count`."""


@tool(name="read_file", read_only=True)
def _trained_read_file(
    context: Context, path: str, start_line: StartLine = 1, line_count: LineCount = _LINE_COUNT
) -> str | Image:
    """Read a text file, or look at a picture."""
    # The pocket model was trained on this definition, and on whole files without line numbers.
    relative = _paths.inside(context.workspace, path)
    content = _content(context, relative)
    if isinstance(content, Image):
        return content
    note = f"\n{content.note}" if content.note else ""
    text = context.redacted(content.text)  # before it is cut, which could leave part of a secret
    if not text:
        return f"(an empty file){note}"
    is_whole = start_line == 1 and line_count >= len(split_lines(text))
    if is_whole and len(text) <= MAX_SHOWN_CHARS:
        return f"{text}{note}"
    part = part_of(text, f'"{relative}"', start_line, line_count, numbers=True)
    return f"{part.with_notes(part.note)}{note}"


@tool(read_only=True, paths=own_path, variants={"pocket": _trained_read_file})
def read_file(
    context: Context,
    path: str,
    start_line: StartLine = 1,
    line_count: LineCount = _LINE_COUNT,
    *,
    line_numbers: Annotated[bool, Field(description="False leaves out the number before each line.")] = True,
) -> str | Image:
    """Read a text file with line numbers, up to 14,000 characters (fewer in a small context), or look at a picture."""
    relative = _paths.inside(context.workspace, path)
    content = _content(context, relative)
    if isinstance(content, Image):
        return content
    text, notes = context.redacted(content.text), [content.note.strip("[]")]
    if not text:
        return "(an empty file)"
    if line_numbers and text.startswith(BOM):
        text, notes = text[1:], [*notes, "begins with a byte-order mark, which edits keep"]
    if line_numbers and only_crlf(text):
        text, notes = text.replace("\r\n", "\n"), [*notes, "each line ends in \\r\\n, which edits keep"]
    is_range = line_count != _LINE_COUNT
    room = room_chars(context)
    part = part_of(
        text, f'"{relative}"', start_line, line_count, numbers=line_numbers, is_range=is_range, max_chars=room
    )
    if not part.is_whole:
        notes = [part.note, *notes]
    if part.is_cut:
        notes.append(f"cut at {room:,} characters")
    if line_numbers and not part.ends:
        notes.append("no newline at the end")
    return part.with_notes(*notes)


@tool(exclusive=True, paths=own_path)
def write_file(context: Context, path: str, content: str) -> str:
    """Write a whole text file; replaces what was there."""
    relative = _paths.inside(context.workspace, path)
    changes = context.resources.get(Changes)
    changes.check_unchanged(context.workspace, relative)
    before: bytes | None = b""
    with suppress(ToolError):  # not readable, but it may be writable
        before = read_content(context.workspace, relative)
    written = encode_like(content, before or b"", relative)
    what = f"the write of {relative}{', which created it' if before is None else ''}"
    changes.apply(context.workspace, {relative: written.data}, what=what)
    return f"Wrote {_count(len(written.data), 'byte', 'bytes')} to {relative}{written.note}."


@tool(exclusive=True, paths=own_path)
def edit_file(context: Context, path: str, old: str, new: str) -> str:
    """Replace text in a file; old must occur exactly once."""
    relative = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, relative) as file:
        data = file.read(MAX_TEXT_BYTES + 1)
        size_bytes = os.fstat(file.fileno()).st_size
    text = _decoded(data, relative, size_bytes)
    encode(new, text.encoding, "new")  # its error names the parameter; that of the whole text could not
    # The pocket model was trained on the shorter message.
    edited = replace_once(text.text, old, new, relative, names_lines=context.model_family != "pocket")
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


def _content(context: Context, relative: _paths.Inside) -> Decoded | Image:
    with _paths.open_file(context.workspace, relative) as file:
        data = file.read(MAX_TEXT_BYTES + 1)
        size_bytes = os.fstat(file.fileno()).st_size
    media_type = _image_type(data)
    if media_type:
        return _image(data, relative, media_type)
    context.resources.get(Changes).record_seen(relative, data)
    return _decoded(data, relative, size_bytes)


def _decoded(data: bytes, relative: str, size_bytes: int) -> Decoded:
    if len(data) > MAX_TEXT_BYTES:
        search = "search, or run_shell with" if size_bytes <= MAX_SEARCHED_BYTES else "run_shell with grep,"
        msg = (
            f'"{relative}" is larger than {MAX_TEXT_BYTES:,} bytes. Use {search} head, tail or sed -n, to see parts '
            "of it."
        )
        raise ToolError(msg)
    return decode(data, relative)


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
