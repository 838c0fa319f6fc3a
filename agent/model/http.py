"""Send requests to one OpenAI-compatible server: served model, replies, token counts; never retries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from ..errors import EndpointError, EndpointRejected, EndpointUnreachable, EndpointUnreadable
from ..messages import Reply
from ..names import listed
from .advice import is_about_the_key
from .deltas import Delta
from .error_text import server_sentence
from .http_errors import error_in_body
from .memory import ServerMemory
from .models_list import ListedModel, first_chat_model, listed_models
from .protocol import Served, TokenCount
from .refused_grammars import RefusedGrammars
from .replies import UnreadableReply, decode_reply
from .sse import EventLines
from .stream import StreamAssembler
from .transport import Transport
from .wire import Request

if TYPE_CHECKING:
    from .clients import ServerClient

_LAST_CHUNK_S = 1.0
"""Time for the end of a stream after its last event; then the reply is used and the connection is dropped."""
_LISTED = 10
"""Names of models that a note shows; a proxy may list hundreds."""


class ConnectionSettings(Protocol):
    """The fields of `Endpoint` that a connection uses; a protocol, because `Endpoint` imports this module."""

    @property
    def base_url(self) -> str: ...
    @property
    def model(self) -> str | None: ...
    @property
    def api_key(self) -> str: ...
    @property
    def login(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def window(self) -> int | None: ...
    @property
    def stream(self) -> bool: ...
    @property
    def first_byte_timeout_s(self) -> float: ...
    @property
    def idle_timeout_s(self) -> float: ...
    @property
    def refused_grammars(self) -> RefusedGrammars: ...
    @property
    def memory(self) -> ServerMemory: ...


class HttpConnection:
    """A connection to a server over a client that others may share; implements `protocol.Connection`."""

    def __init__(self, endpoint: ConnectionSettings, client: ServerClient, *, session: str | None = None) -> None:
        """Create a connection; nothing is sent yet.

        Args:
            endpoint: The server.
            client: Its client.
            session: As for `Endpoint.open`.
        """
        self.endpoint = endpoint
        self._models = client.models
        self._transport = Transport(
            client.openai, key=endpoint.api_key, login=endpoint.login, session=session, headers=endpoint.headers,
            first_byte_timeout_s=endpoint.first_byte_timeout_s,
        )  # fmt: skip

    @property
    def refused_grammars(self) -> RefusedGrammars:
        """What runs with this endpoint have found; not part of the protocol."""
        return self.endpoint.refused_grammars

    @property
    def memory(self) -> ServerMemory:
        """What runs with this endpoint have found; not part of the protocol."""
        return self.endpoint.memory

    async def served(self) -> Served:
        """Return the served model and its window; a named model need not be in the server's list.

        Connections that share a client share the list for some seconds, unless a request fails.

        Raises:
            EndpointError: The server did not answer, refused the key, or listed no model and none is named.
        """
        url = self._url("/models")
        wanted = self.endpoint.model
        try:
            body = await self._models.get((url, *self._transport.identity), lambda: self._transport.whole(url))
            models = listed_models(json.loads(body))
        except (EndpointRejected, ValueError) as error:
            failure = error if isinstance(error, EndpointRejected) else _invalid(error, url)
            if wanted is None or (isinstance(error, EndpointRejected) and is_about_the_key(error.status, error.reason)):
                raise failure from error
            self._note(wanted, f"cannot be read: {failure}")
            return Served(model=wanted, window_tokens=self.endpoint.window)
        if wanted is None:
            if not models:
                advice = "name one with --model, `model: {name: ...}` or Endpoint(url, model=...)"
                raise EndpointUnreadable(f"it lists no model; {advice}", url=url)
            chosen = first_chat_model(models)
        else:
            chosen = self._listed(wanted, models)
        return Served(model=chosen.name, window_tokens=self.endpoint.window or chosen.window_tokens)

    async def ask(self, request: Request) -> Reply:
        """Send one request and return the decoded reply.

        Raises:
            EndpointError: The request got no reply.
        """
        url = self._url("/chat/completions")
        is_streamed = self.endpoint.stream and request.stream
        body = request.encode(stream=is_streamed)
        try:
            return await (self._streamed(url, body, request.watch) if is_streamed else self._asked(url, body))
        except UnreadableReply as error:
            raise EndpointUnreadable(str(error), url=url) from error
        except EndpointError:
            self._models.forget()  # the server may have another model now
            raise

    async def count(self, request: Request) -> TokenCount | None:
        """Return the tokens of the prompt as the server renders it. None if the server has no /tokenize.

        Raises:
            EndpointError: The request failed for any other reason.
        """
        # vLLM's own route, outside of /v1. It ignores reasoning_effort except in chat_template_kwargs (vLLM 0.32).
        url = self._url("/tokenize", below=self.endpoint.base_url.removesuffix("/v1"))
        head: dict[str, Any] = {"model": request.model}
        if request.effort is not None:
            head["chat_template_kwargs"] = {"reasoning_effort": request.effort}
        parts = [json.dumps(head).encode()[:-1], b',"messages":[', b",".join(request.messages), b"]"]
        if request.tools != b"[]":
            parts += [b',"tools":', request.escaped_tools]
        try:
            data: object = json.loads(await self._transport.whole(url, b"".join([*parts, b"}"])))
        except EndpointRejected as error:
            if error.status in {404, 405, 501}:
                return None
            raise
        except ValueError as error:
            raise _invalid(error, url) from error
        answer = cast("Mapping[str, Any]", data if isinstance(data, Mapping) else {})
        tokens = answer.get("tokens")
        # llama.cpp's route of this name takes `content`, and answers messages with an empty list.
        if not isinstance(tokens, list) or not tokens:
            return None
        return TokenCount(tokens=tuple(cast("list[int]", tokens)), window_tokens=answer.get("max_model_len"))

    def _url(self, path: str, *, below: str | None = None) -> str:
        parts = urlsplit(self.endpoint.base_url if below is None else below)
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))

    def _listed(self, wanted: str, models: Sequence[ListedModel]) -> ListedModel:
        """Return the entry of a model. Aliases and models behind a wildcard are served without one."""
        unlisted = ListedModel(name=wanted, window_tokens=None)
        if not models:
            self._note(wanted, "is empty")
        elif not any(fnmatchcase(wanted, model.name) for model in models):
            self._note(wanted, f"has only {listed((model.name for model in models), _LISTED)}")
        return next((model for model in models if model.name == wanted), unlisted)

    def _note(self, model: str, what: str) -> None:
        self.memory.note(f"The server was asked for {model!r} all the same, although its list of models {what}")

    async def _asked(self, url: str, body: bytes) -> Reply:
        return self._decoded(await self._transport.whole(url, body), url)

    def _decoded(self, content: bytes, url: str) -> Reply:
        """Decode the body of a whole reply, which may also be an error that was sent with HTTP 200."""
        try:
            data: object = json.loads(content)
        except ValueError as error:
            if content.lstrip().startswith(b"<"):
                page = server_sentence(content.decode("utf-8", "replace"))
                raise EndpointUnreadable(f"got a web page: {page}", url=url) from error
            raise _invalid(error, url) from error
        if (found := error_in_body(data, url, self._transport.secrets)) is not None:
            raise found
        return decode_reply(data)

    async def _streamed(self, url: str, body: bytes, watch: Callable[[Delta], None] | None) -> Reply:
        response = await self._transport.open(url, body)
        try:
            content_type = response.headers.get("content-type", "")
            if content_type and "event-stream" not in content_type:
                content = await self._transport.wait(url, response.aread(), self.endpoint.first_byte_timeout_s)
                return self._from_other_type(content, content_type, url)
            return await self._assembled(url, response.aiter_bytes(), watch)
        finally:
            await response.aclose()

    async def _assembled(self, url: str, chunks: AsyncIterator[bytes], watch: Callable[[Delta], None] | None) -> Reply:
        assembler, lines = StreamAssembler(watch), EventLines()
        limit_s, phase = self.endpoint.first_byte_timeout_s, "the first byte"
        try:
            while not lines.is_done:
                for data in await self._transport.wait(url, _next_events(chunks, lines), limit_s, phase):
                    self._feed(assembler, data, url)
                    limit_s, phase = self.endpoint.idle_timeout_s, "the next part of the reply"
            async with asyncio.timeout(_LAST_CHUNK_S):
                async for _ in chunks:  # the connection can only be used again once its end was read
                    pass
        except StopAsyncIteration:
            for data in lines.end():
                self._feed(assembler, data, url)
        except TimeoutError:
            pass
        return _complete(assembler, url)

    def _feed(self, assembler: StreamAssembler, data: bytes, url: str) -> None:
        try:
            chunk: object = json.loads(data)
        except ValueError as error:
            raise _invalid(error, url) from error
        if (found := error_in_body(chunk, url, self._transport.secrets)) is not None:
            raise found
        assembler.feed(chunk)

    def _from_other_type(self, content: bytes, content_type: str, url: str) -> Reply:
        """Decode what a server sent instead of a stream: a whole reply, or events under another content type."""
        start = content.lstrip()
        if start.startswith(b"{"):
            return self._decoded(content, url)
        if not start.startswith((b"data:", b"event:", b":", b"id:", b"retry:")):
            msg = f"got {content_type} instead of a stream"
            raise UnreadableReply(msg)
        assembler, lines = StreamAssembler(), EventLines()
        for data in [*lines.feed(content), *lines.end()]:
            self._feed(assembler, data, url)
        return _complete(assembler, url)


async def _next_events(chunks: AsyncIterator[bytes], lines: EventLines) -> list[bytes]:
    """Return the next events; comments that keep the stream alive are none."""
    while True:
        events = lines.feed(await anext(chunks))
        if events or lines.is_done:
            return events


def _invalid(error: ValueError, url: str) -> EndpointUnreadable:
    return EndpointUnreadable(f"invalid JSON ({error})", url=url)


def _complete(assembler: StreamAssembler, url: str) -> Reply:
    try:
        reply = assembler.reply()
    except UnreadableReply as error:
        raise EndpointUnreadable(str(error), url=url, empty_stream=True) from error
    # Some servers omit finish_reason but send usage; without both, the connection was cut.
    if not assembler.finished and reply.usage is None:
        raise EndpointUnreachable("the stream ended before the reply was complete", url=url)
    return reply
