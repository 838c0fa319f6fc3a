"""Cut a long text to a part of whole lines that is shown at once, and say how to read on; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent import ToolContext, ToolError

from . import _text as _texts

MAX_SHOWN_CHARS = 14_000
_MAX_NOTE_CHARS = 600


@dataclass(frozen=True, kw_only=True)
class Part:
    """Consecutive lines of a text."""

    body: str
    """Ends with a newline, unless it is the last line and that has none."""
    note: str
    """Which lines these are and, unless they are all that was wanted, how to read on: `lines 3-4 of 9; read on with
    start_line=5`."""
    is_whole: bool
    """True if these are all lines."""
    is_cut: bool
    """True if fewer lines than were asked for had room."""
    ends: bool
    """False if the last line of the text is among them and has no newline."""

    def with_notes(self, *notes: str) -> str:
        """Return the lines, then the notes in brackets on a line of their own, if there are any."""
        shown = "; ".join(filter(None, notes))
        if not shown:
            return self.body
        return f"{self.body}{'' if self.body.endswith(chr(10)) else chr(10)}[{shown}]"


def room_chars(context: ToolContext[Any]) -> int:
    """Return how much of a text a result may show, so that the note on how to read on is never cut off."""
    limit = context.output_limit_chars
    return min(MAX_SHOWN_CHARS, max(limit - _MAX_NOTE_CHARS, limit // 2))


def part_of(
    text: str, name: str, start_line: int, line_count: int, *, numbers: bool, is_range: bool = False,
    max_chars: int = MAX_SHOWN_CHARS,
) -> Part:  # fmt: skip
    """Return as many lines of a text as were asked for and have room.

    Args:
        text: not empty.
        name: names the text in messages: `The diff`, or a path in quotes.
        start_line: from 1.
        line_count: at most so many lines.
        numbers: put the number of each line before it.
        is_range: only these lines are wanted: say how to read on only if not all of them have room.
        max_chars: as much has room.

    Raises:
        ToolError: the text has fewer lines than `start_line`.
    """
    lines = _texts.split_lines(text)
    total = len(lines)
    if start_line > total:
        msg = (
            f"{name} has {total:,} {'line' if total == 1 else 'lines'}; start_line {start_line} is past the end. "
            "Give a smaller start_line."
        )
        raise ToolError(msg)
    wanted = lines[start_line - 1 : start_line - 1 + line_count]
    taken: list[str] = []
    remaining = max_chars
    for number, line in enumerate(wanted, start_line):
        if len(line) > remaining:
            break
        taken.append(f"{number}: {line}" if numbers else line)
        remaining -= len(taken[-1])
    if not taken:
        line = wanted[0].removesuffix("\n")
        shown = f"{start_line}: " if numbers else ""
        note = f"line {start_line} of {total} is cut: {max_chars:,} of {len(line):,} characters"
        cut = f"{note}; use run_shell with cut -c to see more"
        return Part(body=f"{shown}{line[:max_chars]}", note=cut, is_whole=False, is_cut=False, ends=True)
    end = start_line - 1 + len(taken)
    last = min(start_line - 1 + line_count, total) if is_range else total
    more = f"; read on with start_line={end + 1}" if end < last else ""
    return Part(
        body="".join(taken),
        note=f"lines {start_line}-{end} of {total}{more}",
        is_whole=len(taken) == total,
        is_cut=len(taken) < len(wanted),
        ends=taken[-1].endswith("\n"),
    )
