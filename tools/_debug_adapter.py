"""Speak the Debug Adapter Protocol with an adapter over its standard streams; knows no debugger and no program.

Source: Debug Adapter Protocol 1.71, https://microsoft.github.io/debug-adapter-protocol/specification, read 2026-11.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent import Launch, kill_session

MAX_MESSAGE_BYTES = 20_000_000
_END_S = 2.0

Body = Mapping[str, Any]
"""The body of a response or of an event, or the arguments of a request: JSON, as the protocol has it."""


class AdapterGone(Exception):
    """Raised when the adapter ended, or does not answer in time."""


class Refused(Exception):
    """Raised when the adapter answers a request with an error; the text is its own."""


class Adapter:
    """A running debug adapter: requests go out, events come in."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Body]] = {}
        self._events: asyncio.Queue[tuple[str, Body] | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, launch: Launch, *, folder: Path) -> Adapter:
        """Start an adapter in a session of its own.

        Raises:
            OSError: it could not be started.
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
        """Send a request; the future is its answer's body, or `Refused`, or `AdapterGone`."""
        self._number += 1
        request = {"seq": self._number, "type": "request", "command": command, "arguments": dict(arguments)}
        body = json.dumps(request).encode()
        answer: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        if self._reading.done() or self._process.stdin is None:
            answer.set_exception(AdapterGone())
            return answer
        self._waiting[self._number] = answer
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return answer

    async def ask(self, command: str, arguments: Body, *, timeout_s: float) -> Body:
        """Send a request and wait for its answer.

        Raises:
            Refused: the adapter says no.
            AdapterGone: it ended, or said nothing for `timeout_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self.send(command, arguments)
        except TimeoutError as error:
            raise AdapterGone from error

    async def event(self) -> tuple[str, Body]:
        """Wait for the next event: its name and its body.

        Raises:
            AdapterGone: it ended.
        """
        found = await self._events.get()
        if found is None:
            self._events.put_nowait(None)  # for whoever asks again
            raise AdapterGone
        return found

    async def aclose(self) -> None:
        """End the adapter and all that it started."""
        kill_session(self._process.pid)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None, "it was started with a pipe"
        try:
            while True:
                length = 0
                while (line := await stream.readline()).strip():
                    name, _, value = line.partition(b":")
                    if name.strip().lower() == b"content-length":
                        length = min(int(value), MAX_MESSAGE_BYTES)
                if not length:
                    return
                self._take(json.loads(await stream.readexactly(length)))
        except (asyncio.IncompleteReadError, ValueError, OSError):
            return
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(AdapterGone())
            self._events.put_nowait(None)

    def _take(self, message: Body) -> None:
        if message["type"] == "event":
            self._events.put_nowait((message["event"], message.get("body") or {}))
        elif message["type"] == "response":
            answer = self._waiting.pop(message["request_seq"], None)
            if answer is None or answer.done():
                return
            if message["success"]:
                answer.set_result(message.get("body") or {})
            else:
                answer.set_exception(Refused(message.get("message") or "no reason is given"))
