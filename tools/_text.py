"""Cut and compare the text of files; pure, touches no file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

BOM = "\ufeff"
# Beyond this many places the nearest lines of a large file are not looked for: it would take seconds.
MAX_WINDOWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Near:
    """The part of a text that resembles what was looked for."""

    line: int
    """Its first line, from 1."""
    lines: tuple[str, ...]
    difference: str
    """The only thing in which it differs, such as `indentation`; empty: it differs in more."""


def lines_of(text: str) -> list[str]:
    r"""Split at \n only, and keep the line ends: the way editors and compilers count lines."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def places(text: str, wanted: str) -> list[int]:
    """Return where `wanted` starts in `text`, overlapping ones included; from 0."""
    found: list[int] = []
    start = text.find(wanted)
    while start >= 0:
        found.append(start)
        start = text.find(wanted, start + 1)
    return found


def line_at(text: str, place: int) -> int:
    """Return the number of the line that holds the character at `place`; lines count from 1."""
    return text.count("\n", 0, place) + 1


_RULES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("line endings", lambda line: line.rstrip("\r\n")),
    ("white space at line ends", lambda line: line.rstrip()),
    ("indentation", lambda line: line.strip()),
    ("white space", lambda line: "".join(line.split())),
    ("upper and lower case", lambda line: line.strip().casefold()),
)


def nearest(text: str, wanted: str) -> Near | None:
    """Return the lines of `text` most like `wanted`. None: nothing resembles it."""
    lines, sought = lines_of(text), lines_of(wanted)
    for difference, rule in _RULES:
        at = _window(list(map(rule, lines)), list(map(rule, sought)))
        if at is not None:
            return Near(line=at + 1, lines=tuple(lines[at : at + len(sought)]), difference=difference)
    count = len(sought)
    starts = range(min(max(len(lines) - count + 1, 1), MAX_WINDOWS))
    windows = {at: "".join(lines[at : at + count]) for at in starts}
    best = _most_alike(windows, wanted)
    return None if best is None else Near(line=best + 1, lines=tuple(lines[best : best + count]), difference="")


def _window(lines: Sequence[str], sought: Sequence[str]) -> int | None:
    if not any(sought):
        return None
    first, count = sought[0], len(sought)
    return next(
        (at for at, line in enumerate(lines) if line == first and lines[at : at + count] == sought),
        None,
    )


def _most_alike(windows: dict[int, str], wanted: str) -> int | None:
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
