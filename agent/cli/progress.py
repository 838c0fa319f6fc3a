"""Show an engine's start and load: one updating line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from ..view.clean_output import unclean
from ..view.text import visible

_PAUSE_S = 5.0
_TICK_S = 1.0


class Progress(Protocol):
    """One progress report of a start; implemented by `serving.Progress`."""

    @property
    def phase(self) -> str: ...
    @property
    def elapsed_s(self) -> float: ...
    @property
    def detail(self) -> str: ...


class ProgressView(Protocol):
    """Shows progress until the end of its `with` block."""

    def show(self, progress: Progress) -> None:
        """Show one progress report."""
        ...

    def note(self, text: str) -> None:
        """Print text that is not overwritten."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_view(load: Callable[[], str] = str) -> ProgressView:
    """Create the progress view for stderr.

    Args:
        load: returns one line about a ready server's load; called once a second, on a terminal only.
    """
    return ProgressLine(load) if sys.stderr.isatty() else ProgressLines()


class ProgressLines:
    """Writes a line for each new phase, and within a phase at most one line in five seconds.

    An installer prints two hundred lines in two minutes; a person only needs to see that it is still running.
    """

    def __init__(self) -> None:
        self._phase = ""
        self._shown_s = 0.0

    def show(self, progress: Progress) -> None:
        """Write one line, unless the phase is unchanged and its last line is less than five seconds old."""
        if progress.phase == self._phase and progress.elapsed_s - self._shown_s < _PAUSE_S:
            return
        self._phase, self._shown_s = progress.phase, progress.elapsed_s
        self.note(_line(progress, progress.elapsed_s, progress.detail))

    def note(self, text: str) -> None:
        """Print the text unchanged."""
        print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class ProgressLine:
    """Redraws one line each second, and keeps the last line of each phase."""

    def __init__(self, load: Callable[[], str]) -> None:
        self._load = load
        self._progress: Progress | None = None
        self._received_s = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def show(self, progress: Progress) -> None:
        """Show the report until the next one."""
        with self._lock:
            if self._progress is not None and self._progress.phase != progress.phase:
                self._write("\n")
            self._progress, self._received_s = progress, time.monotonic()
            self._draw(progress.detail)

    def note(self, text: str) -> None:
        """Print permanent text above the updating line."""
        with self._lock:
            self._write(f"\r\x1b[2K{visible(text)}\n")

    def __enter__(self) -> Self:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._ticker.join()
        if self._progress is not None:
            self._write("\n")

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_S):
            progress = self._progress
            # Called outside the lock: a server may be slow to answer.
            load = self._load() if progress is not None and progress.phase == "ready" else ""
            with self._lock:
                if progress is not None and progress is self._progress:
                    self._draw(load or progress.detail)

    def _draw(self, detail: str) -> None:
        progress = self._progress
        assert progress is not None, "show() draws first"
        elapsed_s = progress.elapsed_s + time.monotonic() - self._received_s
        text = visible(_line(progress, elapsed_s, detail))
        width = shutil.get_terminal_size().columns
        self._write("\r\x1b[2K" + (text if len(text) < width else text[: width - 2] + "…"))

    def _write(self, text: str) -> None:
        stream = unclean(sys.stderr)  # redrawing a line moves the cursor
        stream.write(text)
        stream.flush()


def _line(progress: Progress, elapsed_s: float, detail: str) -> str:
    return f"  {elapsed_s:6.1f} s  {progress.phase}: {detail}"
