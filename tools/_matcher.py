"""Match a regular expression against lines, as a process of its own that can be killed; imports no package of ours.

stdin: the pattern, then for each file its name, each followed by its data: a line with the length in bytes, and the
bytes. stdout: one line per match, `name:line: text`; nothing else. Exit codes: 0 done, 2 bad pattern (the reason is on
stdout), 3 stopped at the most matches it may report.
"""

from __future__ import annotations

import re
import sys
from typing import BinaryIO

MAX_MATCHES = 100
MAX_LINE_CHARS = 300


def main(source: BinaryIO, answer: BinaryIO) -> int:
    """Read the request from `source`, write the matches to `answer`, return the exit code."""
    wanted = _frame(source) or b""
    try:
        pattern = re.compile(wanted.decode())
    except (re.error, OverflowError, RecursionError) as error:
        answer.write(str(error).encode())
        return 2
    count = 0
    while (name := _frame(source)) is not None:
        text = (_frame(source) or b"").decode()
        for number, line in enumerate(text.split("\n"), 1):
            found = pattern.search(line.removesuffix("\r"))
            if found is None:
                continue
            if count == MAX_MATCHES:
                return 3
            count += 1
            shown = _cut(line.removesuffix("\r"), found.start())
            answer.write(b"%s:%d: %s\n" % (name, number, shown.encode()))
            answer.flush()  # what is found before a kill is still shown
    return 0


def _frame(source: BinaryIO) -> bytes | None:
    length = source.readline()
    return source.read(int(length)) if length else None


def _cut(line: str, start: int) -> str:
    """Return the line, or the part of a long one around the match."""
    if len(line) <= MAX_LINE_CHARS:
        return line
    first = max(0, min(start - MAX_LINE_CHARS // 3, len(line) - MAX_LINE_CHARS))
    last = first + MAX_LINE_CHARS
    return f"{'...' if first else ''}{line[first:last]}{'...' if last < len(line) else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer, sys.stdout.buffer))
