"""Keep what a server says about its tools as it was sent, and show the client a listing that it accepts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp.client._transport import ReadStream, TransportStreams
    from mcp.shared.message import SessionMessage

_MAX_NOISE = 100
_NOISE_CHARS = 80


class Listing:
    """What a server said about its tools, before the client judged it.

    The package mcp refuses a whole listing for one tool whose schema has no `"type": "object"` at its top, and checks
    each result against `outputSchema` with patterns that may take forever (version 2.3).
    """

    def __init__(self) -> None:
        self.schemas: dict[str, object] = {}
        """The `inputSchema` of each tool, by its name."""
        self.noise: list[str] = []
        """The first lines on its standard output that are not messages of the protocol."""

    @asynccontextmanager
    async def behind(
        self, transport: AbstractAsyncContextManager[TransportStreams]
    ) -> AsyncGenerator[TransportStreams]:
        """Open a transport whose listings of tools are recorded and made acceptable."""
        async with transport as (read, write):
            yield cast("ReadStream[SessionMessage | Exception]", _Reader(read, self)), write

    def record(self, item: object) -> None:
        """Record the tools in a message and replace what the client would refuse; other messages stay as they are."""
        if isinstance(item, ValueError) and len(self.noise) < _MAX_NOISE:
            self.noise.append(_line(item))
        result = getattr(getattr(item, "message", None), "result", None)
        if not isinstance(result, dict):
            return
        fields = cast("dict[str, object]", result)
        # Protocol 2026-07-28: without it, a result is complete. The package mcp refuses such a result (version 2.3).
        fields.setdefault("resultType", "complete")
        tools = fields.get("tools")
        if isinstance(tools, list):
            fields |= {"ttlMs": 0, "cacheScope": "private"}  # each listing is asked for once
            fields["tools"] = [self._accepted(tool) for tool in cast("list[object]", tools) if _name(tool)]

    def _accepted(self, tool: object) -> dict[str, object]:
        sent = cast("dict[str, Any]", tool)
        self.schemas.setdefault(sent["name"], sent.get("inputSchema"))
        kept = {key: sent[key] for key in ("name", "title", "description") if isinstance(sent.get(key), str)}
        annotations = _members(sent.get("annotations"))
        hints = {key: value for key, value in annotations.items() if key.endswith("Hint") and isinstance(value, bool)}
        properties = _members(_members(sent.get("inputSchema")).get("properties"))
        # The client looks into the properties for what it has to send as HTTP headers.
        schemas: dict[str, object] = {}
        for key, value in properties.items():
            if isinstance(value, (dict, bool)):
                schemas[key] = cast("object", value)
        return {**kept, "annotations": hints, "inputSchema": {"type": "object", "properties": schemas}}


def _line(error: ValueError) -> str:
    """Return the beginning of the line that could not be parsed."""
    details = error.errors()[0]["input"] if isinstance(error, ValidationError) else error
    return " ".join(str(details).split())[:_NOISE_CHARS]


def _name(tool: object) -> str:
    name = _members(tool).get("name")
    return name if isinstance(name, str) else ""


def _members(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


class _Reader:
    """The read stream of a transport; every message passes through a Listing."""

    def __init__(self, stream: ReadStream[SessionMessage | Exception], listing: Listing) -> None:
        self._stream = stream
        self._listing = listing

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def __aiter__(self) -> _Reader:
        return self

    async def __anext__(self) -> object:
        item = await self._stream.__anext__()
        self._listing.record(item)
        return item

    async def receive(self) -> object:
        item = await self._stream.receive()
        self._listing.record(item)
        return item

    async def __aenter__(self) -> _Reader:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> bool | None:
        return await self._stream.__aexit__(*cast("tuple[Any, Any, Any]", details))
