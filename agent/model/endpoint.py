"""Describe where a model is served, with timeouts and retries; connects only when opened."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

from ..errors import ConfigError
from ..keywords import checked_keywords
from .address import NO_KEY, checked_header, checked_key, parse_address
from .clients import SharedClients, server_client
from .memory import ServerMemory
from .profiles import Profile, ReplyField, profile_for
from .protocol import Connection
from .refused_grammars import RefusedGrammars


@checked_keywords(
    elsewhere={
        "temperature": "Write Agent(..., model_settings=ModelSettings(temperature=...)).",
        "timeout": "The seconds are `first_byte_timeout_s`, `idle_timeout_s` and `patience_s`.",
        "max_tokens": "The most tokens that the server allows one reply are `reply_tokens`.",
    }
)
@dataclass(frozen=True)
class Endpoint:
    """Where a model is served, with timeouts and retries, and what its server does not accept.

    If no model name is given, it is read from /v1/models. Nothing is contacted before a run starts. What a server
    refuses is found out by the first run that meets it, and remembered; the settings spare that run the attempts.

    Attributes:
        base_url: Such as `http://127.0.0.1:8000/v1`. A `user:password@` in it is moved to `login`.
        model: None means the server's only (or first) model. A name need not be in the server's list of models.
        api_key: vLLM requires one only if it was started with --api-key. Whitespace around it is removed.
        login: `user:password` for HTTP basic authentication, sent instead of the key. Empty means none.
        headers: More HTTP headers of every request, such as those that a gateway wants; no message shows their values.
        window: Tokens of prompt and reply together. None means what the server reports, or names in a refusal.
        reply_tokens: The most tokens that the server allows one reply. None means only the window limits it.
        reply_field: The request field that limits a reply; OpenAI's newer models take only `max_completion_tokens`.
        profile: None means the profile is chosen by the model's name.
        stream: Whether replies are streamed. A streamed reply may take any time while parts arrive; any other must be
            complete within `first_byte_timeout_s`. Only a streamed reply of vLLM reports a truncated call correctly;
            without streaming, a run recognizes one by the tokens in its usage. Turn it off for a server whose streams
            are broken, for example if they lose tool calls.
        stream_usage: False means streams are requested without `stream_options`; most servers then send no usage.
        strict: False means tools are sent without `strict: true`; arguments are checked before a call is executed
            anyway.
        sampling: False means neither `temperature` nor `top_p` is sent.
        tool_choice: False means `tool_choice` is never sent.
        forced_calls: False means no call is forced by `tool_choice` or a schema; a message asks for it instead.
        system_role: False means the system prompt is sent in the first message of the user.
        images: False means the model gets a note in place of each image.
        first_byte_timeout_s: Seconds to wait for the start of a streamed reply, or for the whole of any other; a cold
            256k prompt takes minutes to prefill.
        idle_timeout_s: Seconds to wait for the next part of a streamed reply.
        patience_s: Seconds to keep retrying a failing request; a 128B engine needs minutes to restart.
        first_wait_s: Seconds before the first retry; the wait doubles up to 30 s, with jitter.
        refused_grammars: Which tools the server cannot compile a grammar of; found by the runs with this endpoint, and
            shared by them.
        memory: What the server turned out to support; found by the runs with this endpoint, and shared by them.
        http_client: An httpx or httpx2 AsyncClient to use instead of the one that all runs of an event loop share; its
            owner closes it.
    """

    base_url: str
    _: KW_ONLY
    model: str | None = None
    api_key: str = field(default=NO_KEY, repr=False)
    login: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    window: int | None = None
    reply_tokens: int | None = None
    reply_field: ReplyField = "max_tokens"
    profile: Profile | None = None
    stream: bool = True
    stream_usage: bool = True
    strict: bool = True
    sampling: bool = True
    tool_choice: bool = True
    forced_calls: bool = True
    system_role: bool = True
    images: bool = True
    first_byte_timeout_s: float = 300.0
    idle_timeout_s: float = 60.0
    patience_s: float = 900.0
    first_wait_s: float = 0.5
    refused_grammars: RefusedGrammars = field(default_factory=RefusedGrammars, repr=False, compare=False)
    memory: ServerMemory = field(default_factory=ServerMemory, repr=False, compare=False)
    http_client: Any = field(default=None, repr=False, compare=False)
    _clients: SharedClients = field(default_factory=SharedClients, repr=False, compare=False)

    def __post_init__(self) -> None:
        address = parse_address(self.base_url)
        object.__setattr__(self, "base_url", address.base_url)
        object.__setattr__(self, "login", address.login or self.login)
        key = checked_key(self.api_key, source="`api_key`")
        if key != self.api_key:
            self.memory.note("The API key began or ended with whitespace, which is not sent. Remove it at its source.")
            object.__setattr__(self, "api_key", key)
        for name, value in self.headers.items():
            checked_header(name, value)
        for name in ("window", "reply_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"`{name}` of an endpoint must be 1 or more, got {value}. Leave it out if it is not known."
                raise ConfigError(msg, key=f"model.{name}")

    def profile_for(self, model: str) -> Profile:
        """Return the profile for a served model, with this endpoint's settings."""
        profile = self.profile or profile_for(model)
        surface = profile.surface
        return replace(
            profile,
            surface=replace(
                surface,
                stream=surface.stream and self.stream,
                stream_usage=surface.stream_usage and self.stream_usage,
                strict=surface.strict and self.strict,
                sampling=surface.sampling and self.sampling,
                system=surface.system and self.system_role,
                images=surface.images and self.images,
                reply_field=surface.reply_field if self.reply_field == "max_tokens" else self.reply_field,
                reply_tokens=self.reply_tokens or surface.reply_tokens,
                tool_choice=surface.tool_choice and self.tool_choice,
                required=surface.required and self.forced_calls,
                named=surface.named and self.forced_calls,
                schema_field=surface.schema_field if self.forced_calls else None,
            ),
        )

    @asynccontextmanager
    async def open(self, *, session: str | None = None) -> AsyncGenerator[Connection]:
        """Return a connection for the block.

        All connections in an event loop share one HTTP client, and the last one closes it; a block around several runs
        lets them reuse connections.

        Args:
            session: Sent to the server with every request, so that a router in front of several engines sends them
                all to the engine that has the run's prefix in its cache. None means it is not sent.
        """
        from .http import HttpConnection  # imports openai, which takes 0.7 s; only needed to talk to a server

        if self.http_client is not None:
            yield HttpConnection(self, server_client(self.http_client, self.base_url), session=session)
            return
        async with self._clients.client(self.base_url) as client:
            yield HttpConnection(self, client, session=session)
