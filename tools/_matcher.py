"""Match a regular expression against lines in a separate process that can be killed; imports only the standard library.

stdin: the pattern, then the name and the content of each file, each sent as a line with its length in bytes and then
the bytes. stdout: one line per match, `name:line: text`, and nothing else. Exit codes: 0 done, 2 bad pattern (the
reason is on stdout), 3 stopped after `MAX_MATCHES` matches.
"""

from __future__ import annotations

import re
import sys
from typing import BinaryIO

MAX_MATCHES = 100
MAX_LINE_CHARS = 300


def main(source: BinaryIO, output: BinaryIO) -> int:
    """Read the request from `source`, write the matches to `output` and return the exit code."""
    expression = _read_frame(source) or b""
    try:
        pattern = re.compile(expression.decode())
    except (re.error, OverflowError, RecursionError) as error:
        output.write(str(error).encode())
        return 2
    count = 0
    while (name := _read_frame(source)) is not None:
        text = (_read_frame(source) or b"").decode()
        for number, line in enumerate(text.split("\n"), 1):
            found = pattern.search(line.removesuffix("\r"))
            if found is None:
                continue
            if count == MAX_MATCHES:
                return 3
            count += 1
            shown = _cut(line.removesuffix("\r"), found.start())
            output.write(b"%s:%d: %s\n" % (name, number, shown.encode()))
            output.flush()  # matches found before a kill are still shown
    return 0


def _read_frame(source: BinaryIO) -> bytes | None:
    length = source.readline()
    return source.read(int(length)) if length else None


def _cut(line: str, start: int) -> str:
    """Return the line, or of a long line the part around the match."""
    if len(line) <= MAX_LINE_CHARS:
        return line
    first = max(0, min(start - MAX_LINE_CHARS // 3, len(line) - MAX_LINE_CHARS))
    last = first + MAX_LINE_CHARS
    return f"{'...' if first else ''}{line[first:last]}{'...' if last < len(line) else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer, sys.stdout.buffer))
