"""Split and compare the text of files; pure, touches no file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._differences import INVISIBLE, UNICODE_FORM, differences, escaped, folded

BOM = "\ufeff"
# Only this many windows of a large file are compared for similarity: more would take seconds.
MAX_WINDOWS = 20_000
_MAX_LINES = 20
_MAX_LINE_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Similar:
    """The lines of a text that are most similar to the text searched for."""

    line: int
    """Number of the first line, from 1."""
    lines: tuple[str, ...]
    difference: str
    """All kinds of difference, such as `indentation`; empty if there are others."""

    @property
    def looks_same(self) -> bool:
        """Whether a difference cannot be seen."""
        return UNICODE_FORM in self.difference or INVISIBLE in self.difference

    def shown(self) -> str:
        r"""Return the first lines with their numbers; \r, and what cannot be seen, as escapes that JSON can hold."""
        lines = [line.removesuffix("\n").replace("\r", "\\r")[:_MAX_LINE_CHARS] for line in self.lines[:_MAX_LINES]]
        if self.looks_same:
            lines = list(map(escaped, lines))
        return "\n".join(f"{number}: {line}" for number, line in enumerate(lines, self.line))


def split_lines(text: str) -> list[str]:
    r"""Split at \n only and keep the line ends, as editors and compilers count lines."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def find_all(text: str, wanted: str) -> list[int]:
    """Return the offsets, from 0, at which `wanted` occurs in `text`, overlapping ones included."""
    found: list[int] = []
    start = text.find(wanted)
    while start >= 0:
        found.append(start)
        start = text.find(wanted, start + 1)
    return found


def line_number(text: str, offset: int) -> int:
    """Return the number, from 1, of the line that contains the character at `offset`."""
    return text.count("\n", 0, offset) + 1


# From strict to loose: the first lines that are equal to those sought are taken.
_NORMALIZERS: tuple[Callable[[str], str], ...] = (
    lambda line: line.rstrip("\r\n"),
    lambda line: line.rstrip(),
    lambda line: line.strip(),
    lambda line: "".join(line.split()),
    lambda line: line.strip().casefold(),
    folded,
)


def find_similar(text: str, wanted: str) -> Similar | None:
    """Return the lines of `text` most similar to `wanted`. None means nothing is similar enough."""
    lines, sought = split_lines(text), split_lines(wanted)
    for normalize in _NORMALIZERS:
        at = _find_window(list(map(normalize, lines)), list(map(normalize, sought)))
        if at is not None:
            there = tuple(lines[at : at + len(sought)])
            return Similar(line=at + 1, lines=there, difference=differences(there, sought))
    count = len(sought)
    starts = range(min(max(len(lines) - count + 1, 1), MAX_WINDOWS))
    windows = {at: "".join(lines[at : at + count]) for at in starts}
    best = _most_similar(windows, wanted)
    return None if best is None else Similar(line=best + 1, lines=tuple(lines[best : best + count]), difference="")


def _find_window(lines: Sequence[str], sought: Sequence[str]) -> int | None:
    if not any(sought):
        return None
    first, count = sought[0], len(sought)
    return next(
        (at for at, line in enumerate(lines) if line == first and lines[at : at + count] == sought),
        None,
    )


def _most_similar(windows: dict[int, str], wanted: str) -> int | None:
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted[:2_000])
    ranked: list[tuple[float, int]] = []
    for at, window in windows.items():
        matcher.set_seq1(window[:2_000])
        if matcher.real_quick_ratio() > 0.5:
            ranked.append((matcher.quick_ratio(), at))
    best: tuple[float, int] = (0.5, -1)
    for _, at in sorted(ranked, key=lambda rank: (-rank[0], rank[1]))[:5]:
        matcher.set_seq1(windows[at][:2_000])
        best = max(best, (matcher.ratio(), at), key=lambda rank: rank[0])
    return None if best[1] < 0 else best[1]
