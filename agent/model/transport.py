"""Send one HTTP request with deadlines and read its response; every failure becomes an EndpointError."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar, cast

import httpx2
import openai

from ..errors import ConfigError, EndpointError, EndpointTimeout
from .address import NO_KEY
from .http_client import proxy_of
from .http_errors import rejected, unreachable

ResultT = TypeVar("ResultT")

SESSION_HEADER = "X-Session-ID"
"""The header that vllm-router checks first for a session (0.1.17, docs/load_balancing); engines ignore it."""

CONNECT_TIMEOUT_S = 15.0
"""Connect timeout; a machine with all processors busy takes seconds to accept even a local connection."""

_ADDED_HEADERS = ("X-Stainless-Retry-Count", "X-Stainless-Read-Timeout")
"""What openai adds to every request beside its default headers."""

_HTTP_PACKAGES = {"httpx", "httpx2", "httpcore", "httpcore2"}


def openai_client(client: httpx2.AsyncClient, base_url: str) -> openai.AsyncOpenAI:
    """Build what sends the requests of all connections to a server.

    Args:
        client: Carries the requests; the openai client takes one of httpx too.
        base_url: Of the server.

    Raises:
        ConfigError: The address cannot be that of a server.
    """
    try:
        # retry.py owns retries. Each request has its key and its timeout.
        return openai.AsyncOpenAI(base_url=base_url, api_key=NO_KEY, http_client=client, max_retries=0)
    except httpx2.InvalidURL as error:
        msg = f"{base_url!r} cannot be the address of a server: {error}. Write it like http://HOST:PORT/v1."
        raise ConfigError(msg) from error


class Transport:
    """Sends requests to one server with one key, over a client that others may share."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        key: str,
        login: str,
        session: str | None,
        headers: Mapping[str, str],
        first_byte_timeout_s: float,
    ) -> None:
        """Create a transport; nothing is sent yet.

        Args:
            client: It is not closed here.
            key: The API key.
            login: `user:password`, sent instead of the key. Empty means none.
            session: Sent with every request. None means it is not sent.
            headers: Sent with every request too; they may replace the others.
            first_byte_timeout_s: Seconds to wait for the head of a response, and for the whole of one.
        """
        self._client = client
        basic = f"Basic {base64.b64encode(login.encode()).decode()}"
        # By default openai adds what the environment has for OpenAI's own service (OPENAI_ORG_ID, OPENAI_PROJECT_ID,
        # OPENAI_CUSTOM_HEADERS), and describes this machine.
        own: dict[str, str | openai.Omit] = {
            **dict.fromkeys([*client.default_headers, *_ADDED_HEADERS], openai.Omit()),
            "Authorization": basic if login else f"Bearer {key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "tramontane",
            **({} if session is None else {SESSION_HEADER: session}),
        }
        replaced = {name.lower() for name in headers}
        sent = {**{name: value for name, value in own.items() if name.lower() not in replaced}, **headers}
        # The deadlines of `wait` are shorter, and say what was waited for.
        timeout = openai.Timeout(first_byte_timeout_s + 30.0, connect=CONNECT_TIMEOUT_S, pool=None)
        self._options: openai.RequestOptions = {"follow_redirects": True, "headers": sent, "timeout": timeout}
        self.identity = (key, login, *headers.items())
        """Who the server takes the requests to be from."""
        held = (key, login, login.partition(":")[2], *headers.values())
        self.secrets = tuple(secret for secret in held if secret not in {"", NO_KEY})
        """What no message shows."""
        self._first_byte_timeout_s = first_byte_timeout_s

    async def whole(self, url: str, body: bytes | None = None) -> bytes:
        """Send a GET request, or with a body a POST request, and return the body of the response.

        Raises:
            EndpointError: The status is an error, or the response did not arrive in time.
        """
        response = await self.open(url, body)
        try:
            return await self.wait(url, response.aread(), self._first_byte_timeout_s)
        finally:
            await response.aclose()

    async def open(self, url: str, body: bytes | None = None) -> httpx2.Response:
        """Send a request as `whole` does and return the response; the caller reads its body and closes it.

        Raises:
            EndpointError: The status is an error, or the head did not arrive in time.
        """
        return await self.wait(url, self._opened(url, body), self._first_byte_timeout_s)

    async def wait(
        self, url: str, step: Awaitable[ResultT], deadline_s: float, phase: str = "the first byte"
    ) -> ResultT:
        """Await one step of a request.

        Raises:
            EndpointError: It failed, or took longer than the deadline; `phase` is what was waited for.
        """
        try:
            async with asyncio.timeout(deadline_s):
                return await step
        except TimeoutError as error:
            raise EndpointTimeout(url=url, waited_s=deadline_s, phase=phase) from error
        except (EndpointError, StopAsyncIteration):
            raise
        except Exception as error:
            failure = _failure_of_transport(error)
            if failure is None:
                raise
            raise unreachable(failure, url=url, proxy=proxy_of(url), connect_timeout_s=CONNECT_TIMEOUT_S) from error

    async def _opened(self, url: str, body: bytes | None) -> httpx2.Response:
        # The typed create() walks all messages at every request; this sends the bytes as they are. What is cast to a
        # Response is the response itself; as a stream, its body is not read yet.
        raw: Any = {
            "cast_to": httpx2.Response,
            "options": self._options,
            "stream": True,
            "stream_cls": openai.AsyncStream[object],
        }
        try:
            sent = self._client.get(url, **raw) if body is None else self._client.post(url, content=body, **raw)
            return cast("httpx2.Response", await sent)
        except openai.APIStatusError as error:
            # Not `from error`: its text is the server's, which may repeat the key.
            raise rejected(
                error.status_code, error.response.content.decode("utf-8", "replace"), url=url, secrets=self.secrets,
                retry_after=error.response.headers.get("retry-after"), proxy=proxy_of(url),
            ) from None  # fmt: skip


def _failure_of_transport(error: Exception) -> Exception | None:
    """Return what went wrong with the connection. None if the error is of another kind."""
    if isinstance(error, openai.APIConnectionError):
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    # Reading a body fails with errors of httpx2, or of httpx if the caller's client is; they have no class in common.
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    is_of_transport = isinstance(error, ssl.SSLError | OSError) or modules & _HTTP_PACKAGES
    return error if is_of_transport else None
