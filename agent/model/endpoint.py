"""Describe where a model is served, with timeouts and retries; connects only when opened."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from ..errors import ConfigError
from .profiles import Profile
from .protocol import Connection
from .refused_grammars import RefusedGrammars


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served, with timeouts and retries.

    If no model name is given, it is read from /v1/models. Nothing is contacted before a run starts.
    """

    base_url: str
    """Such as `http://127.0.0.1:8000/v1`."""
    _: KW_ONLY
    model: str | None = None
    """None means the server's only (or first) model."""
    api_key: str = field(default="none", repr=False)
    """vLLM requires one only if it was started with --api-key."""
    profile: Profile | None = None
    """None means the profile is chosen by the model's name."""
    stream: bool = True
    """Whether replies are streamed. A streamed reply may take any time while parts arrive; any other must be complete
    within `first_byte_timeout_s`. Only a streamed reply of vLLM reports a truncated call correctly; without streaming,
    a run recognizes one by the tokens in its usage. Turn it off for a server whose streams are broken, for example if
    they lose tool calls."""
    first_byte_timeout_s: float = 300.0
    """Seconds to wait for the start of a streamed reply, or for the whole of any other; a cold 256k prompt takes
    minutes to prefill."""
    idle_timeout_s: float = 60.0
    """Seconds to wait for the next part of a streamed reply."""
    patience_s: float = 900.0
    """Seconds to keep retrying a failing request; a 128B engine needs minutes to restart."""
    first_wait_s: float = 0.5
    """Seconds before the first retry; the wait doubles up to 30 s, with jitter."""
    refused_grammars: RefusedGrammars = field(default_factory=RefusedGrammars, repr=False, compare=False)
    """Which tools the server cannot compile a grammar of; found by the runs with this endpoint, and shared by them."""
    http_client: Any = field(default=None, repr=False, compare=False)
    """An httpx or httpx2 AsyncClient to use instead of a new one; the caller closes it."""

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            msg = f"The endpoint {self.base_url!r} is not an http address. Write it like http://127.0.0.1:8000/v1."
            raise ConfigError(msg)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    @asynccontextmanager
    async def open(self, *, session: str | None = None) -> AsyncGenerator[Connection]:
        """Open a connection and close it at the end of the block.

        Args:
            session: Sent to the server with every request, so that a router in front of several engines sends them
                all to the engine that has the run's prefix in its cache. None means it is not sent.
        """
        from .http import connect  # imports openai, which takes 0.4 s; only needed to talk to a server

        async with connect(self, session=session) as connection:
            yield connection
