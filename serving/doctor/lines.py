"""Parse log lines into records of process, level, timestamp and text; does not interpret the text."""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .prefixes import Level, PrefixStripper


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line, or one part of a line that a progress bar has overwritten."""

    number: int
    """Line number in the log, from 1."""
    source: str
    """The container that wrote the line, in a log of several: `engine-0-1`. Empty if the log is of one container."""
    process: str
    """The process named by the prefix: `Worker_TP3`, `TP0`. Empty if there is no prefix, or it names no process."""
    level: Level
    """Empty if the line has no level, such as a traceback printed by Python itself."""
    stamp: str
    """The timestamp, for `prefixes.seconds`. Empty if the line has none with a date."""
    text: str
    """Without prefixes and line end, but with its indentation."""


def read_lines(lines: Iterable[str]) -> Iterator[Line]:
    """Parse lines, without the prefixes of engines, launchers, containers and loggers."""
    rest, stripper = iter(lines), PrefixStripper()
    first = list(itertools.islice(rest, _LEARNED_LINES))
    stripper.learn(part for whole in first for part in _parts(whole))
    for number, whole in enumerate(itertools.chain(first, rest), start=1):
        for part in _parts(whole):
            found = stripper.strip(part)
            yield Line(
                number=number,
                source=found.source,
                process=found.process,
                level=found.level,
                stamp=found.stamp,
                text=found.text,
            )


def _parts(whole: str) -> Iterator[str]:
    """Return the line without colours, split where a progress bar returned to its beginning."""
    coloured = any(mark in whole for mark in ("\x1b", "\u2190", "^["))
    plain = (_ANSI.sub("", whole) if coloured else whole).rstrip("\r\n")
    return (part[:_MAX_CHARS] for part in plain.split("\r") if part.strip())


_LEARNED_LINES = 400
"""Lines at the beginning of a log from which the form of its prefixes is learned."""
_MAX_CHARS = 16_000
"""More than the longest line of an engine, its settings. A request with an image may be logged with millions."""
_ANSI = re.compile(r"(?:\x1b|\u2190|\^\[)(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")
