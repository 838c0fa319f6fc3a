"""Send one request of the probe and record what comes; every failure becomes an Exchange, nothing is raised."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .chat_reply import parse_json
from .records import Exchange, ProbeRequest

MAX_BYTES = 4_000_000
"""More than any reply to the probe has; the metrics of a busy vLLM have some 100 kB."""

_CHUNK = 65_536


@dataclass(frozen=True, kw_only=True)
class HttpTransport:
    """Speaks to one server, within one deadline for all requests together.

    It follows no redirect, which would carry the key elsewhere, and asks no proxy, which would answer in the server's
    place.
    """

    api_key: str = field(repr=False)
    """Empty: none is sent."""
    ends_at: float
    """When the probe's time is over, by `clock`."""
    request_s: float = 30.0
    """The longest that one request may take, seconds."""
    clock: Callable[[], float] = time.monotonic

    def __call__(self, request: ProbeRequest) -> Exchange:
        """Send it; return what came."""
        left_s = self.ends_at - self.clock()
        if left_s <= 0:
            return Exchange(status=None, asked=False, failure="the time for the probe was used up before it was asked")
        limit_s = min(self.request_s, left_s)
        deadline = self.clock() + limit_s
        late = Exchange(status=None, failure=f"no whole reply within {limit_s:.3g} s")
        try:
            found = self._send(request, limit_s)
        except TimeoutError:
            return late
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self.clock() >= deadline:
                return late
            return Exchange(status=None, failure=f"{type(error).__name__}: {error}")

        return late if self.clock() >= deadline else found

    def _send(self, request: ProbeRequest, limit_s: float) -> Exchange:
        url = urlsplit(request.url)
        secure = url.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(url.hostname or "", url.port, timeout=limit_s)
        headers = {"Content-Type": "application/json"} if request.body else {}
        if self.api_key and request.with_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            connection.connect()
            with _ended_after(connection.sock, limit_s):
                connection.request(request.method, url.path or "/", body=request.body.encode() or None, headers=headers)
                reply = connection.getresponse()
                text = _read(reply)
        finally:
            connection.close()
        if request.stream and "event-stream" in (reply.getheader("Content-Type") or ""):
            return read_events(reply.status, text)
        return Exchange(status=reply.status, body=_json_or_text(text))


@contextmanager
def _ended_after(connected: socket.socket, limit_s: float) -> Generator[None]:
    """Hang up after a time: the socket's own timeout is for each part, so a server that trickles outlasts it."""

    def hang_up() -> None:
        with suppress(OSError):  # it has hung up by itself
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read(reply: http.client.HTTPResponse) -> str:
    parts: list[bytes] = []
    size = 0
    while size < MAX_BYTES and (part := reply.read1(_CHUNK)):
        parts.append(part)
        size += len(part)
    return b"".join(parts).decode("utf-8", "replace")


def read_events(status: int, text: str) -> Exchange:
    """Read the whole text of a stream of server-sent events."""
    # Not splitlines: a model may write one of the eight other characters that end a line for Python.
    lines = [line[5:].strip() for line in re.split(r"\r\n|\n|\r", text) if line.startswith("data:")]
    events = tuple(_json_or_text(line) for line in lines if line and line != "[DONE]")
    ended = "[DONE]" in lines
    return Exchange(status=status, events=events, failure="" if ended else "the stream ended without its [DONE]")


def _json_or_text(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return text
