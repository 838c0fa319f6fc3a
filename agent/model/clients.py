"""Share one HTTP client between all runs of an endpoint in an event loop; the last connection closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import httpx2


@dataclass(kw_only=True, slots=True)
class _Shared:
    client: httpx2.AsyncClient
    users: int = 0


class SharedClients:
    """The open HTTP clients of an endpoint, by event loop and server."""

    def __init__(self) -> None:
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()

    @asynccontextmanager
    async def client(self, base_url: str) -> AsyncGenerator[httpx2.AsyncClient]:
        """Return the client of this event loop for a server; the first block builds it, the last one closes it.

        A block around several runs lets them reuse connections.

        Raises:
            ConfigError: The environment names a proxy or certificates that cannot be used.
        """
        clients = self._open.setdefault(asyncio.get_running_loop(), {})
        server = "://".join(urlsplit(base_url)[:2])
        if server not in clients:
            from .http_client import build_client  # httpx2 takes 0.1 s; only needed to talk to a server

            clients[server] = _Shared(client=build_client(base_url))
        shared = clients[server]
        shared.users += 1
        try:
            yield shared.client
        finally:
            shared.users -= 1
            if not shared.users:
                del clients[server]
                await shared.client.aclose()
