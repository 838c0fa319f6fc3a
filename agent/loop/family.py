"""Keep the commands of other runs out of a folder while one run verifies or restores it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from ..workspace.folder_keys import overlap


class Member:
    """A run of the family, and the folders that its commands may change."""

    def __init__(
        self, family: Family, folders: Iterable[Path], running: Callable[[], Sequence[str]],
        stop: Callable[[], Awaitable[Sequence[str]]], on_stopped: Callable[[Sequence[str], str], str],
    ) -> None:  # fmt: skip
        """Prepare it; it counts while it has joined.

        Args:
            family: of the run.
            folders: absolute; those that its commands may change.
            running: returns the commands of the run that have not ended.
            stop: stops the commands of the run that outlive their calls, and returns those that were running.
            on_stopped: records which of them another run stopped, and before what; returns a sentence for the model.
        """
        self._family = family
        self._folders = [folder.resolve() for folder in folders]
        self._running = running
        self._stop = stop
        self._on_stopped = on_stopped
        self._calls = 0
        self._is_alone = False
        self._untold: list[str] = []

    @contextmanager
    def joined(self) -> Generator[None]:
        """Belong to the family until the block ends."""
        self._family.members.append(self)
        try:
            yield
        finally:
            self._family.members.remove(self)

    @asynccontextmanager
    async def calling(self) -> AsyncGenerator[None]:
        """Hold the folder for a call that runs commands; waits while another run has it alone."""
        await self._family.until(lambda: not any(other._is_alone for other in self._others()))
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self._family.wake()

    @asynccontextmanager
    async def alone(self, *, before: str) -> AsyncGenerator[None]:
        """Hold the folder for this run alone; waits for calls of others, then stops what they have in the background.

        Args:
            before: before what, for their models; as a sentence about the past says it.
        """
        await self._family.until(lambda: not any(other._is_alone for other in self._others()))
        self._is_alone = True
        try:
            await self._family.until(lambda: not any(other._calls for other in self._others()))
            for other in self._others():
                if stopped := await other._stop():
                    other._untold.append(other._on_stopped(stopped, before))
            yield
        finally:
            self._is_alone = False
            self._family.wake()

    def running_elsewhere(self) -> Sequence[str]:
        """Return the commands of other runs that can change the same folder."""
        return [command for other in self._others() for command in other._running()]

    def untold(self) -> str:
        """Return what other runs stopped since the last call, for the model. Empty if nothing."""
        texts, self._untold = self._untold, []
        return "\n".join(texts)

    def _others(self) -> Sequence[Member]:
        return [
            member
            for member in self._family.members
            if member is not self and any(overlap(one, other) for one in self._folders for other in member._folders)
        ]


class Family:
    """A run and those that its tools start, and so on, as long as they are under way; all are in one event loop."""

    def __init__(self) -> None:
        """Prepare one without runs."""
        self.members: list[Member] = []
        self._changed = asyncio.Event()

    async def until(self, is_free: Callable[[], bool]) -> None:
        """Wait until this holds; it is looked at again whenever a run lets go of its folder."""
        while not is_free():
            await self._changed.wait()

    def wake(self) -> None:
        """Make those that wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()
