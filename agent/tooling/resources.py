"""Per-run objects shared by tool calls; closed when the run ends, never persisted."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast, runtime_checkable

KindT = TypeVar("KindT")


@runtime_checkable
class Closeable(Protocol):
    """An object that must be closed."""

    async def aclose(self) -> None:
        """Close it; called once, when the run ends."""
        ...


@runtime_checkable
class Renewable(Protocol):
    """An object that remembers what the model has seen."""

    def on_context_renewed(self) -> None:
        """Forget what only the earlier conversation knew."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Command:
    what: str
    is_running: Callable[[], bool]
    stop: Callable[[], Awaitable[object]]


class RunningCommands:
    """The commands of a run that outlive the calls that started them."""

    def __init__(self) -> None:
        self._commands: list[_Command] = []

    def add(self, what: str, *, is_running: Callable[[], bool], stop: Callable[[], Awaitable[object]]) -> None:
        """Remember a command.

        Args:
            what: what it is, for the model.
            is_running: whether it has not ended.
            stop: ends it and all that it started; may be called more than once.
        """
        self._commands = [command for command in self._commands if command.is_running()]
        self._commands.append(_Command(what=what, is_running=is_running, stop=stop))

    async def aclose(self) -> None:
        """Stop them all."""
        await self.stop()

    async def stop(self) -> tuple[str, ...]:
        """Stop them all, and return what was still running."""
        commands, self._commands = self._commands, []
        found = tuple(command.what for command in commands if command.is_running())
        for command in commands:  # one that has ended may have left processes
            with suppress(OSError):
                await command.stop()
        return found


class Resources:
    """One object of each class that a tool requested."""

    def __init__(self) -> None:
        self._objects: dict[type, object] = {}
        self._lock = threading.Lock()  # sync tools run in threads, several at a time

    def get(self, kind: type[KindT]) -> KindT:
        """Return the run's object of this class; the first call creates it, without arguments.

        An object with `async def aclose()` is closed when the run ends. One with `def on_context_renewed()` gets that
        call when the conversation restarts with a summary.
        """
        with self._lock:
            if kind not in self._objects:
                self._objects[kind] = kind()
            return cast("KindT", self._objects[kind])

    def renew_context(self) -> None:
        """Call `on_context_renewed()` on each object that has it: the model no longer knows its earlier calls."""
        with self._lock:
            objects = list(self._objects.values())
        for resource in objects:
            if isinstance(resource, Renewable):
                resource.on_context_renewed()

    async def aclose(self) -> None:
        """Close the objects, newest first, and drop them."""
        while self._objects:
            _, resource = self._objects.popitem()
            if isinstance(resource, Closeable):
                with suppress(OSError):  # a process or socket that is already gone is fine
                    await resource.aclose()
