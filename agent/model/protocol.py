"""Protocols for a model and an open connection to it, and the records they return; no behaviour."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from ..messages import Reply
from .profiles import Profile
from .wire import Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """The model that a server reports."""

    model: str
    window_tokens: int | None
    """Prompt and reply together. None if the server does not report it and no setting does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCount:
    """The rendered prompt as tokens of the server's own tokenizer."""

    tokens: tuple[int, ...]
    window_tokens: int | None


class Connection(Protocol):
    """An open connection to a model; Endpoint and ScriptedModel both open one."""

    async def served(self) -> Served:
        """Return the served model and its window."""
        ...

    async def ask(self, request: Request) -> Reply:
        """Send one request and return the reply."""
        ...

    async def count(self, request: Request) -> TokenCount | None:
        """Return the tokens of the prompt. None if the server cannot count them."""
        ...


class Model(Protocol):
    """A source of replies: an Endpoint, or a ScriptedModel in a test."""

    @property
    def base_url(self) -> str: ...
    @property
    def patience_s(self) -> float: ...
    @property
    def first_wait_s(self) -> float: ...
    def profile_for(self, model: str) -> Profile:
        """Return the profile for a served model."""
        ...

    def open(self, *, session: str | None = None) -> AbstractAsyncContextManager[Connection]:
        """Open a connection and close it at the end of the block.

        Args:
            session: Name of the run, unchanged when it is resumed. None outside of a run, such as to count tokens.
        """
        ...
