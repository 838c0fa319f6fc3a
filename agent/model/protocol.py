"""What can be asked: a model, an open connection to it, and what it says of itself; shapes only, no behaviour."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from ..messages import Reply
from .profiles import Profile
from .wire import Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What a server said about the model it serves."""

    model: str
    window_tokens: int | None
    """`max_model_len` of /v1/models: prompt and reply together. None: the server does not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCount:
    """The rendered prompt as the server's own tokenizer sees it."""

    tokens: tuple[int, ...]
    window_tokens: int | None


class Connection(Protocol):
    """An open connection to a model; Endpoint and ScriptedModel both give one."""

    async def served(self) -> Served:
        """Ask what is served."""
        ...

    async def ask(self, request: Request) -> Reply:
        """Send one request, return its reply."""
        ...

    async def count(self, request: Request) -> TokenCount | None:
        """Count the prompt's tokens. None: this server cannot."""
        ...


class Model(Protocol):
    """Something that can be asked: an Endpoint, or a ScriptedModel in a test."""

    @property
    def base_url(self) -> str: ...
    @property
    def profile(self) -> Profile | None: ...
    @property
    def patience_s(self) -> float: ...
    @property
    def first_wait_s(self) -> float: ...
    def open(self, *, session: str | None = None) -> AbstractAsyncContextManager[Connection]:
        """Open a connection; it is closed at the end of the block.

        Args:
            session: the name of the run, the same when it is resumed. None: no run, such as a count of tokens.
        """
        ...
