"""Talk to one OpenAI-compatible server over HTTP: one reply per request, token counts; retries nothing by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar, cast

import openai

from ..errors import (
    ConfigError,
    EndpointError,
    EndpointRejected,
    EndpointTimeout,
    EndpointUnreachable,
    EndpointUnreadable,
)
from ..messages import Reply
from .protocol import Served, TokenCount
from .wire import Request, StreamAssembler, UnreadableReply, decode_reply

ResultT = TypeVar("ResultT")

SESSION_HEADER = "X-Session-ID"
"""The first header that vllm-router looks at for a session (0.1.17, docs/load_balancing); engines ignore it."""


CONNECT_S = 15.0
"""For a connection to be taken; a machine whose processors are all busy takes seconds even for one to itself."""


class ConnectionSettings(Protocol):
    """What a connection reads of an `Endpoint`, which imports this module when it is opened."""

    @property
    def base_url(self) -> str: ...
    @property
    def model(self) -> str | None: ...
    @property
    def api_key(self) -> str: ...
    @property
    def stream(self) -> bool: ...
    @property
    def first_byte_timeout_s(self) -> float: ...
    @property
    def idle_timeout_s(self) -> float: ...
    @property
    def http_client(self) -> object: ...


@asynccontextmanager
async def connect(endpoint: ConnectionSettings, *, session: str | None = None) -> AsyncGenerator[HttpConnection]:
    """Open a client for the endpoint, and close it at the end of the block unless the endpoint brought its own."""
    # openai 3 speaks through httpx2, which respx does not patch: tests pass an httpx client of their own. It also
    # retries twice by itself and waits 600 s for a read; retry.py owns retries, and the deadlines are ours.
    client = openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        max_retries=0,
        default_headers={} if session is None else {SESSION_HEADER: session},
        timeout=openai.Timeout(endpoint.first_byte_timeout_s + 30.0, connect=CONNECT_S),
        http_client=cast("Any", endpoint.http_client),
    )
    try:
        yield HttpConnection(endpoint=endpoint, client=client)
    finally:
        if endpoint.http_client is None:
            await client.close()


@dataclass(frozen=True, kw_only=True)
class HttpConnection:
    """An open connection; see `model.Connection` for what it can do."""

    endpoint: ConnectionSettings
    client: openai.AsyncOpenAI

    async def served(self) -> Served:
        """Return the model and its window.

        Raises:
            EndpointError: no answer, or none that names a model.
            ConfigError: the endpoint's model is not served here.
        """
        url = f"{self.endpoint.base_url}/models"
        body = await self._first(url, self.client.get("/models", cast_to=object))
        listed = cast("Mapping[str, Any]", body).get("data") if isinstance(body, Mapping) else None
        items = cast("list[object]", listed) if isinstance(listed, list) else []
        models = [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]
        if not models:
            raise EndpointUnreadable("no model in its /models", url=url)
        wanted = self.endpoint.model or str(models[0].get("id"))
        chosen = next((item for item in models if item.get("id") == wanted), None)
        if chosen is None:
            names = ", ".join(str(item.get("id")) for item in models)
            msg = f"{self.endpoint.base_url} does not serve {wanted!r}. It serves: {names}."
            raise ConfigError(msg)
        window = chosen.get("max_model_len")
        return Served(model=wanted, window_tokens=window if isinstance(window, int) and window > 0 else None)

    async def ask(self, request: Request) -> Reply:
        """Return the reply to one request.

        Raises:
            EndpointError: no reply came.
        """
        url = f"{self.endpoint.base_url}/chat/completions"
        body = request.encode(stream=self.endpoint.stream)
        try:
            if self.endpoint.stream:
                return await self._ask_streaming(url, body)
            # The typed create() walks every message at each request (16 ms at 100 steps); post() sends bytes as given.
            post = self.client.post("/chat/completions", cast_to=object, content=body, options=_options())
            return decode_reply(await self._first(url, post))
        except UnreadableReply as error:
            raise EndpointUnreadable(str(error), url=url) from error

    async def count(self, request: Request) -> TokenCount | None:
        """Return the prompt's tokens as the server renders it; None: this server has no such route.

        Raises:
            EndpointError: the route failed in another way than by being absent.
        """
        # vLLM's own route, beside /v1. It ignores reasoning_effort, but takes it as chat_template_kwargs (vLLM 0.32).
        url = f"{self.endpoint.base_url.removesuffix('/v1')}/tokenize"
        head: dict[str, Any] = {"model": request.model}
        if request.effort is not None:
            head["chat_template_kwargs"] = {"reasoning_effort": request.effort}
        parts = [json.dumps(head).encode()[:-1], b',"messages":[', b",".join(request.messages), b"]"]
        if request.tools != b"[]":
            parts += [b',"tools":', request.tools]
        post = self.client.post(url, cast_to=object, content=b"".join([*parts, b"}"]), options=_options())
        try:
            data = await self._first(url, post)
        except EndpointRejected as error:
            if error.status in {404, 405, 501}:
                return None
            raise
        answer = cast("Mapping[str, Any]", data if isinstance(data, Mapping) else {})
        tokens = answer.get("tokens")
        if not isinstance(tokens, list):
            return None
        return TokenCount(tokens=tuple(cast("list[int]", tokens)), window_tokens=answer.get("max_model_len"))

    async def _ask_streaming(self, url: str, body: bytes) -> Reply:
        post = self.client.post(
            "/chat/completions",
            cast_to=object,
            content=body,
            options=_options(),
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        assembler = StreamAssembler()
        async with await self._first(url, post) as chunks:
            kind = chunks.response.headers.get("content-type", "")
            if kind and "event-stream" not in kind:
                msg = f"a body of type {kind} where a stream was asked for"
                raise UnreadableReply(msg)
            iterator = aiter(chunks)
            try:
                assembler.feed(await self._first(url, anext(iterator)))
                while True:
                    assembler.feed(await self._next(url, anext(iterator)))
            except StopAsyncIteration:
                pass
        reply = assembler.reply()
        # Some servers leave out finish_reason, but then they send usage; without either the connection was cut.
        if not assembler.finished and reply.usage is None:
            raise EndpointUnreachable("the stream ended before the reply did", url=url)
        return reply

    async def _first(self, url: str, step: Awaitable[ResultT]) -> ResultT:
        return await _await(url, step, self.endpoint.first_byte_timeout_s, "the first byte")

    async def _next(self, url: str, step: Awaitable[ResultT]) -> ResultT:
        return await _await(url, step, self.endpoint.idle_timeout_s, "the next part of the reply")


async def _await(url: str, step: Awaitable[ResultT], deadline_s: float, phase: str) -> ResultT:
    """Await one step of an exchange; every failure becomes an EndpointError."""
    try:
        async with asyncio.timeout(deadline_s):
            return await step
    except TimeoutError as error:
        raise EndpointTimeout(url=url, waited_s=deadline_s, phase=phase) from error
    except openai.APITimeoutError as error:  # its deadline for reading lies behind ours, so it is that for connecting
        raise EndpointUnreachable(f"it took no connection within {CONNECT_S:g} s", url=url) from error
    except openai.APIConnectionError as error:
        raise EndpointUnreachable(_cause(error), url=url) from error
    except openai.APIStatusError as error:
        raise _rejected(error, url) from error
    except openai.APIError as error:
        raise _error_in_stream(error, url) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EndpointUnreadable(f"broken JSON ({error})", url=url) from error


def _options() -> openai.RequestOptions:
    return {"headers": {"Content-Type": "application/json"}}


def _cause(error: BaseException) -> str:
    """Return the innermost reason: it names the refused port or the unknown host."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def _rejected(error: openai.APIStatusError, url: str) -> EndpointError:
    message = _field(error, "message")
    return EndpointRejected(
        " ".join(str(message or error.message).split())[:500],
        url=url,
        status=error.status_code,
        retry_after_s=_retry_after(error.response.headers.get("retry-after")),
    )


def _error_in_stream(error: openai.APIError, url: str) -> EndpointError:
    """Read an error object inside a stream that began with HTTP 200, as vLLM sends it for logit_bias with EAGLE."""
    code = _field(error, "code")
    status = int(str(code)) if str(code).isdigit() else 500
    return EndpointRejected(" ".join(error.message.split())[:500], url=url, status=status)


def _field(error: openai.APIError, name: str) -> object:
    body: object = error.body
    return cast("Mapping[str, object]", body).get(name) if isinstance(body, Mapping) else None


def _retry_after(value: str | None) -> float | None:
    """Read seconds or an HTTP date; None for anything else."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
