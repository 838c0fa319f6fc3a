"""Make the texts of models and tools safe for a terminal, and short; never changes what a journal holds."""

from __future__ import annotations

import re

# Sequences in a program's output could move the cursor, set the title or write to the clipboard. A complete one is
# removed, as a terminal would consume it: colors and cursor movements, titles and other strings, character sets.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return the text without terminal sequences; other control characters, except tabs and newlines, are replaced."""
    return visible(_SEQUENCE.sub("", text))


def visible(text: str) -> str:
    """Return the text with every control character replaced, except tabs and newlines; nothing is removed."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def lines_of(text: str) -> list[str]:
    """Return the printable lines of a text, without empty ones at its ends."""
    return printable(text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")).split("\n")


def on_one_line(text: str) -> str:
    """Return the printable text with each run of whitespace as one space."""
    return visible(" ".join(_SEQUENCE.sub("", text).split()))


def shorten(text: str, max_chars: int) -> str:
    """Cut the end of a longer text, and mark the cut with three dots."""
    return text if len(text) <= max_chars else f"{text[: max(0, max_chars - 3)]}..."
