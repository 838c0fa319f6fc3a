"""Describe faults of a scripted server as data: malformed bodies, cut connections, stalls, an absent server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..messages import Reply
from .chunks import DONE, event

Ending = Literal["whole", "close", "reset", "stall", "keep_alive", "restart"]
"""How an answer ends: completely; the connection is closed, or reset; the server sends nothing more until the client
disconnects; it sends only comments that keep a stream alive; or it goes away and comes back on the same port."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One faulty answer. The functions of this module build the usual ones."""

    reply: Reply | None = None
    """Sent in the form that the request asked for, up to `share`. None means that `body` is sent."""
    body: bytes = b""
    status: int | None = 200
    """None means that nothing is sent at all, not even a status line."""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    share: float = 1.0
    """How much of the body is sent before `ending`: 0 to 1."""
    ending: Ending = "whole"
    down_s: float = 0.0
    """For `restart`: seconds during which connections are refused."""
    delay_s: float = 0.0
    """Seconds before the first byte."""


def http_error(
    status: int, message: str = "scripted", *, headers: Mapping[str, str] | None = None, kind: str = "ScriptedError"
) -> Fault:
    """Answer with an HTTP error in vLLM's form; `headers` such as {"Retry-After": "1"}."""
    error = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return Fault(status=status, body=json.dumps(error).encode(), headers=headers or {})


def html(status: int = 200) -> Fault:
    """Answer with a web page, like a proxy."""
    page = b"<html><head><title>Bad gateway</title></head><body>nginx</body></html>"
    return Fault(status=status, body=page, content_type="text/html")


def raw(body: bytes | str | Mapping[str, Any], *, content_type: str = "application/json") -> Fault:
    """Answer 200 with exactly this body, whether or not streaming was requested."""
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Fault(body=data, content_type=content_type)


def stream(*chunks: object, done: bool = True) -> Fault:
    """Answer with a stream of exactly these chunks, each a JSON value, or bytes that are sent as they are."""
    sent = [chunk if isinstance(chunk, bytes) else event(chunk) for chunk in chunks]
    return Fault(body=b"".join([*sent, DONE if done else b""]), content_type="text/event-stream")


def error_in_stream(code: int, message: str = "scripted") -> Fault:
    """Start a stream with 200 and send an error object in it, as vLLM does for errors that it detects late."""
    return stream({"error": {"message": message, "type": "ScriptedError", "param": None, "code": code}})


def cut(reply: Reply, *, share: float = 0.5) -> Fault:
    """Close the connection after this share of the reply."""
    return Fault(reply=reply, share=share, ending="close")


def reset(reply: Reply | None = None, *, share: float = 0.5) -> Fault:
    """Reset the connection: at once, or after this share of the reply."""
    return _ending("reset", reply, share)


def stall(reply: Reply | None = None, *, share: float = 0.5) -> Fault:
    """Send nothing more until the client disconnects: at once, or after this share of the reply."""
    return _ending("stall", reply, share)


def keep_alive(reply: Reply | None = None, *, share: float = 0.5) -> Fault:
    """Send only comments that keep the stream alive: at once, or after this share of the reply."""
    if reply is None:
        return Fault(content_type="text/event-stream", ending="keep_alive")
    return Fault(reply=reply, share=share, ending="keep_alive")


def restart(down_s: float) -> Fault:
    """Reset the connection and refuse all others for `down_s` seconds, then serve again on the same port."""
    return Fault(status=None, ending="restart", down_s=down_s)


def slow(reply: Reply, *, delay_s: float) -> Fault:
    """Answer properly, but late."""
    return Fault(reply=reply, delay_s=delay_s)


def _ending(ending: Ending, reply: Reply | None, share: float) -> Fault:
    return Fault(status=None, ending=ending) if reply is None else Fault(reply=reply, share=share, ending=ending)
