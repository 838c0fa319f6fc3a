"""Show the start of an engine as lines: every phase, and within a phase no more than a line in five seconds."""

from __future__ import annotations

import sys
from typing import Protocol

_PAUSE_S = 5.0


class Progress(Protocol):
    """One fact about a start; `serving.Progress` is one."""

    @property
    def phase(self) -> str: ...
    @property
    def elapsed_s(self) -> float: ...
    @property
    def detail(self) -> str: ...


class ProgressLines:
    """Writes to stderr. An installer says two hundred things in two minutes; a person wants to know that it goes on."""

    def __init__(self) -> None:
        self._phase = ""
        self._shown_s = 0.0

    def show(self, progress: Progress) -> None:
        """Write one line, unless the phase is the same and its last line is not five seconds old."""
        if progress.phase == self._phase and progress.elapsed_s - self._shown_s < _PAUSE_S:
            return
        self._phase, self._shown_s = progress.phase, progress.elapsed_s
        print(f"  {progress.elapsed_s:6.1f} s  {progress.phase}: {progress.detail}", file=sys.stderr, flush=True)
