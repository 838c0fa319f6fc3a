"""Clean all that a command prints: no text, whoever wrote it, controls the terminal; our own colors stay."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO, cast

from .text import visible

# The colors of our own views and line ends of Windows, as a patch has them. Neither hides, moves nor overwrites.
_HARMLESS = re.compile(r"(\x1b\[(?:0|1|2|3[1-3])m|\r\n)")


class CleanOutput:
    """Passes text on with each other control character replaced; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.unclean = stream

    def write(self, text: str, /) -> int:
        """Write the text; returns its length, as a stream does."""
        self.unclean.write(_cleaned(text))
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Write each text."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.unclean, name)


@contextmanager
def clean_output() -> Generator[None]:
    """Make everything that is printed in this block, to stdout or stderr, go through `CleanOutput`."""
    out, err = CleanOutput(sys.stdout), CleanOutput(sys.stderr)
    with redirect_stdout(cast("TextIO", out)), redirect_stderr(cast("TextIO", err)):
        yield


def unclean(stream: TextIO) -> TextIO:
    """Return the stream below, for what must move the cursor or be exact; the caller cleans what others wrote."""
    return stream.unclean if isinstance(stream, CleanOutput) else stream


def _cleaned(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    parts = _HARMLESS.split(text)
    return "".join(part if at % 2 else visible(part) for at, part in enumerate(parts))
