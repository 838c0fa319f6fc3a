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

from agent import ConfigError, McpServer, Sandbox, Tool, ToolContext, tool_from_schema

from ._server_calls import ServerTool, Sessions
from ._server_place import ServerPlace, find_place
from ._server_session import START_TIMEOUT_S, Era, Session, Unavailable
from ._server_settings import named_settings
from ._server_tools import Offer, make_tools

if TYPE_CHECKING:
    from mcp.types import Tool as McpTool

_MAX_PAGES = 50
_MAX_NAMED = 20


def mcp_tools(
    servers: Mapping[str, McpServer], directory: Path, *, writable: Sequence[Path] | None = None,
    taken: Iterable[str] = (), changing: Sequence[Path] = (), sandbox: Callable[[str], Sandbox] | None = None,
) -> tuple[Tool, ...]:  # fmt: skip
    """Start all servers, list their tools and stop them; a run starts each again.

    A server that runs code of a folder which the run can change runs in the sandbox of commands. One that runs outside
    all the same is started before the first command of the run; any other at its first call.

    A tool whose schema cannot be used is left out; `Tool.notes` of the server's first tool tells it, and names the
    tools whose names had to be changed and the size of all definitions if it is large.

    Args:
        servers: by their name in the task; the names of their tools begin with it.
        directory: working directory of the server commands; the task file's folder.
        writable: absolute; folders that commands of a run may change. A server outside the sandbox that loads a file
            there is not used once such a file has changed. None means the working directory.
        taken: names of other tools, which none of these may have.
        changing: absolute; those folders that the run itself may change, the workspace first.
        sandbox: finds that in which a server, by its name, lists its tools. None means that servers cannot run in it.

    Raises:
        ConfigError: the package `mcp` is not installed, a server does not answer, it lacks a tool that the task names
            or sends a schema for it that cannot be used, none of its tools can be used, or this machine has no sandbox
            for it.
    """
    if servers and find_spec("mcp") is None:
        msg = 'MCP servers need the package mcp, which is not installed: pip install "tramontane[mcp]".'
        raise ConfigError(msg, key="mcp")
    offers: list[Offer] = []
    notes: dict[str, Sequence[str]] = {}
    here = directory.absolute()
    found = [folder.absolute() for folder in changing]
    places = [find_place(name, server, here, found, sandbox) for name, server in servers.items()]
    with ThreadPoolExecutor(1) as executor:  # the caller's thread may already run an event loop
        listings = executor.submit(asyncio.run, _list_all(servers, directory, places)).result()
    for (name, server), place, listed in zip(servers.items(), places, listings, strict=True):
        # Only now: `uv run` makes the environment when it first starts the server.
        pins = None if place.launch else server.pinned(here, [here] if writable is None else writable)
        notes[name] = [*place.notes, *(() if pins is None else pins.notes()), *listed.notes]
        for one in _select(name, server, listed.tools):
            tool = ServerTool(
                server_name=name, server=server, directory=directory, era=listed.era, name=one.tool.name, pins=pins
            )
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


async def _list_all(
    servers: Mapping[str, McpServer], directory: Path, places: Sequence[ServerPlace]
) -> list[_Listed]:  # fmt: skip
    """Return the tools of each server; they start at the same time, as one that is slow may take 10 s and more."""
    tasks = [
        asyncio.create_task(_list_tools(name, server, directory, place))
        for (name, server), place in zip(servers.items(), places, strict=True)
    ]
    await asyncio.gather(*tasks, return_exceptions=True)  # of several that fail, the first one is told
    return [task.result() for task in tasks]


async def _list_tools(name: str, server: McpServer, directory: Path, place: ServerPlace) -> _Listed:
    try:
        return await _list_once(name, server, Session(name, server, directory, launch=place.launch), place)
    except Unavailable as error:
        if error.exited and server.command:  # some older servers exit on a request that they do not know
            older = Session(name, server, directory, era="legacy", launch=place.launch)
            with suppress(Unavailable):
                return await _list_once(name, server, older, place)
        raise ConfigError(f"{error}{place.advice}", key=f"mcp.{name}") from error


async def _list_once(name: str, server: McpServer, session: Session, place: ServerPlace) -> _Listed:
    try:
        client = await session.client()
        tools: list[McpTool] = []
        cursor: str | None = None
        async with asyncio.timeout(server.timeout_s):
            for _ in range(_MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                tools += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
        era = session.era
    except Unavailable:
        raise
    except Exception as error:  # a server may fail in any way
        late = f"it took over {server.timeout_s:g} s" if isinstance(error, TimeoutError) else type(error).__name__
        reason = f"{str(error) or late}.{session.stderr_note()}{place.advice}"
        msg = f"The MCP server `{name}` did not list its tools: {reason}"
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
        names = [tool if tool.isprintable() else ascii(tool) for tool in known]
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        has = ", ".join(names[:_MAX_NAMED]) or "none"
        msg = f"The MCP server `{name}` has no tool {missing[0]!r}. It has: {has}{more}."
        raise ConfigError(msg, key=f"mcp.{name}.tools")
    return [known[tool] for tool in server.tools] or list(offered)


def _offer(tool: ServerTool, offered: _Offered) -> Offer:
    return Offer(
        server=tool.server_name,
        tool=tool.name,
        is_named=tool.name in tool.server.tools,
        make=lambda name: _make_tool(tool, offered, name),
    )


def _make_tool(server_tool: ServerTool, sent: _Offered, tool_name: str) -> Tool:
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
        sessions = context.resources.get(Sessions)
        return await sessions.call(server_tool, arguments, context, retry=read_only)

    async def prepare(context: ToolContext[Any]) -> None:
        if server_tool.is_within_reach(context):
            await context.resources.get(Sessions).start(server_tool, context)

    return replace(
        tool, body=body, prepare=prepare, env=named_settings(server_tool.server), commands=server_tool.pins is None
    )
