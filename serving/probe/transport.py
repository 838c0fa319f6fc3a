"""Send one probe request and record the outcome; every failure becomes an Exchange, nothing is raised."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from .chat_reply import parse_json
from .records import Exchange, ProbeRequest

MAX_BYTES = 4_000_000
"""More than any reply to the probe; the metrics of a busy vLLM are about 100 kB."""

_CHUNK = 65_536


@dataclass(frozen=True, kw_only=True)
class HttpTransport:
    """Sends requests to one server, with one deadline for all of them.

    It does not follow redirects, which could send the key elsewhere, and uses no proxy, which could answer in place of
    the server.
    """

    api_key: str = field(repr=False)
    """Empty means no key is sent."""
    ends_at: float
    """Deadline of the whole probe, by `clock`."""
    request_s: float
    """Maximum time for one request, seconds."""
    clock: Callable[[], float] = time.monotonic

    def __call__(self, request: ProbeRequest) -> Exchange:
        """Send the request and return the outcome."""
        left_s = self.ends_at - self.clock()
        if left_s <= 0:
            return Exchange(status=None, sent=False, failure="the probe's time limit was reached before this request")
        limit_s = min(self.request_s, left_s)
        began = self.clock()
        deadline = began + limit_s
        late = Exchange(status=None, failure=f"no complete reply within {limit_s:.3g} s")
        try:
            found = self._send(request, limit_s)
        except TimeoutError:
            return late
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self.clock() >= deadline:
                return late
            return Exchange(status=None, failure=f"{type(error).__name__}: {error}")

        ended = self.clock()
        return late if ended >= deadline else replace(found, elapsed_s=ended - began)

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
            with _closed_after(connection.sock, limit_s):
                connection.request(request.method, url.path or "/", body=request.body.encode() or None, headers=headers)
                reply = connection.getresponse()
                text = _read(reply)
        finally:
            connection.close()
        if request.stream and "event-stream" in (reply.getheader("Content-Type") or ""):
            return read_events(reply.status, text)
        return Exchange(status=reply.status, body=_json_or_text(text))


@contextmanager
def _closed_after(connected: socket.socket, limit_s: float) -> Generator[None]:
    """Close the connection after a time: the socket's timeout applies to each read, so a slow trickle outlasts it."""

    def close() -> None:
        with suppress(OSError):  # already closed
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, close)
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
    """Parse the complete text of a stream of server-sent events."""
    # Not splitlines: a model may write one of the eight other characters that Python treats as line ends.
    lines = [line[5:].strip() for line in re.split(r"\r\n|\n|\r", text) if line.startswith("data:")]
    events = tuple(_json_or_text(line) for line in lines if line and line != "[DONE]")
    ended = "[DONE]" in lines
    return Exchange(status=status, events=events, failure="" if ended else "the stream ended without [DONE]")


def _json_or_text(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return text
