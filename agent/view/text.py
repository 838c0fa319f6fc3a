"""Make the texts of models and tools safe for a terminal, and short; never changes what a journal holds."""

from __future__ import annotations

import re

from ..names import UNSEEN

# Sequences in a program's output could move the cursor, set the title or write to the clipboard. A complete one is
# removed, as a terminal would consume it: colors and cursor movements, titles and other strings, character sets.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])")
_CONTROL = re.compile(f"[{UNSEEN}]")


def printable(text: str) -> str:
    """Return the text without terminal sequences; other control characters, except tabs and newlines, are replaced."""
    return visible(_SEQUENCE.sub("", text))


def visible(text: str) -> str:
    """Return the text with every control character replaced, except tabs and newlines; nothing is removed."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def visible_json(text: str) -> str:
    """Return JSON text with each control character inside its strings as an escape, which means the same."""
    return _CONTROL.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def lines_of(text: str) -> list[str]:
    """Return the printable lines of a text, without empty ones at its ends."""
    return printable(text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")).split("\n")


def on_one_line(text: str) -> str:
    """Return the printable text with each run of whitespace as one space."""
    return visible(" ".join(_SEQUENCE.sub("", text).split()))


def shorten(text: str, max_chars: int) -> str:
    """Cut the end of a longer text, and mark the cut with three dots."""
    return text if len(text) <= max_chars else f"{text[: max(0, max_chars - 3)]}..."
