"""What the tools of one run keep between their calls; closed when the run ends, and never written down."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Protocol, TypeVar, cast, runtime_checkable

KindT = TypeVar("KindT")


@runtime_checkable
class Closeable(Protocol):
    """Something that has to be ended."""

    async def aclose(self) -> None:
        """End it; called once, when the run is over."""
        ...


class Resources:
    """One object of each class that a tool asked for."""

    def __init__(self) -> None:
        self._made: dict[type, object] = {}
        self._lock = threading.Lock()  # sync tools run in threads, several at once

    def get(self, kind: type[KindT]) -> KindT:
        """Return the run's object of this class; the first call makes it, with no arguments.

        One that has `async def aclose()` is closed when the run ends; see `aclose`.
        """
        with self._lock:
            if kind not in self._made:
                self._made[kind] = kind()
            return cast("KindT", self._made[kind])

    async def aclose(self) -> None:
        """Close what is kept, the last made first, and forget it."""
        while self._made:
            _, made = self._made.popitem()
            if isinstance(made, Closeable):
                with suppress(OSError):  # a process or socket that is gone already is what was wanted
                    await made.aclose()
