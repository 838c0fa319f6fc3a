"""A model that answers from a list, in memory; for tests of agents and tools, without a server or a network."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from ..messages import Reply
from ..model.deltas import CallDelta, Delta, ReasoningDelta, TextDelta
from ..model.profiles import MISTRAL, Profile, profile_for
from ..model.protocol import Connection, Served, TokenCount
from ..model.wire import Request
from .replies import checked_script

ScriptedReply: TypeAlias = Reply | Exception | Callable[[Request], Reply]
"""The answer to one request: a reply, an exception to raise, or a function of the request."""


class ScriptEnded(AssertionError):
    """Raised by a ScriptedModel that gets more requests than it has replies."""

    def __init__(self, replies: int, follows_failure: str = "") -> None:
        self.replies = replies
        """How many replies the script had."""
        self.follows_failure = follows_failure
        """Why the last reply was refused, or what else failed before the request. Empty if nothing did."""
        failure = f"The step before failed: {follows_failure.rstrip('.')}. " if follows_failure else ""
        super().__init__(
            f"The scripted model has {replies} {'reply' if replies == 1 else 'replies'} and got one more request. "
            f"{failure}Add a reply to the script, or check in `model.bodies` what the agent requested."
        )


class ScriptedModel:
    """A stand-in for an Endpoint: returns its replies in order, and keeps every request."""

    def __init__(
        self,
        replies: Sequence[ScriptedReply],
        *,
        model: str = "scripted",
        window_tokens: int | None = 32_768,
        profile: Profile | None = MISTRAL,
        patience_s: float = 0.0,
    ) -> None:
        """Create a model from a script.

        Args:
            replies: one for each request.
            model: the name under which it is served.
            window_tokens: what the server would report as `max_model_len`. None means that it does not report it.
            profile: what the model's family accepts. None means that it is derived from the model's name.
            patience_s: seconds during which a request that failed with an EndpointError is retried, without waits.

        Raises:
            ConfigError: `replies` is not a list of replies.
        """
        advice = "Give says(...), calls(...), an exception, or a function of the request."
        self.replies = tuple(checked_script(replies, "reply", (Reply, Exception), advice))
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

    def profile_for(self, model: str) -> Profile:
        """Return the profile that the script was given, or else that of the model's family."""
        return self.profile or profile_for(model)

    @asynccontextmanager
    async def open(self, *, session: str | None = None) -> AsyncGenerator[Connection]:
        """Open a connection to the script; it continues where the last one stopped, whatever the session."""
        yield _ScriptedConnection(self, self._served)

    def answer(self, request: Request) -> Reply:
        """Store the request and return the next reply.

        Raises:
            ScriptEnded: no reply is left.
            Exception: the next reply in the script is an exception.
        """
        # The history behind `messages` keeps growing; store the request as it is now.
        self.requests.append(replace(request, messages=tuple(request.messages)))
        if len(self.requests) > len(self.replies):
            raise ScriptEnded(len(self.replies), request.follows_failure)
        reply = self.replies[len(self.requests) - 1]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else reply(request)


def _show(reply: Reply, watch: Callable[[Delta], None]) -> None:
    """Show a reply as a stream would, in as few parts as there can be."""
    if reply.reasoning:
        watch(ReasoningDelta(text=reply.reasoning))
    if reply.content:
        watch(TextDelta(text=reply.content))
    for index, call in enumerate(reply.tool_calls):
        watch(CallDelta(index=index, name=call.name, arguments=call.arguments))


class _ScriptedConnection:
    def __init__(self, script: ScriptedModel, served: Served) -> None:
        self._script = script
        self._served = served

    async def served(self) -> Served:
        return self._served

    async def ask(self, request: Request) -> Reply:
        reply = self._script.answer(request)
        if request.watch is not None:
            _show(reply, request.watch)
        return reply

    async def count(self, request: Request) -> TokenCount | None:
        return None
