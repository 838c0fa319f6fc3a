"""One MCP server, started when it is first needed, and ended with all its processes; calls no tool."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO, cast

from agent import Launch, McpServer, at_forced_end

from ._server_command import NO_CACHE, without_compiled
from ._server_inside import inside
from ._server_listing import Listing
from ._server_processes import VARIABLE, kill_marked, new_mark

if TYPE_CHECKING:
    from mcp import Client

Era = Literal["auto", "legacy"]
"""How a connection begins: `auto` asks for protocol 2026-07-28 first, `legacy` begins with the older handshake."""
Launched = Callable[[Mapping[str, str]], AbstractContextManager[Launch]]

START_TIMEOUT_S = 60.0
_PING_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 10.0  # closing the input, SIGTERM and SIGKILL take the package mcp 7 s at most (version 2.3)
_STDERR_BYTES = 600


class Unavailable(Exception):
    """Raised when a server does not start."""

    def __init__(self, message: str, *, exited: bool) -> None:
        super().__init__(message)
        self.exited = exited
        """False if it is only slow."""


class Session:
    """The connection to one server; a single task opens and closes it, as anyio requires."""

    def __init__(
        self, name: str, server: McpServer, directory: Path, *, era: Era = "auto", launch: Launched | None = None
    ) -> None:
        """Prepare a session; `client` starts it.

        Args:
            name: of the server in the task.
            server: its settings.
            directory: working directory of its command.
            era: how the connection begins.
            launch: prepares its start in the sandbox, with the variables that every server gets. None means outside.
        """
        self._name, self._server, self._directory, self._launch = name, server, directory, launch
        self._era: Era = era
        self._end = asyncio.Event()
        self._ready: asyncio.Future[Client] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._stderr: TextIO | None = None
        self._stderr_tail = ""
        self._mark = new_mark()
        self._forget_kill: Callable[[], None] | None = None
        self.listing = Listing()
        """What the server has said about its tools."""

    @property
    def era(self) -> Era:
        """The way that another connection to the server can begin, once this one has begun."""
        from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

        if self._ready is None or not self._ready.done():
            return self._era
        return "legacy" if self._ready.result().protocol_version in HANDSHAKE_PROTOCOL_VERSIONS else "auto"

    async def client(self) -> Client:
        """Return the client of the running server.

        Raises:
            Unavailable: the server does not start.
        """
        if self._ready is None or self._owner is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._run(self._ready))
            self._forget_kill = at_forced_end(partial(kill_marked, self._mark))
        await asyncio.wait({self._ready, self._owner}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        reason = f"it did not answer within {START_TIMEOUT_S:g} s"
        if self._owner.done():
            error = None if self._owner.cancelled() else self._owner.exception()
            reason = "it was stopped" if error is None else _innermost_message(error)
        target = " ".join(self._server.command) or self._server.url
        msg = f"The MCP server `{self._name}` ({target}) did not start: {reason}.{self.stderr_note()}"
        raise Unavailable(msg, exited=self._owner.done())

    async def is_alive(self) -> bool:
        """Return whether the server still answers."""
        if self._owner is None or self._owner.done() or self._ready is None or not self._ready.done():
            return False
        with suppress(Exception):
            await asyncio.wait_for(self._ready.result().list_tools(cache_mode="bypass"), _PING_TIMEOUT_S)
            return True
        return False

    def stderr_note(self) -> str:
        """Return the end of the server's standard error as a sentence; empty if it wrote nothing."""
        if self._stderr is not None:
            size_bytes = os.fstat(self._stderr.fileno()).st_size
            tail = os.pread(self._stderr.fileno(), _STDERR_BYTES, max(0, size_bytes - _STDERR_BYTES))
            cut = "..." if size_bytes > _STDERR_BYTES else ""
            self._stderr_tail = f"{cut}{tail.decode(errors='replace').strip()}"
        return f" It wrote: {self._stderr_tail}" if self._stderr_tail else ""

    async def aclose(self) -> None:
        """End the server; none of its processes is left, also if this is cancelled."""
        self._end.set()
        try:
            if self._owner is not None:
                if self._ready is not None and self._ready.done():
                    await asyncio.wait({self._owner}, timeout=_CLOSE_TIMEOUT_S)
                self._owner.cancel()
                await asyncio.wait({self._owner}, timeout=_CLOSE_TIMEOUT_S)
        finally:
            kill_marked(self._mark)
            if self._forget_kill is not None:
                self._forget_kill()
            if self._owner is not None and self._owner.done() and not self._owner.cancelled():
                self._owner.exception()  # already reported, if there was one

    async def _run(self, ready: asyncio.Future[Client]) -> None:
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import get_default_environment, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        _keep_quiet()
        server = self._server
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
            self._stderr = stderr
            try:
                if self._launch is not None:
                    transport = inside(self._launch(get_default_environment()), self._directory, stderr)
                elif server.command:
                    program, *arguments = without_compiled(server.command, self._directory, server.env)
                    parameters = StdioServerParameters(
                        command=program,
                        args=arguments,
                        env={**server.env, **NO_CACHE, VARIABLE: self._mark},
                        cwd=self._directory,
                        encoding_error_handler="replace",  # one byte that is not UTF-8 would end the connection
                    )
                    transport = stdio_client(parameters, errlog=stderr)
                else:
                    transport = streamable_http_client(server.url)
                async with Client(self.listing.behind(transport), mode=self._era) as client:
                    ready.set_result(client)
                    await self._end.wait()
            finally:
                self.stderr_note()  # saves the tail before the file is closed
                self._stderr = None


def _keep_quiet() -> None:
    """Give the loggers of the package mcp a handler, as libraries should.

    Without any, Python prints each line of a server that is not a message on standard error, with a traceback.
    """
    for name in ("mcp", "client"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def _innermost_message(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return str(error) or type(error).__name__
