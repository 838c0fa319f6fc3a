"""Run what signals may end or stop; the time between Ctrl-Z and `fg` counts for no limit and no timeout."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from .ending import cancelled_by_signals

ResultT = TypeVar("ResultT")
_BEAT_S = 1.0
"""How often it is noted that the process is not stopped."""


def run_suspendable(
    work: Coroutine[Any, Any, ResultT], advice: Callable[[], str] = str,
    paused: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> ResultT:  # fmt: skip
    """Run a coroutine to its end, as asyncio.run does.

    SIGTSTP and SIGSTOP stop the process, and SIGCONT lets it go on with a clock that stood still meanwhile, to a second
    after SIGSTOP, which no process can notice. Commands that are running are not stopped. While a machine sleeps, its
    monotonic clock stands still anyway (Linux, macOS).

    Args:
        work: the coroutine.
        advice: returns how to go on if a signal ends it.
        paused: its block leaves the terminal to the shell while SIGTSTP stops the process.

    Raises:
        KeyboardInterrupt: a signal ended it; its text says so, and the advice.
    """
    try:
        return asyncio.run(_suspendable(work, advice, paused))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise KeyboardInterrupt(f"Interrupted. {advice()}".rstrip()) from None


async def _suspendable(
    work: Coroutine[Any, Any, ResultT], advice: Callable[[], str], paused: Callable[[], AbstractContextManager[None]]
) -> ResultT:
    loop = asyncio.get_running_loop()
    stopped_s, alive_s = 0.0, time.monotonic()

    def beat() -> None:
        nonlocal alive_s
        alive_s = time.monotonic()
        loop.call_later(_BEAT_S, beat)

    def suspend(_number: int, _frame: object) -> None:
        nonlocal alive_s
        alive_s = time.monotonic()
        with paused():
            signal.raise_signal(signal.SIGSTOP)
            go_on()

    def go_on(_number: int = 0, _frame: object = None) -> None:
        nonlocal stopped_s, alive_s
        took_s, alive_s = time.monotonic() - alive_s, time.monotonic()
        if took_s > 2 * _BEAT_S:  # after less, the process may only have been busy
            stopped_s += took_s
            print(f"\nagent: going on after {took_s:,.0f} s, which do not count for the limits.", file=sys.stderr)

    # Timeouts, waits and the clock of a run all go by the time of the loop.
    loop.time = lambda: time.monotonic() - stopped_s
    before = {
        signal.SIGTSTP: signal.signal(signal.SIGTSTP, suspend),
        signal.SIGCONT: signal.signal(signal.SIGCONT, go_on),
    }
    beat()
    try:
        with cancelled_by_signals(asyncio.current_task(), advice):
            return await work
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
