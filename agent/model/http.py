"""HTTP client for one OpenAI-compatible server: served model, replies, token counts; never retries."""

from __future__ import annotations

import asyncio
import json
import math
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
from .refused_grammars import RefusedGrammars
from .wire import Request, StreamAssembler, UnreadableReply, decode_reply

ResultT = TypeVar("ResultT")

SESSION_HEADER = "X-Session-ID"
"""The header that vllm-router checks first for a session (0.1.17, docs/load_balancing); engines ignore it."""


CONNECT_TIMEOUT_S = 15.0
"""Connect timeout; a machine with all processors busy takes seconds to accept even a local connection."""


class ConnectionSettings(Protocol):
    """The fields of `Endpoint` that a connection uses; a protocol, because `Endpoint` imports this module."""

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
    @property
    def refused_grammars(self) -> RefusedGrammars: ...


@asynccontextmanager
async def connect(endpoint: ConnectionSettings, *, session: str | None = None) -> AsyncGenerator[HttpConnection]:
    """Open a client for the endpoint, and close it at the end of the block unless the endpoint provided it."""
    # openai 3 uses httpx2, which respx does not patch, so tests pass an httpx client. By default openai retries twice
    # and has a read timeout of 600 s; here retry.py owns retries, and _await sets the deadlines.
    client = openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        max_retries=0,
        default_headers={} if session is None else {SESSION_HEADER: session},
        timeout=openai.Timeout(endpoint.first_byte_timeout_s + 30.0, connect=CONNECT_TIMEOUT_S),
        http_client=cast("Any", endpoint.http_client),
    )
    try:
        yield HttpConnection(endpoint=endpoint, client=client)
    finally:
        if endpoint.http_client is None:
            await client.close()


@dataclass(frozen=True, kw_only=True)
class HttpConnection:
    """An open HTTP connection; implements `protocol.Connection`."""

    endpoint: ConnectionSettings
    client: openai.AsyncOpenAI

    @property
    def refused_grammars(self) -> RefusedGrammars:
        """What runs with this endpoint have found; not part of the protocol."""
        return self.endpoint.refused_grammars

    async def served(self) -> Served:
        """Return the served model and its window.

        Raises:
            EndpointError: The server did not answer, or listed no model.
            ConfigError: The server does not serve the endpoint's model.
        """
        url = f"{self.endpoint.base_url}/models"
        body = await self._await_first(url, self.client.get("/models", cast_to=object))
        listed = cast("Mapping[str, Any]", body).get("data") if isinstance(body, Mapping) else None
        items = cast("list[object]", listed) if isinstance(listed, list) else []
        models = [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]
        if not models:
            raise EndpointUnreadable("it lists no model", url=url)
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
            EndpointError: The request got no reply.
        """
        url = f"{self.endpoint.base_url}/chat/completions"
        body = request.encode(stream=self.endpoint.stream)
        try:
            if self.endpoint.stream:
                return await self._ask_streaming(url, body)
            # The typed create() walks all messages at every request (16 ms at 100 steps); post() sends the bytes as is.
            post = self.client.post("/chat/completions", cast_to=object, content=body, options=_options())
            return decode_reply(await self._await_first(url, post))
        except UnreadableReply as error:
            raise EndpointUnreadable(str(error), url=url) from error

    async def count(self, request: Request) -> TokenCount | None:
        """Return the tokens of the prompt as the server renders it. None if the server has no /tokenize.

        Raises:
            EndpointError: The request failed for any other reason.
        """
        # vLLM's own route, outside of /v1. It ignores reasoning_effort except in chat_template_kwargs (vLLM 0.32).
        url = f"{self.endpoint.base_url.removesuffix('/v1')}/tokenize"
        head: dict[str, Any] = {"model": request.model}
        if request.effort is not None:
            head["chat_template_kwargs"] = {"reasoning_effort": request.effort}
        parts = [json.dumps(head).encode()[:-1], b',"messages":[', b",".join(request.messages), b"]"]
        if request.tools != b"[]":
            parts += [b',"tools":', request.tools]
        post = self.client.post(url, cast_to=object, content=b"".join([*parts, b"}"]), options=_options())
        try:
            data = await self._await_first(url, post)
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
        async with await self._await_first(url, post) as chunks:
            content_type = chunks.response.headers.get("content-type", "")
            if content_type and "event-stream" not in content_type:
                msg = f"got {content_type} instead of a stream"
                raise UnreadableReply(msg)
            iterator = aiter(chunks)
            try:
                assembler.feed(await self._await_first(url, anext(iterator)))
                while True:
                    assembler.feed(await self._await_next(url, anext(iterator)))
            except StopAsyncIteration:
                pass
        reply = assembler.reply()
        # Some servers omit finish_reason but send usage; without both, the connection was cut.
        if not assembler.finished and reply.usage is None:
            raise EndpointUnreachable("the stream ended before the reply was complete", url=url)
        return reply

    async def _await_first(self, url: str, step: Awaitable[ResultT]) -> ResultT:
        return await _await(url, step, self.endpoint.first_byte_timeout_s, "the first byte")

    async def _await_next(self, url: str, step: Awaitable[ResultT]) -> ResultT:
        return await _await(url, step, self.endpoint.idle_timeout_s, "the next part of the reply")


async def _await(url: str, step: Awaitable[ResultT], deadline_s: float, phase: str) -> ResultT:
    """Await one step of a request with a deadline; every failure becomes an EndpointError."""
    try:
        async with asyncio.timeout(deadline_s):
            return await step
    except TimeoutError as error:
        raise EndpointTimeout(url=url, waited_s=deadline_s, phase=phase) from error
    except openai.APITimeoutError as error:  # its read timeout is longer than ours, so this is a connect timeout
        raise EndpointUnreachable(f"it accepted no connection within {CONNECT_TIMEOUT_S:g} s", url=url) from error
    except openai.APIConnectionError as error:
        raise EndpointUnreachable(_cause(error), url=url) from error
    except openai.APIStatusError as error:
        raise _rejected(error, url) from error
    except openai.APIError as error:
        raise _error_in_stream(error, url) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EndpointUnreadable(f"invalid JSON ({error})", url=url) from error


def _options() -> openai.RequestOptions:
    return {"headers": {"Content-Type": "application/json"}}


def _cause(error: BaseException) -> str:
    """Return the text of the innermost cause, which names the refused port or the unknown host."""
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
    """Convert an error object in a stream that began with HTTP 200; vLLM sends one for logit_bias with EAGLE."""
    code = _field(error, "code")
    status = int(str(code)) if str(code).isdigit() else 500
    return EndpointRejected(" ".join(error.message.split())[:500], url=url, status=status)


def _field(error: openai.APIError, name: str) -> object:
    body: object = error.body
    return cast("Mapping[str, object]", body).get(name) if isinstance(body, Mapping) else None


def _retry_after(value: str | None) -> float | None:
    """Parse a Retry-After header into seconds; it holds seconds or an HTTP date. None if it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
        return None if math.isnan(seconds) else max(0.0, seconds)
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
