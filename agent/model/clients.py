"""Share one HTTP client between all runs of an endpoint in an event loop; closed when the loop ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import httpx2


class SharedClients:
    """The HTTP clients of an endpoint, by event loop."""

    def __init__(self) -> None:
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AsyncGenerator[httpx2.AsyncClient]]] = (
            WeakKeyDictionary()
        )
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, httpx2.AsyncClient]] = WeakKeyDictionary()

    async def get(self, base_url: str) -> httpx2.AsyncClient:
        """Return the client of this event loop for a server; the first call builds it.

        It is closed when the loop ends, as `asyncio.run` ends it, or by `aclose`.

        Raises:
            ConfigError: The environment names a proxy or certificates that cannot be used.
        """
        loop = asyncio.get_running_loop()
        clients = self._clients.setdefault(loop, {})
        server = "://".join(urlsplit(base_url)[:2])
        if server not in clients:
            from .http_client import build_client  # httpx2 takes 0.1 s; only needed to talk to a server

            # An event loop closes the asynchronous generators that were started in it, when it is shut down.
            kept = _kept(build_client(base_url))
            clients[server] = await anext(kept)
            self._open.setdefault(loop, {})[server] = kept
        return clients[server]

    async def aclose(self) -> None:
        """Close the clients of this event loop; a later `get` builds new ones."""
        loop = asyncio.get_running_loop()
        self._clients.pop(loop, None)
        for kept in self._open.pop(loop, {}).values():
            await kept.aclose()


async def _kept(client: httpx2.AsyncClient) -> AsyncGenerator[httpx2.AsyncClient]:
    try:
        yield client
    finally:
        await client.aclose()
