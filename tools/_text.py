"""Split and compare the text of files; pure, touches no file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._differences import INVISIBLE, UNICODE_FORM, differences, differing_lines, escaped, folded

BOM = "\ufeff"
# Only this many windows of a large file are compared for similarity: more would take seconds.
MAX_WINDOWS = 20_000
_MAX_LINES = 20
_MAX_LINE_CHARS = 300
_MAX_RANGES = 5


@dataclass(frozen=True, kw_only=True)
class Similar:
    """The lines of a text that are most similar to the text searched for."""

    line: int
    """Number of the first line, from 1."""
    lines: tuple[str, ...]
    difference: str
    """All kinds of difference, such as `indentation`; empty if there are others."""
    differing: tuple[int, ...]
    """Indices of the lines that differ."""

    @property
    def differing_lines(self) -> str:
        """The lines that differ, as `line 3` or `lines 3-5, 7`; empty for a single line, which is the only one."""
        if len(self.lines) == 1 or not self.differing:
            return ""
        if len(self.differing) == len(self.lines):
            return "every line"
        starts = [at for at in self.differing if at - 1 not in self.differing]
        ends = [at for at in self.differing if at + 1 not in self.differing]
        ranges = [
            f"{self.line + start}" if start == end else f"{self.line + start}-{self.line + end}"
            for start, end in zip(starts, ends, strict=True)
        ]
        shown = ", ".join([*ranges[:_MAX_RANGES], *(["..."] if len(ranges) > _MAX_RANGES else [])])
        return f"{'line' if len(self.differing) == 1 else 'lines'} {shown}"

    @property
    def looks_same(self) -> bool:
        """Whether a difference cannot be seen."""
        return UNICODE_FORM in self.difference or INVISIBLE in self.difference

    def shown(self, *, to_difference: bool = False) -> str:
        r"""Return the first lines with their numbers; \r, and what cannot be seen, as escapes that JSON can hold.

        Args:
            to_difference: of a long text, return the lines around the first that differs instead.
        """
        first = max(0, min(self.differing[0] - 2, len(self.lines) - _MAX_LINES)) if to_difference else 0
        shown = self.lines[first : first + _MAX_LINES]
        lines = [line.removesuffix("\n").replace("\r", "\\r")[:_MAX_LINE_CHARS] for line in shown]
        if self.looks_same:
            lines = list(map(escaped, lines))
        return "\n".join(f"{number}: {line}" for number, line in enumerate(lines, self.line + first))


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
            return Similar(
                line=at + 1,
                lines=there,
                difference=differences(there, sought),
                differing=differing_lines(there, sought),
            )
    count = len(sought)
    starts = range(min(max(len(lines) - count + 1, 1), MAX_WINDOWS))
    windows = {at: "".join(lines[at : at + count]) for at in starts}
    best = _most_similar(windows, wanted)
    if best is None:
        return None
    there = tuple(lines[best : best + count])
    return Similar(line=best + 1, lines=there, difference="", differing=_unmatched(there, sought))


def _unmatched(lines: Sequence[str], sought: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of the lines that are not, in this order, among those sought."""
    blocks = difflib.SequenceMatcher(None, lines, sought, autojunk=False).get_matching_blocks()
    matched = {at for block in blocks for at in range(block.a, block.a + block.size)}
    return tuple(at for at in range(len(lines)) if at not in matched)


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
