"""Call the functions that a user gave to a run, sync or async; an exception in one ends the run, never raw."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from ..journal.events import Event

ItemT = TypeVar("ItemT")
Observer = Callable[[Event], object]
"""Called with each event after it is recorded; may be async. Async ones are awaited in order, beside the run."""


class CallbackError(Exception):
    """Raised after a function of the user raised; the run ends with it."""

    def __init__(self, what: str, error: Exception) -> None:
        super().__init__(f"`{what}` raised {type(error).__name__}: {error}")


class Watcher:
    """Gives the events of a run to an observer, in order."""

    def __init__(self, observe: Observer | None) -> None:
        self._observe = observe
        self._waiting: list[Awaitable[object]] = []
        self._task: asyncio.Task[None] | None = None
        self.failure: CallbackError | None = None
        """What the observer raised. None if nothing."""

    def check(self) -> None:
        """Check that the observer has not raised.

        Raises:
            CallbackError: it has.
        """
        if self.failure is not None:
            raise self.failure

    def show(self, event: Event) -> None:
        """Call the observer; nothing is raised, and after an exception it is not called again."""
        if self._observe is None or self.failure is not None:
            return
        try:
            found = _called("observe", self._observe, event)
        except CallbackError as error:
            self.failure = error
            return
        if inspect.isawaitable(found):
            self._waiting.append(cast("Awaitable[object]", found))
            if self._task is None or self._task.done():
                self._task = asyncio.ensure_future(self._await_all())

    async def aclose(self) -> None:
        """Wait until an async observer has seen every event."""
        if self._task is not None:
            await self._task

    async def _await_all(self) -> None:
        while self._waiting:
            found = self._waiting.pop(0)
            if self.failure is None:
                try:
                    await _awaited("observe", found)
                except CallbackError as error:
                    self.failure = error
            elif inspect.iscoroutine(found):
                found.close()


async def ask_user(what: str, function: Callable[[ItemT], object], item: ItemT) -> object:
    """Call a sync or async function of the user and return what it returns.

    Raises:
        CallbackError: it raised.
    """
    found = _called(what, function, item)
    return await _awaited(what, cast("Awaitable[object]", found)) if inspect.isawaitable(found) else found


def _called(what: str, function: Callable[[ItemT], object], item: ItemT) -> object:
    try:
        return function(item)
    except Exception as error:
        raise CallbackError(what, error) from error


async def _awaited(what: str, found: Awaitable[object]) -> object:
    try:
        return await found
    except Exception as error:
        raise CallbackError(what, error) from error
