"""Remember which tools a server cannot compile a grammar of, for all runs that share an Endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from weakref import WeakKeyDictionary


class RefusedGrammars:
    """Fingerprints of tools by server; kept in memory."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {}
        self._searches: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def known(self, server: str) -> frozenset[str]:
        """Return the fingerprints of the tools that this server refused. `server`: base URL and model."""
        return self._known.get(server, frozenset())

    def add(self, server: str, fingerprints: Iterable[str]) -> None:
        """Remember tools that a server refused. Never raises."""
        self._known[server] = self.known(server) | frozenset(fingerprints)

    def searching(self) -> asyncio.Lock:
        """Return the lock to hold during a search, so that runs at the same time do not all search."""
        return self._searches.setdefault(asyncio.get_running_loop(), asyncio.Lock())
