"""Run a blocking function outside the event loop; an abandoned one is not waited for, not even at exit."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress


async def in_thread(function: Callable[..., object], keywords: dict[str, object]) -> object:
    """Call the function in its own daemon thread; return its result or raise its exception.

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

    def work() -> None:
        result: object = None
        failure: BaseException | None = None
        try:
            result = context.run(function, **keywords)
        except BaseException as error:  # noqa: BLE001 - raised again below, where the caller waits
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nothing waits for the result
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name=f"tool {getattr(function, '__name__', '')}", daemon=True).start()
    result, failure = await ended
    if failure is not None:
        raise failure
    return result
