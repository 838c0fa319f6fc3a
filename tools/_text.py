"""Split and compare the text of files; pure, touches no file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

BOM = "\ufeff"
# Only this many windows of a large file are compared for similarity: more would take seconds.
MAX_WINDOWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Similar:
    """The lines of a text that are most similar to the text searched for."""

    line: int
    """Number of the first line, from 1."""
    lines: tuple[str, ...]
    difference: str
    """The only kind of difference, such as `indentation`; empty if there are others."""


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


_NORMALIZERS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("line endings", lambda line: line.rstrip("\r\n")),
    ("white space at line ends", lambda line: line.rstrip()),
    ("indentation", lambda line: line.strip()),
    ("white space", lambda line: "".join(line.split())),
    ("upper and lower case", lambda line: line.strip().casefold()),
)


def find_similar(text: str, wanted: str) -> Similar | None:
    """Return the lines of `text` most similar to `wanted`. None means nothing is similar enough."""
    lines, sought = split_lines(text), split_lines(wanted)
    for difference, normalize in _NORMALIZERS:
        at = _find_window(list(map(normalize, lines)), list(map(normalize, sought)))
        if at is not None:
            return Similar(line=at + 1, lines=tuple(lines[at : at + len(sought)]), difference=difference)
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
