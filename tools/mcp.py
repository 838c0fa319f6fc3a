"""Tools of MCP servers as tools of a run: listed once before it starts, called on one session per server."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from agent import ConfigError, Image, McpServer, Tool, ToolContext, ToolError, tool_from_schema

from ._server_listing import Listing
from ._server_tools import Offer, make_tools

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as McpTool

_START_TIMEOUT_S = 60.0
_PING_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 10.0
_MAX_PAGES = 50
_STDERR_CHARS = 600
_UNKNOWN_EFFECT = "The call may have taken effect: check before you repeat it."


def mcp_tools(servers: Mapping[str, McpServer], directory: Path, *, taken: Iterable[str] = ()) -> tuple[Tool, ...]:
    """Start each server, list its tools and stop it; a run starts it again at the first call.

    A tool whose schema cannot be used is left out; `Tool.notes` of the server's first tool tells it, and names the
    tools whose names had to be changed and the size of all definitions if it is large.

    Args:
        servers: by their name in the task; the names of their tools begin with it.
        directory: working directory of the server commands; the task file's folder.
        taken: names of other tools, which none of these may have.

    Raises:
        ConfigError: the package `mcp` is not installed, a server does not answer, it lacks a tool that the task names
            or sends a schema for it that cannot be used, or none of its tools can be used.
    """
    if servers and find_spec("mcp") is None:
        msg = 'MCP servers need the package mcp, which is not installed: pip install "tramontane[mcp]".'
        raise ConfigError(msg, key="mcp")
    offers: list[Offer] = []
    with ThreadPoolExecutor(1) as executor:  # the caller's thread may already run an event loop
        for name, server in servers.items():
            offered = executor.submit(asyncio.run, _list_tools(name, server, directory)).result()
            offers += [_offer(name, server, directory, one) for one in _select(name, server, offered)]
    return make_tools(offers, taken=taken)


@dataclass(frozen=True, kw_only=True)
class _Offered:
    tool: McpTool
    schema: object
    """The `inputSchema` as the server sent it."""


async def _list_tools(name: str, server: McpServer, directory: Path) -> list[_Offered]:
    session = _Session(name, server, directory)
    try:
        client = await session.client()
        tools: list[McpTool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await asyncio.wait_for(client.list_tools(cursor=cursor), server.timeout_s)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
    except _Unavailable as error:
        raise ConfigError(str(error), key=f"mcp.{name}") from error
    except Exception as error:  # a server may fail in any way
        msg = f"The MCP server `{name}` did not list its tools: {error or type(error).__name__}.{session.stderr_note()}"
        raise ConfigError(msg, key=f"mcp.{name}") from error
    finally:
        await session.aclose()
    unique = {tool.name: tool for tool in reversed(tools)}
    return [_Offered(tool=unique[key], schema=session.listing.schemas[key]) for key in reversed(unique)]


def _select(name: str, server: McpServer, offered: Sequence[_Offered]) -> list[_Offered]:
    known = {one.tool.name: one for one in offered}
    if missing := [tool for tool in server.tools if tool not in known]:
        msg = f"The MCP server `{name}` has no tool {missing[0]!r}. It has: {', '.join(known) or 'none'}."
        raise ConfigError(msg, key=f"mcp.{name}.tools")
    return [known[tool] for tool in server.tools] or list(offered)


def _offer(name: str, server: McpServer, directory: Path, offered: _Offered) -> Offer:
    return Offer(
        server=name,
        tool=offered.tool.name,
        is_named=offered.tool.name in server.tools,
        make=lambda tool_name: _make_tool(name, server, directory, offered, tool_name),
    )


def _make_tool(name: str, server: McpServer, directory: Path, sent: _Offered, tool_name: str) -> Tool:
    async def unused(_arguments: object) -> object:
        raise AssertionError

    offered, parameters = sent.tool, sent.schema
    if parameters is not None and not isinstance(parameters, dict):
        msg = f"Tool {tool_name!r}: `parameters` must be an object, got {parameters!r}."
        raise ConfigError(msg)
    annotations = offered.annotations
    read_only = bool(annotations and annotations.read_only_hint)
    tool = tool_from_schema(
        unused,
        name=tool_name,
        description=next(filter(str.strip, (offered.description or "", offered.title or "")), offered.name),
        parameters=cast("dict[str, Any]", parameters) if parameters else {},
        read_only=read_only,
        timeout_s=server.timeout_s + 10.0,
    )

    async def body(arguments: dict[str, object], context: ToolContext[Any]) -> object:
        sessions = context.resources.get(_Sessions)
        return await sessions.call(name, server, directory, offered.name, arguments, retry=read_only)

    return replace(tool, body=body, env=server.env)


class _Unavailable(Exception):
    """Raised when a server does not start or has exited."""


class _Sessions:
    """The servers started by a run."""

    def __init__(self) -> None:
        self._open: dict[str, _Session] = {}

    async def call(
        self, name: str, server: McpServer, directory: Path, tool: str, arguments: Mapping[str, Any], *, retry: bool
    ) -> object:
        session = self._open.setdefault(name, _Session(name, server, directory))
        try:
            client = await session.client()
        except _Unavailable as error:
            self._open.pop(name, None)
            raise ToolError(str(error)) from error
        try:
            result = await asyncio.wait_for(client.call_tool(tool, dict(arguments)), server.timeout_s)
        except TimeoutError as error:
            msg = f"The MCP server `{name}` did not answer within {server.timeout_s:g} s. {_UNKNOWN_EFFECT}"
            raise ToolError(msg) from error
        except Exception as error:
            if await session.is_alive():
                msg = f"The MCP server `{name}` rejected the call: {error}"  # a protocol error, such as wrong arguments
                raise ToolError(msg) from error
            if self._open.pop(name, None) is not None:
                await session.aclose()
            if retry:
                return await self.call(name, server, directory, tool, arguments, retry=False)
            msg = (
                f"The MCP server `{name}` exited during the call. {_UNKNOWN_EFFECT} The next call restarts the "
                f"server.{session.stderr_note()}"
            )
            raise ToolError(msg) from error
        return _convert(result)

    async def aclose(self) -> None:
        while self._open:
            await self._open.popitem()[1].aclose()


class _Session:
    """One server, started when it is first needed; a single task opens and closes it, as anyio requires."""

    def __init__(self, name: str, server: McpServer, directory: Path) -> None:
        self._name, self._server, self._directory = name, server, directory
        self._end = asyncio.Event()
        self._ready: asyncio.Future[Client] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._stderr: TextIO | None = None
        self._stderr_tail = ""
        self.listing = Listing()
        """What the server has said about its tools."""

    async def client(self) -> Client:
        """Return the client of the running server.

        Raises:
            _Unavailable: the server does not start.
        """
        if self._ready is None or self._owner is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._run(self._ready))
        await asyncio.wait({self._ready, self._owner}, timeout=_START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        reason = f"it did not answer within {_START_TIMEOUT_S:g} s"
        if self._owner.done() and (error := self._owner.exception()) is not None:
            reason = _innermost_message(error)
        target = " ".join(self._server.command) or self._server.url
        msg = f"The MCP server `{self._name}` ({target}) did not start: {reason}.{self.stderr_note()}"
        raise _Unavailable(msg)

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
            self._stderr.seek(0)
            self._stderr_tail = self._stderr.read().strip()[-_STDERR_CHARS:]
        return f" It wrote: {self._stderr_tail}" if self._stderr_tail else ""

    async def aclose(self) -> None:
        self._end.set()
        if self._owner is not None:
            await asyncio.wait({self._owner}, timeout=_CLOSE_TIMEOUT_S)
            self._owner.cancel()
            await asyncio.wait({self._owner})
            if not self._owner.cancelled():
                self._owner.exception()  # already reported, if there was one

    async def _run(self, ready: asyncio.Future[Client]) -> None:
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import streamable_http_client

        server = self._server
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
            self._stderr = stderr
            try:
                if server.command:
                    program, *arguments = server.command
                    parameters = StdioServerParameters(
                        command=program, args=arguments, env=dict(server.env), cwd=self._directory
                    )
                    transport = stdio_client(parameters, errlog=stderr)
                else:
                    transport = streamable_http_client(server.url)
                async with Client(self.listing.behind(transport)) as client:
                    ready.set_result(client)
                    await self._end.wait()
            finally:
                self.stderr_note()  # saves the tail before the file is closed
                self._stderr = None


def _innermost_message(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return str(error) or type(error).__name__


def _convert(result: CallToolResult) -> object:
    """Return the text or the image of a result; other content is only named."""
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
        raise ToolError(text or "The tool failed without a message.")
    return text or result.structured_content or "(no output)"
