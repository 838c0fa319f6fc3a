"""Run one shell command in the workspace; it and all its children are gone when the call ends, whatever happens."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections import deque
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, tool

from ._sandbox import shell_argv

MAX_TIMEOUT_S = 600
HEAD_BYTES = 600_000
TAIL_BYTES = 400_000
# After the command itself has ended, its last words may still be on their way through the pipe.
DRAIN_S = 0.5


@tool(exclusive=True, timeout_s=MAX_TIMEOUT_S + 30.0)
async def run_shell(
    context: ToolContext[Any], command: str, timeout_s: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S)] = 60
) -> str:
    """Run a shell command in the workspace; background processes end with it."""
    if "\0" in command:
        msg = "The command holds a NUL character, which no command can. Send it without."
        raise ToolError(msg)
    output = _Output()
    code = await _run(command, context, timeout_s, output)
    text = output.text()
    if code is None:
        so_far = f" Output so far:\n{text}" if text else " It had written nothing."
        msg = f"The command did not end within {timeout_s} s and was killed; what it had done stays done.{so_far}"
        raise ToolError(msg)
    if code == 0:
        return text or "(no output, exit code 0)"
    line = f"exit code {code}" if code > 0 else f"exit code {128 - code} (killed by {_signal_name(-code)})"
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}"


class _Output:
    """The first and the last bytes of a stream of any length."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._left_out_bytes = 0

    def add(self, data: bytes) -> None:
        room = HEAD_BYTES - len(self._head)
        self._head += data[:room]
        if rest := data[room:]:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
        while self._tail and self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            gone = len(self._tail.popleft())
            self._tail_bytes -= gone
            self._left_out_bytes += gone

    def text(self) -> str:
        head, tail = bytes(self._head), b"".join(self._tail)
        if not self._left_out_bytes:
            return (head + tail).decode("utf-8", "replace")
        middle = f"\n[... {self._left_out_bytes:,} bytes left out ...]\n"
        return head.decode("utf-8", "replace") + middle + tail.decode("utf-8", "replace")


async def _run(command: str, context: ToolContext[Any], timeout_s: float, output: _Output) -> int | None:
    """Run the command to its end and return its exit code; None: killed at the deadline."""
    # A pipe of our own: asyncio's would keep process.wait() waiting for as long as any child holds it open (3.11).
    read_end, write_end = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *shell_argv(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            cwd=context.workspace,
            env=dict(context.env),
            start_new_session=True,
        )
    except BaseException as error:
        os.close(read_end)
        if not isinstance(error, OSError):
            raise
        long = error.errno == errno.E2BIG
        advice = (
            "Write a script with write_file and run that." if long else "No command can run now: say so in your answer."
        )
        msg = f"The command could not be started: {error.strerror or error}. {advice}"
        raise ToolError(msg) from error
    finally:
        os.close(write_end)
    reading = asyncio.create_task(_read(read_end, output))
    code: int | None = None
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                code = await process.wait()
    finally:
        # Also on cancellation. Children that are left keep the group's number taken; with none left it is free, but
        # the system gives a number out again only after all the others.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await asyncio.wait({reading}, timeout=DRAIN_S)
        reading.cancel()
    return code


async def _read(read_end: int, output: _Output) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        while data := await reader.read(65_536):
            output.add(data)
    finally:
        transport.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
