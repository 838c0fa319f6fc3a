"""Tools of MCP servers as tools of a run: listed once before it starts, called on one session per server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agent import ConfigError, Image, McpServer, NoAnswer, Tool, ToolContext, ToolError, tool_from_schema

from ._server_answers import is_forgotten, rejection
from ._server_session import START_TIMEOUT_S, Era, Session, Unavailable
from ._server_settings import named_settings
from ._server_tools import Offer, make_tools

if TYPE_CHECKING:
    from mcp.types import CallToolResult
    from mcp.types import Tool as McpTool

_MAX_PAGES = 50


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
    notes: dict[str, Sequence[str]] = {}
    with ThreadPoolExecutor(1) as executor:  # the caller's thread may already run an event loop
        for name, server in servers.items():
            pinned = server.pinned(directory.absolute())
            listed = executor.submit(asyncio.run, _list_tools(name, server, directory)).result()
            notes[name] = listed.notes
            for one in _select(name, server, listed.tools):
                tool = _ServerTool(
                    server_name=name, server=server, directory=directory, era=listed.era, name=one.tool.name,
                    changed_files=pinned.changed,
                )  # fmt: skip
                offers.append(_offer(tool, one))
    return make_tools(offers, taken=taken, notes=notes)


@dataclass(frozen=True, kw_only=True)
class _Offered:
    tool: McpTool
    schema: object
    """The `inputSchema` as the server sent it."""


@dataclass(frozen=True, kw_only=True)
class _Listed:
    tools: Sequence[_Offered]
    era: Era
    """How later connections begin."""
    notes: Sequence[str]
    """For the user."""


@dataclass(frozen=True, kw_only=True)
class _ServerTool:
    """A tool of a server, as a call finds it."""

    server_name: str
    server: McpServer
    directory: Path
    era: Era
    name: str
    changed_files: Callable[[], Sequence[Path]]
    """Returns the server's files that are not as they were when its tools were listed."""

    def session(self) -> Session:
        if changed := ", ".join(map(str, self.changed_files())):
            msg = (
                f"The MCP server `{self.server_name}` was not started: {changed} changed during this run, and would "
                "run outside the sandbox. Undo the change, or work without this server's tools."
            )
            raise ToolError(msg)
        return Session(self.server_name, self.server, self.directory, era=self.era)


async def _list_tools(name: str, server: McpServer, directory: Path) -> _Listed:
    try:
        return await _list_once(name, server, Session(name, server, directory))
    except Unavailable as error:
        if error.exited and server.command:  # some older servers exit on a request that they do not know
            with suppress(Unavailable):
                return await _list_once(name, server, Session(name, server, directory, era="legacy"))
        raise ConfigError(str(error), key=f"mcp.{name}") from error


async def _list_once(name: str, server: McpServer, session: Session) -> _Listed:
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
        era = session.era
    except Unavailable:
        raise
    except Exception as error:  # a server may fail in any way
        msg = f"The MCP server `{name}` did not list its tools: {error or type(error).__name__}.{session.stderr_note()}"
        raise ConfigError(msg, key=f"mcp.{name}") from error
    finally:
        await session.aclose()
    unique = {tool.name: tool for tool in reversed(tools)}
    offered = [_Offered(tool=unique[key], schema=session.listing.schemas[key]) for key in reversed(unique)]
    return _Listed(tools=offered, era=era, notes=_noise_notes(session.listing.noise))


def _noise_notes(noise: Sequence[str]) -> list[str]:
    if not noise:
        return []
    count = "a line" if len(noise) == 1 else f"{len(noise)} lines"
    return [f"it prints what is not MCP on its standard output, which is ignored ({count}, the first: {noise[0]!r})"]


def _select(name: str, server: McpServer, offered: Sequence[_Offered]) -> list[_Offered]:
    known = {one.tool.name: one for one in offered}
    if missing := [tool for tool in server.tools if tool not in known]:
        msg = f"The MCP server `{name}` has no tool {missing[0]!r}. It has: {', '.join(known) or 'none'}."
        raise ConfigError(msg, key=f"mcp.{name}.tools")
    return [known[tool] for tool in server.tools] or list(offered)


def _offer(tool: _ServerTool, offered: _Offered) -> Offer:
    return Offer(
        server=tool.server_name,
        tool=tool.name,
        is_named=tool.name in tool.server.tools,
        make=lambda name: _make_tool(tool, offered, name),
    )


def _make_tool(server_tool: _ServerTool, sent: _Offered, tool_name: str) -> Tool:
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
        timeout_s=2 * (START_TIMEOUT_S + server_tool.server.timeout_s) + 10.0,  # of a second try too
    )

    async def body(arguments: dict[str, object], context: ToolContext[Any]) -> object:
        sessions = context.resources.get(_Sessions)
        return await sessions.call(server_tool, arguments, retry=read_only)

    return replace(tool, body=body, env=named_settings(server_tool.server))


class _Sessions:
    """The servers started by a run."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}

    async def call(
        self, tool: _ServerTool, arguments: Mapping[str, Any], *, retry: bool, renewed: bool = False
    ) -> object:
        """Call a tool; one that changes nothing is called once more if there is no answer.

        Args:
            tool: the tool.
            arguments: of the call.
            retry: whether the tool changes nothing.
            renewed: whether the session was renewed for this call, because the server had forgotten it.

        Raises:
            ToolError: the server does not start, is not started because its files changed, or rejects the call.
            NoAnswer: the call was sent, and there is no answer.
        """
        name, timeout_s = tool.server_name, tool.server.timeout_s
        session = self._open[name] = self._open.get(name) or tool.session()
        try:
            client = await session.client()
        except Unavailable as error:
            await self._close(name, session)
            raise ToolError(str(error)) from error
        try:
            result = await asyncio.wait_for(client.call_tool(tool.name, dict(arguments)), timeout_s)
        except TimeoutError as error:
            msg = f"The MCP server `{name}` did not answer within {timeout_s:g} s."
            raise NoAnswer(msg) from error
        except Exception as error:
            if is_forgotten(error) and not renewed:
                await self._close(name, session)
                return await self.call(tool, arguments, retry=retry, renewed=True)
            if answer := rejection(error):
                msg = f"The MCP server `{name}` rejected the call: {answer}"
                raise ToolError(msg) from error
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            lost = f"The MCP server `{name}` did not answer the call: {reason}."
            if not await session.is_alive():
                await self._close(name, session)
                lost = f"The MCP server `{name}` exited during the call; the next one restarts it."
                lost += session.stderr_note().replace(" ", "\n", 1)
            if retry:
                return await self.call(tool, arguments, retry=False)
            raise NoAnswer(lost) from error
        return _convert(result)

    async def aclose(self) -> None:
        sessions, self._open = list(self._open.values()), {}
        await asyncio.gather(*(session.aclose() for session in sessions))

    async def _close(self, name: str, session: Session) -> None:
        """End a session; the next call starts another. One that another call has started meanwhile stays."""
        if self._open.get(name) is session:
            del self._open[name]
        await session.aclose()


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
    if text or result.structured_content is None:
        return text or "(no output)"
    return result.structured_content
