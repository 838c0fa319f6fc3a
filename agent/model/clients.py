"""Share one HTTP client between all runs of an endpoint in an event loop; the last connection closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from .models_list import ModelLists

if TYPE_CHECKING:
    import httpx2
    import openai


@dataclass(kw_only=True, slots=True)
class ServerClient:
    """What connections to one server share."""

    http: httpx2.AsyncClient
    openai: openai.AsyncOpenAI
    """Sends requests over `http`."""
    models: ModelLists = field(default_factory=ModelLists)
    users: int = 0


def server_client(http: httpx2.AsyncClient, base_url: str) -> ServerClient:
    """Return the client of a server over this HTTP client.

    Raises:
        ConfigError: The address cannot be that of a server.
    """
    from .transport import openai_client  # openai takes 0.4 s; only needed to talk to a server

    return ServerClient(http=http, openai=openai_client(http, base_url))


class SharedClients:
    """The open HTTP clients of an endpoint, by event loop and server."""

    def __init__(self) -> None:
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, ServerClient]] = WeakKeyDictionary()

    @asynccontextmanager
    async def client(self, base_url: str) -> AsyncGenerator[ServerClient]:
        """Return the client of this event loop for a server; the first block builds it, the last one closes it.

        A block around several runs lets them reuse connections.

        Raises:
            ConfigError: The environment names a proxy or certificates that cannot be used, or the address cannot be
                that of a server.
        """
        clients = self._open.setdefault(asyncio.get_running_loop(), {})
        server = "://".join(urlsplit(base_url)[:2])
        if server not in clients:
            from .http_client import build_client  # httpx2 takes 0.1 s; only needed to talk to a server

            clients[server] = server_client(build_client(base_url), base_url)
        shared = clients[server]
        shared.users += 1
        try:
            yield shared
        finally:
            shared.users -= 1
            if not shared.users:
                del clients[server]
                await shared.http.aclose()
