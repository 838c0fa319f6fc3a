"""Shorten a long output for the model and keep the full text in a file, which the shortened text names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..sandbox.process import LEFT_OUT
from .own_files import write_inside

DEFAULT_OUTPUT_CHARS = 16_000
"""Tool results longer than this are shortened, unless a tool sets its own limit."""
HEAD_SHARE = 0.6
# Cut at a line end only if it is within this share of the part: minified files have extremely long lines.
LINE_END_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """A text that is short enough for the model."""

    text: str
    spilled: Path | None = None
    """The file with the full text. None means that there is none."""


OUTPUTS = ".agent/outputs"
"""Folder in the workspace with the texts that the conversation does not hold whole."""


def keep_whole(text: str, *, call_id: str, workspace: Path) -> str:
    """Keep a result that is about to leave the conversation; return its file in the workspace, empty if that fails.

    A file that was written when the result was shortened stays: it holds more.
    """
    name = f"{OUTPUTS}/{_file_name(call_id)}"
    if name in text:
        return name
    try:
        _write(workspace / name, text, workspace)
    except OSError:
        return ""
    return name


def shorten(text: str, *, call_id: str, limit_chars: int, workspace: Path, spill_dir: Path | None) -> Shortened:
    """Keep the head and tail of a long text and write the full text to a file.

    Args:
        text: longer than `limit_chars`; can be encoded.
        call_id: names the file.
        limit_chars: how much of the text is kept.
        workspace: absolute path of the workspace; a file inside is named relative to it.
        spill_dir: absolute path of the folder for the file; created when needed. None means that no file is written.
    """
    spilled: Path | None = None
    if spill_dir is None:
        where = "the rest is lost; ask for less at a time"
    else:
        spilled = spill_dir / _file_name(call_id)
        try:
            _write(spilled, text, workspace)
            shown = spilled.relative_to(workspace) if spilled.is_relative_to(workspace) else spilled
            where = f"{_what_is_in(str(shown), text)}; read it in parts"
        except OSError as error:
            spilled = None
            where = f"the whole could not be kept ({error.strerror}); ask for less at a time"
    head_chars = int(limit_chars * HEAD_SHARE)
    head = _until_line_end(text[:head_chars])
    tail = _from_line_start(text[len(text) - (limit_chars - head_chars) :])
    left_out = len(text) - len(head) - len(tail)
    middle = f"[... {left_out:,} of {len(text):,} characters left out; {where} ...]"
    return Shortened(text=f"{head}{'' if head.endswith(chr(10)) else chr(10)}{middle}\n{tail}", spilled=spilled)


def _file_name(call_id: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', call_id) or 'output'}.txt"


def _what_is_in(name: str, text: str) -> str:
    # Of a huge output, the process itself keeps only the head and the tail.
    lost_bytes = sum(int(number.replace(",", "")) for number in LEFT_OUT.findall(text))
    if not lost_bytes:
        return f"the whole is in {name}"
    return f"{name} holds the output except for {lost_bytes:,} bytes of its middle, which were not kept"


def _write(path: Path, text: str, workspace: Path) -> None:
    root = workspace if path.is_relative_to(workspace) else path.parent
    if root != workspace:
        root.mkdir(parents=True, exist_ok=True)
    # Replaced, never opened: in the workspace, a symlink may have taken its place.
    write_inside(root, path.relative_to(root).as_posix(), text.encode(), replace=True)


def _until_line_end(part: str) -> str:
    end = part.rfind("\n") + 1
    return part[:end] if end and end >= len(part) * (1 - LINE_END_SHARE) else part


def _from_line_start(part: str) -> str:
    start = part.find("\n") + 1
    return part[start:] if start <= len(part) * LINE_END_SHARE else part
