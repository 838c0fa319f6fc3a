"""Run a blocking function outside the event loop; an abandoned one is not waited for, not even at exit."""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

_IDLE = 8
"""Threads that wait for the next call; to start one takes a third of the time of a short call."""
_Calls = queue.SimpleQueue[Callable[[], Callable[[], None]]]
"""Where a thread takes its calls from; each returns what tells its caller the result."""
_idle: list[_Calls] = []
"""Of each of them, the last one that had a call at the end."""
os.register_at_fork(after_in_child=_idle.clear)  # the threads are not in the child


async def in_thread(function: Callable[..., object], keywords: dict[str, object]) -> object:
    """Call the function in a daemon thread that nothing else uses; return its result or raise its exception.

    On cancellation the thread keeps running, because it cannot be killed, and its result is dropped.
    """
    # Not asyncio.to_thread: an abandoned call cannot be killed, and both asyncio.run and the interpreter's exit wait
    # for the threads of its pool, forever if need be (3.11). Nothing waits for a daemon thread, and abandoned calls do
    # not use up a pool.
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[object, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: object, error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result((result, error))

    def work() -> Callable[[], None]:
        threading.current_thread().name = f"tool {getattr(function, '__name__', '')}"
        result: object = None
        failure: BaseException | None = None
        try:
            result = context.run(function, **keywords)
        except BaseException as error:  # noqa: BLE001 - raised again below, where the caller waits
            failure = error
        return partial(tell, result, failure)

    def tell(result: object, error: BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing waits for the result
            loop.call_soon_threadsafe(settle, result, error)

    _start(work)
    result, failure = await ended
    if failure is not None:
        raise failure
    return result


def _start(work: Callable[[], Callable[[], None]]) -> None:
    try:
        calls = _idle.pop()
    except IndexError:
        calls = _Calls()
        threading.Thread(target=_serve, args=(calls,), daemon=True).start()
    calls.put(work)


def _serve(calls: _Calls) -> None:
    is_kept = True
    while is_kept:
        tell = calls.get()()
        is_kept = len(_idle) < _IDLE
        if is_kept:
            _idle.append(calls)  # before the caller knows, so that its next call finds this thread
        tell()
        del tell  # it holds the result
