"""Where a model is served and how patient to be with it; talks to nobody until a run opens it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from ..errors import ConfigError
from .profiles import Profile
from .protocol import Connection


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served, and how patient to be with it.

    The model's name is read from /v1/models when it is not given. Nothing is contacted before a run starts.
    """

    base_url: str
    """Such as `http://127.0.0.1:8000/v1`."""
    _: KW_ONLY
    model: str | None = None
    """None: the server's only (or first) model."""
    api_key: str = field(default="none", repr=False)
    """vLLM wants one only when it was started with --api-key."""
    profile: Profile | None = None
    """None: by the model's name."""
    stream: bool = True
    """A streamed reply shows a stall early, and vLLM tells the truth about a cut-off call only in a stream."""
    first_byte_timeout_s: float = 300.0
    """Seconds until the reply must begin; a cold 256k prompt takes minutes to prefill."""
    idle_timeout_s: float = 60.0
    """Seconds between two parts of a streamed reply."""
    patience_s: float = 900.0
    """Seconds for which a failing request is tried again; a 128B engine needs minutes to restart."""
    first_wait_s: float = 0.5
    """Seconds before a failed request is sent again; the wait doubles up to 30 s, with jitter."""
    http_client: Any = field(default=None, repr=False, compare=False)
    """An httpx or httpx2 AsyncClient to use instead of the client's own; closed by whoever made it."""

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            msg = f"The endpoint {self.base_url!r} is not an http address. Write it like http://127.0.0.1:8000/v1."
            raise ConfigError(msg)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    @asynccontextmanager
    async def open(self, *, session: str | None = None) -> AsyncGenerator[Connection]:
        """Open a connection; it is closed at the end of the block.

        Args:
            session: told to the server with every request, so that a router in front of several engines leads them
                all to the one that has the run's prefix in its cache. None: nothing is told.
        """
        from .http import connect  # brings openai, 0.4 s: only a run that talks to a server pays for it

        async with connect(self, session=session) as connection:
            yield connection
