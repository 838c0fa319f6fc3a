"""Read the report of our pytest plugin from a folder that the tests can write to; trusts nothing that is there."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from agent import open_regular

from ._test_report import Report, from_plugin

MAX_BYTES = 64_000_000
"""Later results are not read. A passing test takes about 740 bytes (1,000 tests, pytest 9.2), so 86,000 have room."""
MAX_LINE_BYTES = 20_000_000
"""The longest line that the plugin writes lists the ids of all tests."""


def read_report(folder: Path, name: str, workspace: Path) -> Report:
    """Return the report; what prevents reading all of it is in `Report.problems`. A missing file is an empty report.

    Args:
        folder: where the plugin writes.
        name: of its file there.
        workspace: absolute path of the workspace.
    """
    try:
        file = open_regular(folder, name)
    except FileNotFoundError:
        return Report()
    except OSError as error:
        what = "a symlink" if error.errno == errno.ELOOP else "something that is not a readable file"
        return Report(problems=(f"The tests replaced pytest's report with {what}, so their results are unknown.",))
    with file:
        lines = _Lines(file)
        report = from_plugin(lines, workspace)
    if lines.is_cut:
        report.problems += (
            f"The report is larger than {MAX_BYTES:,} bytes; later results are missing. Run fewer tests at once.",
        )
    return report


class _Lines:
    """The complete lines of a file, up to a size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.is_cut = False
        """Whether the file goes on after the last line; set once all lines are read."""

    def __iter__(self) -> Iterator[bytes]:
        left = MAX_BYTES
        while line := self._file.readline(min(left, MAX_LINE_BYTES)):
            left -= len(line)
            is_complete = line.endswith(b"\n")
            if is_complete or len(line) == MAX_LINE_BYTES:
                yield line
            if not left:
                self.is_cut = bool(self._file.read(1))
                return
