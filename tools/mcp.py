"""Tools of MCP servers as tools of a run: listed once before it begins, called on a session that the run keeps."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from agent import ConfigError, Image, McpServer, Tool, ToolContext, ToolError, tool_from_schema

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as Offered

_START_S = 60.0
_ALIVE_S = 5.0
_END_S = 10.0
_MOST_PAGES = 50
_MOST_NAME_CHARS = 64
_STDERR_CHARS = 600
_NOT_LEGAL = re.compile(r"[^A-Za-z0-9_-]+")


def mcp_tools(servers: Mapping[str, McpServer], directory: Path) -> tuple[Tool, ...]:
    """Start each server, list its tools, and end it again; a run starts it anew when it is first called.

    Args:
        servers: by the name that a task gives them; the names of their tools begin with it.
        directory: where commands start; the task file's folder.

    Raises:
        ConfigError: the package for MCP is not installed, a server does not answer, it has no tool of a name that is
            asked for, or the schema of one is not usable.
    """
    if servers and find_spec("mcp") is None:
        msg = 'Tools of MCP servers need the package mcp: pip install "tramontane[mcp]".'
        raise ConfigError(msg, key="mcp")
    found: list[Tool] = []
    with ThreadPoolExecutor(1) as beside:  # the caller may have an event loop of its own
        for name, server in servers.items():
            offered = beside.submit(asyncio.run, _listed(name, server, directory)).result()
            found += [_tool(name, server, directory, one) for one in _wanted(name, server, offered)]
    return tuple(found)


async def _listed(name: str, server: McpServer, directory: Path) -> list[Offered]:
    session = _Session(name, server, directory)
    try:
        client = await session.client()
        tools: list[Offered] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await asyncio.wait_for(client.list_tools(cursor=cursor), server.timeout_s)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
    except _Gone as error:
        raise ConfigError(str(error), key=f"mcp.{name}") from error
    except Exception as error:  # whatever a server says or does
        msg = f"The MCP server `{name}` did not list its tools: {error or type(error).__name__}.{session.last_words()}"
        raise ConfigError(msg, key=f"mcp.{name}") from error
    finally:
        await session.aclose()
    return tools


def _wanted(name: str, server: McpServer, offered: Sequence[Offered]) -> list[Offered]:
    known = {one.name: one for one in offered}
    if missing := [wanted for wanted in server.tools if wanted not in known]:
        msg = f"The MCP server `{name}` has no tool {missing[0]!r}. It has: {', '.join(known) or 'none'}."
        raise ConfigError(msg, key=f"mcp.{name}.tools")
    return [known[wanted] for wanted in server.tools] or list(offered)


def _tool(name: str, server: McpServer, directory: Path, offered: Offered) -> Tool:
    async def unused(_arguments: object) -> object:
        raise AssertionError

    about = offered.annotations
    read_only = bool(about and about.read_only_hint)
    made = tool_from_schema(
        unused,
        name=_NOT_LEGAL.sub("_", f"{name}_{offered.name}")[:_MOST_NAME_CHARS],
        description=offered.description or offered.title or offered.name,
        parameters={"properties": {}, **offered.input_schema},
        read_only=read_only,
        timeout_s=server.timeout_s + 10.0,
    )

    async def body(arguments: dict[str, object], context: ToolContext[Any]) -> object:
        sessions = context.resources.get(_Sessions)
        return await sessions.call(name, server, directory, offered.name, arguments, again=read_only)

    return replace(made, body=body)


class _Gone(Exception):
    """Raised when a server does not start, or is not there any more."""


class _Sessions:
    """The servers that a run has started."""

    def __init__(self) -> None:
        self._open: dict[str, _Session] = {}

    async def call(
        self, name: str, server: McpServer, directory: Path, tool: str, arguments: Mapping[str, Any], *, again: bool
    ) -> object:
        session = self._open.setdefault(name, _Session(name, server, directory))
        try:
            client = await session.client()
        except _Gone as error:
            self._open.pop(name, None)
            raise ToolError(str(error)) from error
        try:
            result = await asyncio.wait_for(client.call_tool(tool, dict(arguments)), server.timeout_s)
        except TimeoutError as error:
            msg = f"{name} did not answer within {server.timeout_s:g} s. What it did is unknown."
            raise ToolError(msg) from error
        except Exception as error:
            if await session.answers():
                msg = f"{name} refused the call: {error}"  # an error of the protocol, such as wrong arguments
                raise ToolError(msg) from error
            if self._open.pop(name, None) is not None:
                await session.aclose()
            if again:
                return await self.call(name, server, directory, tool, arguments, again=False)
            msg = (
                f"The server {name} ended during the call, so what the call did is unknown.{session.last_words()} "
                "It is started again when it is called again."
            )
            raise ToolError(msg) from error
        return _shown(result)

    async def aclose(self) -> None:
        while self._open:
            await self._open.popitem()[1].aclose()


class _Session:
    """One server, started when it is first needed; a task of its own opens and closes it, as anyio wants."""

    def __init__(self, name: str, server: McpServer, directory: Path) -> None:
        self._name, self._server, self._directory = name, server, directory
        self._end = asyncio.Event()
        self._ready: asyncio.Future[Client] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._stderr: TextIO | None = None
        self._words = ""

    async def client(self) -> Client:
        """Return the client of the running server.

        Raises:
            _Gone: it does not start.
        """
        if self._ready is None or self._owner is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._own(self._ready))
        await asyncio.wait({self._ready, self._owner}, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        reason = f"it did not answer within {_START_S:g} s"
        if self._owner.done() and (error := self._owner.exception()) is not None:
            reason = _said(error)
        what = " ".join(self._server.command) or self._server.url
        msg = f"The MCP server `{self._name}` ({what}) does not start: {reason}.{self.last_words()}"
        raise _Gone(msg)

    async def answers(self) -> bool:
        """Tell whether the server is still there."""
        if self._owner is None or self._owner.done() or self._ready is None or not self._ready.done():
            return False
        with suppress(Exception):
            await asyncio.wait_for(self._ready.result().list_tools(cache_mode="bypass"), _ALIVE_S)
            return True
        return False

    def last_words(self) -> str:
        """Return the end of what the server wrote to its standard error, as a sentence; empty: nothing."""
        if self._stderr is not None:
            self._stderr.seek(0)
            self._words = self._stderr.read().strip()[-_STDERR_CHARS:]
        return f" It wrote: {self._words}" if self._words else ""

    async def aclose(self) -> None:
        self._end.set()
        if self._owner is not None:
            await asyncio.wait({self._owner}, timeout=_END_S)
            self._owner.cancel()
            await asyncio.wait({self._owner})
            if not self._owner.cancelled():
                self._owner.exception()  # it was told already, if there was one

    async def _own(self, ready: asyncio.Future[Client]) -> None:
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client

        server = self._server
        where: Any = server.url
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
            self._stderr = stderr
            try:
                if server.command:
                    program, *arguments = server.command
                    parameters = StdioServerParameters(
                        command=program, args=arguments, env=dict(server.env), cwd=self._directory
                    )
                    where = stdio_client(parameters, errlog=stderr)
                async with Client(where) as client:
                    ready.set_result(client)
                    await self._end.wait()
            finally:
                self.last_words()
                self._stderr = None


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return str(error) or type(error).__name__


def _shown(result: CallToolResult) -> object:
    """Return the text, or the picture; what else there is, is named."""
    texts: list[str] = []
    for part in result.content:
        if part.type == "text":
            texts.append(part.text)
        elif part.type == "image" and not result.is_error:
            return Image(data=part.data, media_type=part.mime_type)
        elif part.type == "resource" and hasattr(part.resource, "text"):
            texts.append(str(getattr(part.resource, "text", "")))
        else:
            texts.append(f"[{part.type}, not shown]")
    text = "\n".join(texts)
    if result.is_error:
        raise ToolError(text or "The tool failed and said nothing.")
    return text or result.structured_content or "(no output)"
