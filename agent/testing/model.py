"""A model that answers from a list, in memory: for tests of agents and tools, without a server or a network."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from ..messages import Reply
from ..model.profiles import MISTRAL, Profile
from ..model.protocol import Connection, Served, TokenCount
from ..model.wire import Request

ScriptedReply: TypeAlias = Reply | Exception | Callable[[Request], Reply]
"""What is answered to one request: a reply, an exception to raise, or a function of the request."""


class ScriptEnded(AssertionError):
    """Raised by a ScriptedModel that is asked once more than it has replies."""

    def __init__(self, replies: int) -> None:
        self.replies = replies
        """How many there were."""
        super().__init__(
            f"The scripted model has {replies} {'reply' if replies == 1 else 'replies'}, and was asked for one more. "
            "Add a reply to the script, or look at `model.bodies` for what the agent wanted."
        )


class ScriptedModel:
    """A stand-in for an Endpoint: gives its replies in order, and keeps every request."""

    def __init__(
        self,
        replies: Sequence[ScriptedReply],
        *,
        model: str = "scripted",
        window_tokens: int | None = 32_768,
        profile: Profile | None = MISTRAL,
        patience_s: float = 0.0,
    ) -> None:
        """Take the script.

        Args:
            replies: one for each request.
            model: the name it is served under.
            window_tokens: what the server would call `max_model_len`. None: it does not say.
            profile: what the family accepts. None: by the model's name.
            patience_s: seconds for which a request that met an EndpointError is tried again, without waits.
        """
        self.replies = tuple(replies)
        self.requests: list[Request] = []
        """Every request so far, in order."""
        self.base_url = "http://scripted.invalid/v1"
        self.profile = profile
        self.patience_s = patience_s
        self.first_wait_s = 0.0
        self._served = Served(model=model, window_tokens=window_tokens)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The requests as the JSON a server would get."""
        return [json.loads(request.encode(stream=False)) for request in self.requests]

    @asynccontextmanager
    async def open(self, *, session: str | None = None) -> AsyncGenerator[Connection]:
        """Open a connection to the script; it goes on where the last one stopped, whatever the session."""
        yield _Scripted(self, self._served)

    def answer(self, request: Request) -> Reply:
        """Keep the request and return the reply that is next.

        Raises:
            ScriptEnded: there is none left.
            Exception: the one that the script holds.
        """
        # The history behind `messages` grows; what is kept is the request as it was.
        self.requests.append(replace(request, messages=tuple(request.messages)))
        if len(self.requests) > len(self.replies):
            raise ScriptEnded(len(self.replies))
        reply = self.replies[len(self.requests) - 1]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else reply(request)


class _Scripted:
    def __init__(self, script: ScriptedModel, served: Served) -> None:
        self._script = script
        self._served = served

    async def served(self) -> Served:
        return self._served

    async def ask(self, request: Request) -> Reply:
        return self._script.answer(request)

    async def count(self, request: Request) -> TokenCount | None:
        return None
