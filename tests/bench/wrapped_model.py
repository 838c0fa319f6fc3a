"""A base for models that change the requests and replies of a real one; every request reaches the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # conftest.py imports this before any test has chosen how to import agent
    from agent.messages import Reply
    from agent.model.profiles import Profile
    from agent.model.protocol import Connection, Model, Served, TokenCount
    from agent.model.wire import Request


@dataclass(kw_only=True)
class WrappedModel:
    """A model and its own open connection; a subclass changes `ask`. For one run at a time."""

    model: Model

    @property
    def base_url(self) -> str:
        return self.model.base_url

    def profile_for(self, model: str) -> Profile:
        return self.model.profile_for(model)

    @property
    def patience_s(self) -> float:
        return self.model.patience_s

    @property
    def first_wait_s(self) -> float:
        return self.model.first_wait_s

    @asynccontextmanager
    async def open(self, *, session: str | None = None) -> AsyncGenerator[Connection]:
        async with self.model.open(session=session) as connection:
            self._connection = connection
            yield self

    async def served(self) -> Served:
        return await self._connection.served()

    async def count(self, request: Request) -> TokenCount | None:
        return await self._connection.count(request)

    async def ask(self, request: Request) -> Reply:
        """Send a request and return its reply."""
        return await self._connection.ask(request)
