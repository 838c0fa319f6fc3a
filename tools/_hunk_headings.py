"""Append the line that begins the enclosing function to the header of each hunk of a diff, as git does; pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from pathlib import PurePosixPath

from ._text import split_lines

MAX_CHARS = 80
_HEADER = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@$", re.MULTILINE)
# As git finds them (gitattributes(5), "Defining a custom hunk-header", and userdiff.c, git 2.39): by the kind of the
# file, else a line that begins with a letter, `_` or `$`.
_PYTHON = re.compile(r"[ \t]*((?:class|(?:async[ \t]+)?def)[ \t].*)")
_MARKDOWN = re.compile(r" {0,3}(#{1,6}[ \t].*)")
_OTHER = re.compile(r"([A-Za-z_$].*)")
_BY_SUFFIX = {".py": _PYTHON, ".pyi": _PYTHON, ".md": _MARKDOWN}


def with_headings(diff: str, old: str, path: str) -> str:
    """Return a diff with the nearest line above each hunk that begins a function, a class or a section.

    Args:
        diff: the unified diff of one file, without headings.
        old: the text before the change.
        path: of the file; its suffix decides what such a line is.
    """
    headings: dict[int, str] = {}
    begins = _BY_SUFFIX.get(PurePosixPath(path).suffix, _OTHER)
    for number, line in enumerate(split_lines(old), 1):
        if found := begins.match(line):
            headings[number] = found[1].rstrip()[:MAX_CHARS].rstrip()
    numbers = list(headings)

    def headed(found: re.Match[str]) -> str:
        # Without old lines, the header names the line before the hunk.
        first = int(found[1]) + (found[2] == "0")
        index = bisect_left(numbers, first)
        return f"{found[0]} {headings[numbers[index - 1]]}" if index else found[0]

    return _HEADER.sub(headed, diff)
