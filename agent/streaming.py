"""Watch a run: an async iterator of its events and of the parts of its replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Generic

from typing_extensions import TypeVar

from .begin import Watching
from .journal.events import Event, RunStarted
from .keywords import unknown_attribute
from .loop.outcome import Outcome
from .model.deltas import Delta
from .old_names import STREAM_ATTRIBUTES

OutputT = TypeVar("OutputT", default=str)


class EventStream(Generic[OutputT]):
    """The events of one run, and the parts of its replies as they arrive. The run continues while you iterate.

    After the last event, `outcome` is the outcome. Leaving the loop early cancels the run; `aclose`, or the end of
    `async with agent.stream(...) as stream:`, waits until it has ended. With `runs`, it can then be resumed.
    """

    def __init__(self, run: Callable[[Watching], Awaitable[Outcome[OutputT]]]) -> None:
        self._run = run
        self._outcome: Outcome[OutputT] | None = None
        self._started: RunStarted | None = None
        self._is_used = False
        self._task: asyncio.Future[Outcome[OutputT]] | None = None
        """The run. The loop alone holds the generator of events, so leaving the loop closes it."""

    @property
    def outcome(self) -> Outcome[OutputT]:
        """The outcome of the run.

        Raises:
            RuntimeError: The run has none: the loop did not begin, was left early or is not at its end.
        """
        if self._outcome is None:
            if not self._is_used:
                msg = "The run has not started. Write `async for event in stream:` to the end of the stream first."
            elif self._started is None:
                msg = "The run did not start, so it has no outcome. The loop raised the reason."
            else:
                run = self._started.run
                resume = "session.resume()" if self._started.session else f"agent.resume({run!r})"
                msg = (
                    f"The run {run!r} has no outcome, because the loop is not at the end of the stream. Leaving the "
                    "loop early cancels the run. To get an outcome, iterate to the end; or give the agent `runs`, and "
                    f"after a cancelled run write `await stream.aclose()` and `await {resume}`."
                )
            raise RuntimeError(msg)
        return self._outcome

    def __aiter__(self) -> AsyncGenerator[Event | Delta]:
        if self._is_used:
            msg = "A stream is one run, and can be iterated once. Call agent.stream(...) for another run."
            raise RuntimeError(msg)
        self._is_used = True
        return self._events()

    async def __aenter__(self) -> EventStream[OutputT]:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the run unless it has ended, and wait until it has."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    if not TYPE_CHECKING:  # a type checker would accept every name

        def __getattr__(self, name: str) -> object:
            raise unknown_attribute(self, name, STREAM_ATTRIBUTES)

    async def _events(self) -> AsyncGenerator[Event | Delta]:
        queue: asyncio.Queue[Event | Delta | None] = asyncio.Queue()
        watching = Watching(observe=queue.put_nowait, deltas=queue.put_nowait)
        self._task = asyncio.ensure_future(self._run(watching))
        self._task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                if isinstance(event, RunStarted):
                    self._started = event
                yield event
            self._outcome = self._task.result()
        finally:
            await self.aclose()
