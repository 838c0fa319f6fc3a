"""Run a blocking function beside the event loop; nobody waits for one that was given up, not even at exit."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress


async def in_thread(function: Callable[..., object], keywords: dict[str, object]) -> object:
    """Call the function in a daemon thread of its own; return or raise what it does.

    When the waiting is cancelled the thread goes on, because nothing can kill it, and its result is dropped.
    """
    # Not asyncio.to_thread: a call that was given up cannot be killed, and asyncio.run and the interpreter's exit
    # both wait for the threads of its pool, for ever if need be (3.11). A daemon thread per call is waited for by
    # nobody, and given-up calls do not use up the pool.
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
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name=f"tool {getattr(function, '__name__', '')}", daemon=True).start()
    result, failure = await ended
    if failure is not None:
        raise failure
    return result
