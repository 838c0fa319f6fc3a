"""Split a stream of bytes into the data of its server-sent events; comments, pings and other fields are skipped."""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")
_DONE = b"[DONE]"


class EventLines:
    """Collects the bytes of one stream; each `data` line is an event, as every chat completions server sends them."""

    def __init__(self) -> None:
        self._rest = b""
        self.is_done = False
        """True once the server has sent its last event, `[DONE]`."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Add bytes and return the data of the events that they complete, in order."""
        # A CR at the end may be the first half of a CR LF.
        buffer = self._rest + chunk
        held = buffer[-1:] if buffer.endswith(b"\r") else b""
        *lines, rest = _LINE_END.split(buffer.removesuffix(held))
        self._rest = rest + held
        return [data for line in lines if (data := self._data(line))]

    def end(self) -> list[bytes]:
        """Return the data of a last event without a line end."""
        data = self._data(self._rest.strip())
        return [data] if data else []

    def _data(self, line: bytes) -> bytes:
        if not line.startswith(b"data:"):
            return b""
        data = line[5:].strip()
        if data == _DONE:
            self.is_done = True
            return b""
        return data
