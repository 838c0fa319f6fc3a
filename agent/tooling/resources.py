"""Per-run objects shared by tool calls; closed when the run ends, never persisted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast, runtime_checkable

from .failures import described

KindT = TypeVar("KindT")

CLOSE_TIMEOUT_S = 60.0
"""How long one object may take to close."""
_STOP_TIMEOUT_S = 30.0  # shorter, so that all commands are stopped in time
_GRACE_S = 2.0
# A process or connection that is already gone is closed.
_GONE = (ProcessLookupError, ConnectionError)


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
        self._commands = [command for command in self._commands if _is_running(command)]
        self._commands.append(_Command(what=what, is_running=is_running, stop=stop))

    def running(self) -> tuple[str, ...]:
        """Return those that have not ended."""
        return tuple(command.what for command in self._commands if _is_running(command))

    async def aclose(self) -> None:
        """Stop them all.

        Raises:
            RuntimeError: some could not be stopped.
        """
        _, failed = await self._stop()
        if failed:
            raise RuntimeError("; ".join(failed))

    async def stop(self) -> tuple[str, ...]:
        """Stop them all, and return what was still running; `aclose` tries again what cannot be stopped."""
        found, _ = await self._stop()
        return found

    async def _stop(self) -> tuple[tuple[str, ...], Sequence[str]]:
        """Return what was still running, and why some could not be stopped."""
        commands, self._commands = self._commands, []
        found = [command.what for command in commands if _is_running(command)]
        # All of them: one that has ended may have left processes.
        failures = await asyncio.gather(*(_finish(command.stop, timeout_s=_STOP_TIMEOUT_S) for command in commands))
        failed = [(command, failure) for command, failure in zip(commands, failures, strict=True) if failure]
        self._commands += [command for command, _ in failed]
        return tuple(found), [f"{command.what}: {failure}" for command, failure in failed]


def _is_running(command: _Command) -> bool:
    with suppress(Exception):  # it is a tool's own
        return command.is_running()
    return True


class Resources:
    """One object of each class that a tool requested."""

    def __init__(self) -> None:
        self.running_elsewhere: Callable[[], Sequence[str]] = tuple
        """Returns the commands of other runs that can change the same folder."""
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

    async def renew_context(self, report: Callable[[str], object]) -> None:
        """Call `on_context_renewed()` on each object that has it: the model no longer knows its earlier calls.

        Args:
            report: called with a sentence for each object whose method fails.
        """
        with self._lock:
            objects = [resource for resource in self._objects.values() if isinstance(resource, Renewable)]
        for resource in objects:

            async def renew(resource: Renewable = resource) -> None:
                resource.on_context_renewed()

            if failure := await _finish(renew):
                name = type(resource).__name__
                report(f"{name}.on_context_renewed() failed: {failure}. It may still go by the old conversation.")

    async def aclose(self, report: Callable[[str], object]) -> None:
        """Close the objects, newest first, and drop them.

        Never raises, except for the cancellation of the caller, after all of them are closed.

        Args:
            report: called with a sentence for each object that cannot be closed.
        """
        cancelled: asyncio.CancelledError | None = None
        while self._objects:
            kind, resource = self._objects.popitem()
            if not isinstance(resource, Closeable):
                continue
            try:
                failure = await _finish(resource.aclose)
            except asyncio.CancelledError as error:
                cancelled = error
                continue
            if failure:
                report(f"{kind.__name__}.aclose() failed: {failure}. What it held may still be open.")
        if cancelled is not None:
            raise cancelled


async def _finish(close: Callable[[], Awaitable[object]], *, timeout_s: float | None = None) -> str:
    """Call a function that ends something, and wait for it; return why that failed, empty if it did not.

    `timeout_s` None means `CLOSE_TIMEOUT_S`. Raises only the cancellation of the caller.
    """
    timeout_s = CLOSE_TIMEOUT_S if timeout_s is None else timeout_s
    # A separate task, awaited from outside: one that swallows its cancellation cannot block the end of the run.
    body = asyncio.create_task(_attempt(close))
    try:
        await asyncio.wait({body}, timeout=timeout_s)
        in_time = body.done()
    finally:
        if not body.done():
            body.cancel()
            await asyncio.wait({body}, timeout=_GRACE_S)
    if not in_time:
        return f"it did not end within {timeout_s:g} s"
    if body.cancelled():
        return "it was cancelled"
    error = body.exception()
    return "" if error is None or isinstance(error, _GONE) else described(error)


async def _attempt(close: Callable[[], Awaitable[object]]) -> None:
    try:
        await close()
    except SystemExit as error:
        msg = "it called sys.exit()"
        raise RuntimeError(msg) from error  # asyncio would end the whole process
