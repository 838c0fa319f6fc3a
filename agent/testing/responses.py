"""Render a scripted answer as the bytes of an HTTP response, whole or in chunks; opens no connection."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..messages import Reply
from . import chunks
from .faults import Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A response without its status line and headers."""

    parts: tuple[bytes, ...]
    content_type: str
    chunked: bool


def render(fault: Fault, content: Reply | Mapping[str, Any] | None, request: Mapping[str, Any], model: str) -> Rendered:
    """Render a fault's own body, or a reply in the form that the request asked for: whole or as events."""
    if content is None:
        streams = fault.content_type == "text/event-stream"
        return Rendered(parts=(fault.body,), content_type=fault.content_type, chunked=streams)
    body = chunks.completion(content, model=model) if isinstance(content, Reply) else content
    if not request.get("stream"):
        return Rendered(parts=(json.dumps(body).encode(),), content_type="application/json", chunked=False)
    options = cast("dict[str, Any]", request.get("stream_options") or {})
    if not options.get("include_usage"):
        body = {key: value for key, value in body.items() if key != "usage"}
    return Rendered(parts=tuple(chunks.events(body)), content_type="text/event-stream", chunked=True)


def head(status: int, response: Rendered, headers: Mapping[str, str]) -> bytes:
    """Render the status line and the headers."""
    length = str(sum(len(part) for part in response.parts))
    framing = {"Transfer-Encoding": "chunked"} if response.chunked else {"Content-Length": length}
    lines = {"Content-Type": response.content_type, **framing, **headers}
    first = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
    return "\r\n".join(first).encode()


def share(response: Rendered, fault: Fault) -> Iterator[bytes]:
    """Yield the share of the body that the fault sends, framed for HTTP."""
    left = round(sum(len(part) for part in response.parts) * fault.share)
    for part in response.parts:
        if fault.ending == "keep_alive" and len(part) > left:
            break  # a comment in the middle of an event would break it
        sent = part[:left]
        left -= len(sent)
        if sent:
            yield b"%x\r\n%s\r\n" % (len(sent), sent) if response.chunked else sent
    if response.chunked and fault.ending == "whole":
        yield b"0\r\n\r\n"
