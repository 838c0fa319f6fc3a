"""Speak to an MCP server that runs in the sandbox of commands, by its standard input and output; ends it at the end."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agent import Launch, kill_session

if TYPE_CHECKING:
    from anyio.abc import Process
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

_MAX_LINE_BYTES = 4_000_000
_MAX_VALUES = 100_000
"""Of JSON, in one line: 1,300,000 empty lists took 7 s and 660 MB."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOISE_BYTES = 1_000
_END_S = 2.0
"""How long to wait for a server to end, once its input is closed, and once it is killed."""


@asynccontextmanager
async def inside(
    launched: AbstractContextManager[Launch], folder: Path, stderr: TextIO
) -> AsyncGenerator[TransportStreams]:
    """Start a server and open the streams of its messages; it ends with the block, with all that it started.

    Not `stdio_client` of the package mcp, which passes no file descriptors on (version 2.3).

    Args:
        launched: prepares its start.
        folder: where it runs.
        stderr: takes its standard error.

    Raises:
        OSError: it cannot be started.
    """
    import anyio

    with launched as launch:
        process = await anyio.open_process(
            list(launch.argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=folder,
            env=dict(launch.env), pass_fds=launch.pass_fds, start_new_session=True,
        )  # fmt: skip
    arrived, read = anyio.create_memory_object_stream["SessionMessage | Exception"](0)
    write, leaving = anyio.create_memory_object_stream["SessionMessage"](0)
    try:
        async with anyio.create_task_group() as tasks, read, write:
            tasks.start_soon(_receive, process, arrived, stderr)
            tasks.start_soon(_send, process, leaving)
            try:
                yield read, write
            finally:
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _receive(
    process: Process, arrived: MemoryObjectSendStream[SessionMessage | Exception], stderr: TextIO
) -> None:  # fmt: skip
    import anyio

    buffer = bytearray()
    async with arrived:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, OSError):
            while process.stdout is not None:
                chunk = await process.stdout.receive()
                buffer += chunk
                *lines, buffer = buffer.split(b"\n") if b"\n" in chunk else [buffer]
                for line in lines:
                    if _is_too_large(line):
                        _refuse(stderr)
                        return
                    await arrived.send(_message(line))
                if len(buffer) > _MAX_LINE_BYTES:
                    _refuse(stderr)
                    return


async def _send(process: Process, leaving: MemoryObjectReceiveStream[SessionMessage]) -> None:
    import anyio

    async with leaving:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            async for message in leaving:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                if process.stdin is not None:
                    await process.stdin.send(f"{line}\n".encode(errors="replace"))


def _refuse(stderr: TextIO) -> None:
    """Write why no more is read to what the server wrote itself, which is shown when it does not answer."""
    stderr.write(
        f"\nIts standard output is read no more: a line had over {_MAX_LINE_BYTES:,} bytes or {_MAX_VALUES:,} values."
    )
    stderr.flush()


def _is_too_large(line: bytearray) -> bool:
    """Return whether parsing a line could take seconds, or hundreds of megabytes."""
    return len(line) > _MAX_LINE_BYTES or (
        _separators(line) > _MAX_VALUES and _separators(_STRING.sub(b"", line)) > _MAX_VALUES
    )


def _separators(line: bytes | bytearray) -> int:
    return sum(map(line.count, (b",", b"[", b"{"))) if len(line) > _MAX_VALUES else 0


def _message(line: bytearray) -> SessionMessage | Exception:
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line.decode(errors="replace"), by_name=False))
    except ValueError:
        return ValueError(line[:_NOISE_BYTES].decode(errors="replace"))


async def _end(process: Process) -> None:
    """Close its input, wait a moment for it to end, and kill what is left."""
    import anyio

    if process.stdin is not None:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.aclose()
    with anyio.move_on_after(_END_S):
        await process.wait()
    kill_session(process.pid)
    with anyio.move_on_after(_END_S):
        await process.wait()
        if process.stdout is not None:  # asyncio complains of a pipe that was not read to its end before the loop's
            async for _ in process.stdout:
                pass
