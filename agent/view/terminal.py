"""Show a run at a terminal: its lines, and below them what happens right now, redrawn a few times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import TextIOBase
from types import TracebackType
from typing import Self, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..journal.events import Event, RunEnded
from ..model.deltas import Delta
from .clean_output import CleanOutput, unclean
from .live import LiveView
from .now import Line, Now
from .text import shorten, visible

_DRAWS_PER_S = 8
_LOAD_S = 2.0
"""How often the engine is asked what it does."""
_MAX_MISSES = 3
"""After so many answers in a row that say nothing, it is not asked again; a hosted server tells nothing of itself."""
_LABEL_CHARS = 9
_MARGIN = "  "
_ECHO_CHARS = 4
"""Free at the end of each line: a terminal writes ^C there, and would go to the next line, which is not ours."""
_MAX_ROWS = 8
_SHARE_OF_ROWS = 3


class TerminalView:
    """Writes the lines of `LiveView`, and below them a few that change: the reply as it streams, calls, the engine."""

    def __init__(self, out: TextIO, *, full: bool = False, load: Callable[[], str] = str) -> None:
        """Prepare it; nothing is drawn before the block begins.

        Args:
            out: a terminal.
            full: as for `LiveView`.
            load: returns one line about the engine; called in a thread every 2 s.
        """
        # Drawing moves the cursor; the texts that are drawn are cleaned here, and the lines by `CleanOutput`.
        self._console = Console(file=unclean(out), highlight=False, markup=False, emoji=False)
        above = CleanOutput(cast("TextIO", _Above(self._console)))
        self._lines = LiveView(cast("TextIO", above), full=full, color=not self._console.no_color)
        self._now = Now()
        self._load, self._engine = load, ""
        self._over = threading.Event()
        self._live = Live(
            console=self._console, get_renderable=self._region, refresh_per_second=_DRAWS_PER_S, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._ask_the_engine, daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._live.stop()

    def show(self, event: Event) -> None:
        """Show an event."""
        self._now.apply(event, time.monotonic())
        if isinstance(event, RunEnded):
            self._over.set()
            self._live.stop()
        self._lines.show(event)

    def add(self, delta: Delta) -> None:
        """Show a part of the reply."""
        self._now.add(delta, time.monotonic())

    def redraw(self) -> None:
        """Draw what happens now, unless the terminal is left to something else."""
        if self._live.is_started:
            self._live.refresh()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Leave the terminal to something else meanwhile: a question, or the shell."""
        was_drawn = self._live.is_started
        self._live.stop()
        try:
            yield
        finally:
            if was_drawn:
                self._live.start()

    def _region(self) -> Group:
        columns = max(20, self._console.width - len(_MARGIN) - _LABEL_CHARS - 1 - _ECHO_CHARS)
        rows = max(2, min(_MAX_ROWS, self._console.height // _SHARE_OF_ROWS))
        lines = [*self._now.lines(columns=columns, rows=rows, now_s=time.monotonic())]
        if self._engine:
            lines.append(Line(label="engine", text=shorten(self._engine, columns), is_dim=True))
        return Group(*map(_drawn, lines))

    def _ask_the_engine(self) -> None:
        misses = 0
        while misses < _MAX_MISSES and not self._over.is_set():
            self._engine = visible(self._load())
            misses = 0 if self._engine else misses + 1
            self._over.wait(_LOAD_S)


class _Above(TextIOBase):
    """A stream whose text stays on the screen, above what is redrawn."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        self._console.print(Text.from_ansi(text), soft_wrap=True, end="")
        return len(text)

    def isatty(self) -> bool:
        return True


def _drawn(line: Line) -> Text:
    text = Text(_MARGIN, no_wrap=True, overflow="crop")
    text.append(f"{line.label:<{_LABEL_CHARS}} ", style="bold")
    return text.append(visible(line.text), style="dim" if line.is_dim else "")
