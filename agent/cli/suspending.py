"""Run what signals may end or stop; the time between Ctrl-Z and `fg` counts for no limit and no timeout."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .ending import cancelled_by_signals

ResultT = TypeVar("ResultT")


def run_suspendable(work: Coroutine[Any, Any, ResultT], advice: Callable[[], str] = str) -> ResultT:
    """Run a coroutine to its end, as asyncio.run does; `advice` returns how to go on if a signal ends it.

    SIGTSTP stops the process, and SIGCONT lets it go on with a clock that stood still meanwhile. Commands that are
    running are not stopped. A stop by SIGSTOP, which no process can notice, counts.

    Raises:
        KeyboardInterrupt: a signal ended it; its text says so, and the advice.
    """
    try:
        return asyncio.run(_suspendable(work, advice))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise KeyboardInterrupt(f"Interrupted. {advice()}".rstrip()) from None


async def _suspendable(work: Coroutine[Any, Any, ResultT], advice: Callable[[], str]) -> ResultT:
    stopped_s = 0.0

    def suspend(_number: int, _frame: object) -> None:
        nonlocal stopped_s
        began_s = time.monotonic()
        signal.raise_signal(signal.SIGSTOP)
        took_s = time.monotonic() - began_s
        stopped_s += took_s
        print(f"\nagent: going on after {took_s:,.0f} s, which do not count for the limits.", file=sys.stderr)

    loop = asyncio.get_running_loop()
    # Timeouts, waits and the clock of a run all go by the time of the loop.
    loop.time = lambda: time.monotonic() - stopped_s
    before = signal.signal(signal.SIGTSTP, suspend)
    try:
        with cancelled_by_signals(asyncio.current_task(), advice):
            return await work
    finally:
        signal.signal(signal.SIGTSTP, before)
