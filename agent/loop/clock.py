"""Measure how long a run has taken, without the time in which it could do nothing."""

from __future__ import annotations

import asyncio


class RunClock:
    """Seconds that a run has taken; stands still in a suspended process, and while the run waits for its server."""

    def __init__(self, before_s: float) -> None:
        """Start the clock of a run that has taken `before_s` seconds."""
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time() - before_s

    def __call__(self) -> float:
        return self._loop.time() - self._zero_s

    async def wait(self, seconds: float) -> None:
        """Sleep; the time does not count."""
        began_s = self._loop.time()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._zero_s += self._loop.time() - began_s
