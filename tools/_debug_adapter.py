"""Exchange Debug Adapter Protocol messages with an adapter over its standard streams; specific to no debugger.

Source: Debug Adapter Protocol 1.71, https://microsoft.github.io/debug-adapter-protocol/specification, read 2026-11.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from agent import Launch, at_forced_end, kill_session

MAX_MESSAGE_BYTES = 20_000_000
MAX_QUEUED_CHARS = 1_000_000
"""Of output that was not taken yet; more of it is dropped, since a program may print for hours."""
_STOP_GRACE_S = 2.0

Body = Mapping[str, Any]
"""The body of a response or event, or the arguments of a request: JSON, as the protocol defines it."""


class AdapterClosed(Exception):
    """Raised when the adapter has ended or does not answer in time."""


class RequestFailed(Exception):
    """Raised when the adapter answers a request with an error; the text is the adapter's."""


class Adapter:
    """A running debug adapter that takes requests and sends events."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._last_seq = 0
        self._waiting: dict[int, asyncio.Future[Body]] = {}
        self._events: asyncio.Queue[tuple[str, Body] | None] = asyncio.Queue()
        self._queued_chars = 0
        self._reading = asyncio.create_task(self._read())
        self._forget_kill = at_forced_end(partial(kill_session, process.pid))

    @classmethod
    async def start(cls, launch: Launch, *, folder: Path) -> Adapter:
        """Start an adapter in a session of its own.

        Raises:
            OSError: the adapter cannot be started.
        """
        process = await asyncio.create_subprocess_exec(
            *launch.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env=dict(launch.env),
            pass_fds=launch.pass_fds,
            start_new_session=True,
            limit=MAX_MESSAGE_BYTES,
        )
        return cls(process)

    def send(self, command: str, arguments: Body) -> asyncio.Future[Body]:
        """Send a request; the future holds the body of its response, or raises `RequestFailed` or `AdapterClosed`."""
        self._last_seq += 1
        request = {"seq": self._last_seq, "type": "request", "command": command, "arguments": dict(arguments)}
        body = json.dumps(request).encode()
        answer: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        if self._reading.done() or self._process.stdin is None:
            answer.set_exception(AdapterClosed())
            return answer
        self._waiting[self._last_seq] = answer
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return answer

    async def request(self, command: str, arguments: Body, *, timeout_s: float) -> Body:
        """Send a request and wait for its response.

        Raises:
            RequestFailed: the adapter answers with an error.
            AdapterClosed: the adapter has ended, or does not answer within `timeout_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self.send(command, arguments)
        except TimeoutError as error:
            raise AdapterClosed from error

    async def next_event(self) -> tuple[str, Body]:
        """Wait for the next event and return its name and body.

        Raises:
            AdapterClosed: the adapter has ended.
        """
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)  # for the next caller
            raise AdapterClosed
        self._queued_chars -= _output_chars(*event)
        return event

    async def aclose(self) -> None:
        """Stop the adapter and everything that it started."""
        kill_session(self._process.pid)
        self._forget_kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_GRACE_S):
                await self._process.wait()
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None, "the adapter was started with a pipe"
        try:
            while True:
                length = 0
                while (line := await stream.readline()).strip():
                    name, _, value = line.partition(b":")
                    if name.strip().lower() == b"content-length":
                        length = min(int(value), MAX_MESSAGE_BYTES)
                if not length:
                    return
                self._dispatch(json.loads(await stream.readexactly(length)))
        except (asyncio.IncompleteReadError, OSError):
            return
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return  # not a message of the protocol: the debugged program can write to this stream too
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(AdapterClosed())
            self._events.put_nowait(None)

    def _dispatch(self, message: Body) -> None:
        if message["type"] == "event":
            name, body = str(message["event"]), cast("Body", message.get("body") or {})
            chars = _output_chars(name, body)
            if not chars or self._queued_chars + chars <= MAX_QUEUED_CHARS:
                self._queued_chars += chars
                self._events.put_nowait((name, body))
        elif message["type"] == "response":
            answer = self._waiting.pop(message["request_seq"], None)
            if answer is None or answer.done():
                return
            if message["success"]:
                answer.set_result(message.get("body") or {})
            else:
                answer.set_exception(RequestFailed(message.get("message") or "no reason given"))


def _output_chars(name: str, body: Body) -> int:
    return len(str(body.get("output", ""))) if name == "output" else 0
