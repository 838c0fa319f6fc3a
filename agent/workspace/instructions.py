"""Find and read a project's own instructions for agents: AGENTS.md, or else CLAUDE.md; bounded, and only inside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path

from ..sandbox.beneath import open_regular
from ..sandbox.inside import find_inside

NAMES = ("AGENTS.md", "CLAUDE.md")
"""In order of preference; see https://agents.md, read 2026-11."""
MAX_CHARS = 16_000
_HEADING = re.compile(r"#{1,2} +(.*\S)")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_MAX_HEADINGS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Instructions:
    """The text of one instruction file."""

    path: str
    """Relative to the workspace if it is inside, else absolute."""
    text: str
    """At most `MAX_CHARS` characters."""
    is_cut: bool = False
    headings: tuple[str, ...] = ()
    """Of the upper two levels, in the part that was read and then cut."""


def shorten_instructions(found: Instructions, max_chars: int) -> Instructions:
    """Return instructions of at most so many characters, cut between two lines, with the headings that are cut off."""
    if len(found.text) <= max_chars:
        return found
    lines = _lines(found.text)
    end = max((line.end for line in lines if line.end <= max_chars and not line.in_code), default=max_chars)
    headings = [line.heading for line in lines if line.heading and line.end > end]
    return replace(found, text=found.text[:end].rstrip(), is_cut=True, headings=tuple(headings[:_MAX_HEADINGS]))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    end: int
    """Offset of the next line."""
    heading: str
    """Empty if it is none, such as a comment in a block of code."""
    in_code: bool
    """Whether the next line is in a block of code."""


def _lines(text: str) -> Sequence[_Line]:
    lines: list[_Line] = []
    end, in_code = 0, False
    for line in text.splitlines(keepends=True):
        end += len(line)
        in_code ^= _FENCE.match(line) is not None
        heading = None if in_code else _HEADING.match(line)
        lines.append(_Line(end=end, heading="" if heading is None else heading[1], in_code=in_code))
    return lines


def read_instructions(workspace: Path) -> Instructions | None:
    """Return the instructions nearest to the workspace: in it, or in a parent folder of the same git repository.

    None if there are none, or if the file is not readable text. A symlink is followed only inside the repository, and
    one in the workspace only inside the workspace: a run may have made it, and what it leads to reaches the model.
    """
    workspace = workspace.resolve()
    folders = _folders(workspace)
    for name in NAMES:
        for folder in folders:
            found = _read(folder / name, workspace=workspace, top=folders[-1])
            if found is not None:
                return found
    return None


def _folders(workspace: Path) -> list[Path]:
    """Return the workspace and its parents up to the top of its repository; only the workspace outside of one."""
    chain = [workspace, *workspace.parents]
    top = next((index for index, folder in enumerate(chain) if (folder / ".git").exists()), 0)
    return chain[: top + 1]


def _read(path: Path, *, workspace: Path, top: Path) -> Instructions | None:
    try:
        root = workspace
        inside = find_inside(path, root)
        if inside is None:  # in a folder above, or where a symlink of it leads
            root = top
            inside = find_inside(path, root)
        if inside is None:
            return None
        with open_regular(root, inside) as raw, TextIOWrapper(raw, encoding="utf-8") as file:
            text = file.read(MAX_CHARS + 1)
    except (OSError, UnicodeDecodeError):
        return None
    if not text.strip() or "\0" in text:
        return None
    shown = str(path.relative_to(workspace)) if path.is_relative_to(workspace) else str(path)
    return Instructions(path=shown, text=text[:MAX_CHARS].strip(), is_cut=len(text) > MAX_CHARS)
