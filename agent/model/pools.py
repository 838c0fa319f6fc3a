"""Spread requests over small pools of connections: a pool looks at each of its connections for each request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

import httpx2

_MOST = 16
"""Requests that a pool has open at most. With one pool for 512 agents, half of their CPU time went to looking."""


@dataclass(slots=True, eq=False)
class _Pool:
    transport: httpx2.AsyncBaseTransport
    open: int = 0
    """Requests whose response is not closed."""


class Pools(httpx2.AsyncBaseTransport):
    """A transport over as many others as needed; requests one after the other all go to the first."""

    def __init__(self, build: Callable[[], httpx2.AsyncBaseTransport]) -> None:
        """Build the first one.

        Args:
            build: returns a new transport; the first call raises what is wrong with its settings.
        """
        self._build = build
        self._pools = [_Pool(build())]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request over the first pool that has room."""
        pool = next((pool for pool in self._pools if pool.open < _MOST), None)
        if pool is None:
            pool = _Pool(self._build())
            self._pools.append(pool)
        pool.open += 1
        try:
            response = await pool.transport.handle_async_request(request)
        except BaseException:
            pool.open -= 1
            raise
        response.stream = _Body(cast("httpx2.AsyncByteStream", response.stream), pool)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools:
            await pool.transport.aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of a response, whose end frees a place in its pool."""

    def __init__(self, body: httpx2.AsyncByteStream, pool: _Pool) -> None:
        self._body = body
        self._pool: _Pool | None = pool

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            if self._pool is not None:
                self._pool.open -= 1
            self._pool = None
