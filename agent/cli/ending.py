"""End runs at Ctrl-C, SIGTERM or a closed terminal: cleanly at the first signal, at once at the second or after 8 s."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NoReturn

from ..sandbox.process import kill_all_sessions
from ..view.text import visible

_CLEAN_S = 8.0
"""How long a clean end may take; those who stop services kill after 10 s (docker stop) or later."""
_SAME_S = 0.2
"""`timeout` and closed terminals send a signal twice."""
_REASONS = {
    signal.SIGINT: None,
    signal.SIGTERM: "it was asked to end (SIGTERM)",
    signal.SIGHUP: "its terminal was closed (SIGHUP)",
}


class _Ending:
    """What the signals of one command have done so far."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        """What the first signal cancels. None means that it raises KeyboardInterrupt."""
        self.advice: Callable[[], str] = str
        """Returns how to go on, for the end at once."""
        self.is_over = False
        self._first_s: float | None = None

    def handle(self, number: int, _frame: object) -> None:
        """Begin the clean end, or end at once."""
        now_s = time.monotonic()
        if self._first_s is None:
            self._first_s = now_s
            threading.Thread(target=self._end_late, daemon=True).start()
            if self.task is None:
                raise KeyboardInterrupt
            self.task.get_loop().call_soon_threadsafe(self.task.cancel, _REASONS[signal.Signals(number)])
        elif number != signal.SIGHUP and now_s - self._first_s > _SAME_S:
            self._end_at_once("by a second signal")

    def _end_late(self) -> None:
        threading.Event().wait(_CLEAN_S)
        if not self.is_over:
            self._end_at_once(f"because something did not end within {_CLEAN_S:.0f} s")

    def _end_at_once(self, why: str) -> NoReturn:
        kill_all_sessions()
        with suppress(OSError):  # the terminal may be closed
            os.write(2, visible(f"\nEnded at once, {why}. {self.advice()}").rstrip().encode() + b"\n")
        os._exit(130)


_CURRENT: ContextVar[_Ending | None] = ContextVar("ending", default=None)


@contextmanager
def ending_on_signals(*, ends_process: bool) -> Generator[None]:
    """End what runs inside the block at SIGINT, SIGTERM and SIGHUP.

    The first signal cancels the runs, or raises KeyboardInterrupt if none is in progress. A second SIGINT or SIGTERM
    ends the process at once with exit code 130, as do 8 s without an end of the block, or of the process if that ends
    after it, since threads of a task's own tools may keep it alive. SIGINT and SIGHUP stay ignored if they were:
    shells do so for commands in the background, and nohup.
    """
    ending = _Ending()
    token = _CURRENT.set(ending)
    before = {
        number: signal.signal(number, ending.handle)
        for number in _REASONS
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        ending.is_over = not ends_process
        for number, handler in before.items():
            signal.signal(number, handler)
        _CURRENT.reset(token)


@contextmanager
def cancelled_by_signals(task: asyncio.Task[Any] | None, advice: Callable[[], str]) -> Generator[None]:
    """Cancel this task at the first signal, if `ending_on_signals` is active."""
    ending = _CURRENT.get()
    if ending is None:
        yield
        return
    ending.task, ending.advice = task, advice
    try:
        yield
    finally:
        ending.task = None
