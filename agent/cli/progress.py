"""Show the start of an engine, and how it is doing: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

_PAUSE_S = 5.0
_TICK_S = 1.0


class Progress(Protocol):
    """One fact about a start; `serving.Progress` is one."""

    @property
    def phase(self) -> str: ...
    @property
    def elapsed_s(self) -> float: ...
    @property
    def detail(self) -> str: ...


class ProgressView(Protocol):
    """Shows what happens, until the end of its block."""

    def show(self, progress: Progress) -> None:
        """Show one fact."""
        ...

    def note(self, text: str) -> None:
        """Say something that stays to be read."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_view(live: Callable[[], str] = str) -> ProgressView:
    """Choose how to show progress on stderr.

    Args:
        live: says in one line how a ready server is doing; asked each few seconds, on a terminal only.
    """
    return ProgressLine(live) if sys.stderr.isatty() else ProgressLines()


class ProgressLines:
    """Writes every phase, and within a phase no more than a line in five seconds.

    An installer says two hundred things in two minutes; a person wants to know that it goes on.
    """

    def __init__(self) -> None:
        self._phase = ""
        self._shown_s = 0.0

    def show(self, progress: Progress) -> None:
        """Write one line, unless the phase is the same and its last line is not five seconds old."""
        if progress.phase == self._phase and progress.elapsed_s - self._shown_s < _PAUSE_S:
            return
        self._phase, self._shown_s = progress.phase, progress.elapsed_s
        self.note(_line(progress, progress.elapsed_s, progress.detail))

    def note(self, text: str) -> None:
        """Write lines as they are."""
        print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class ProgressLine:
    """Writes one line over itself each second, and leaves the last line of each phase standing."""

    def __init__(self, live: Callable[[], str]) -> None:
        self._live = live
        self._progress: Progress | None = None
        self._heard_s = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def show(self, progress: Progress) -> None:
        """Show it until the next."""
        with self._lock:
            if self._progress is not None and self._progress.phase != progress.phase:
                self._write("\n")
            self._progress, self._heard_s = progress, time.monotonic()
            self._draw(progress.detail)

    def note(self, text: str) -> None:
        """Write lines that stay, above the one that changes."""
        with self._lock:
            self._write(f"\r\x1b[2K{text}\n")

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
            # Asked outside of the lock: a server may take its time to answer.
            said = self._live() if progress is not None and progress.phase == "ready" else ""
            with self._lock:
                if progress is not None and progress is self._progress:
                    self._draw(said or progress.detail)

    def _draw(self, detail: str) -> None:
        progress = self._progress
        assert progress is not None, "show() draws first"
        elapsed_s = progress.elapsed_s + time.monotonic() - self._heard_s
        text = _line(progress, elapsed_s, detail)
        width = shutil.get_terminal_size().columns
        self._write("\r\x1b[2K" + (text if len(text) < width else text[: width - 2] + "…"))

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _line(progress: Progress, elapsed_s: float, detail: str) -> str:
    return f"  {elapsed_s:6.1f} s  {progress.phase}: {detail}"
