"""Watch a run while it goes on: an async iterator of its events and of the parts of its replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Generic

from typing_extensions import TypeVar

from .journal.events import Event
from .loop.outcome import Outcome
from .model.deltas import Delta
from .starting import Watching

OutputT = TypeVar("OutputT", default=str)


class EventStream(Generic[OutputT]):
    """The events of one run, and the parts of its replies as they arrive; the run goes on while it is iterated.

    When the last event was seen, `outcome` is the outcome. Leaving the loop early cancels the run, which can then be
    resumed from its journal.
    """

    def __init__(self, run: Callable[[Watching], Awaitable[Outcome[OutputT]]]) -> None:
        self._run = run
        self._outcome: Outcome[OutputT] | None = None
        self._is_used = False

    @property
    def outcome(self) -> Outcome[OutputT]:
        """The outcome of the run.

        Raises:
            RuntimeError: The run has not ended.
        """
        if self._outcome is None:
            msg = "The run has not ended: iterate to the end of the stream first."
            raise RuntimeError(msg)
        return self._outcome

    def __aiter__(self) -> AsyncGenerator[Event | Delta]:
        if self._is_used:
            msg = "A stream is one run, and can be iterated once. Call agent.stream(...) for another run."
            raise RuntimeError(msg)
        self._is_used = True
        return self._events()

    async def _events(self) -> AsyncGenerator[Event | Delta]:
        queue: asyncio.Queue[Event | Delta | None] = asyncio.Queue()
        task = asyncio.ensure_future(self._run(Watching(observe=queue.put_nowait, deltas=queue.put_nowait)))
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            self._outcome = task.result()
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
