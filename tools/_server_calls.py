"""Call the tools of MCP servers: one session for each server of a run, on none whose files were changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agent import Image, Launch, McpServer, NoAnswer, ToolContext, ToolError

from ._server_answers import is_forgotten, rejection
from ._server_session import Era, Session, Unavailable
from ._suggestions import printable

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult


class Pins(Protocol):
    """What a server outside the sandbox loads, as it was at one moment."""

    def changed(self, *, runs: bool) -> Sequence[Path]:
        """Return what is not as it was; `runs` says whether the server is running."""
        ...

    def is_within(self, folders: Sequence[Path]) -> bool:
        """Return whether it runs in one of the folders, or loads something that commands of a run may change."""
        ...


@dataclass(frozen=True, kw_only=True)
class ServerTool:
    """A tool of a server, as a call finds it."""

    server_name: str
    server: McpServer
    directory: Path
    era: Era
    name: str
    pins: Pins | None
    """What the server loads, as it was when its tools were listed. None means that it runs in the sandbox of commands,
    because the run can change what it runs."""

    def session(self, context: ToolContext[Any]) -> Session:
        def launch(env: Mapping[str, str]) -> AbstractContextManager[Launch]:
            return self.server.launch(
                context.sandbox, workspace=context.workspace, directory=self.directory.absolute(), env=env,
                shared=context.shared,
            )  # fmt: skip

        inside = launch if self.pins is None else None
        return Session(self.server_name, self.server, self.directory, era=self.era, launch=inside)

    def is_within_reach(self, context: ToolContext[Any]) -> bool:
        """Return whether the server runs outside the sandbox, and commands of the run may change what it loads."""
        if self.pins is None or not self.server.command:
            return False
        return self.pins.is_within(context.sandbox.untrusted(context.workspace))


class Sessions:
    """The servers started by a run."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._hidden: dict[str, frozenset[Path]] = {}
        """What is hidden from each server in the sandbox."""

    async def start(self, tool: ServerTool, context: ToolContext[Any]) -> None:
        """Start the server of a tool; the call of a tool says why it did not start."""
        with suppress(ToolError):
            await self._client(tool, context)

    async def call(
        self, tool: ServerTool, arguments: Mapping[str, Any], context: ToolContext[Any], *, retry: bool,
        renewed: bool = False,
    ) -> object:  # fmt: skip
        """Call a tool; one that changes nothing is called once more if there is no answer.

        Args:
            tool: the tool.
            arguments: of the call.
            context: of the call.
            retry: whether the tool changes nothing.
            renewed: whether the session was renewed for this call, because the server had forgotten it.

        Raises:
            ToolError: the server does not start, is not used because its files changed, or rejects the call.
            NoAnswer: the call was sent, and there is no answer.
        """
        name, timeout_s = tool.server_name, tool.server.timeout_s
        session, client = await self._client(tool, context)
        try:
            result = await asyncio.wait_for(client.call_tool(tool.name, dict(arguments)), timeout_s)
        except TimeoutError as error:
            msg = f"The MCP server `{name}` did not answer within {timeout_s:g} s."
            raise NoAnswer(msg) from error
        except Exception as error:
            if is_forgotten(error) and not renewed:
                await self._close(name, session)
                return await self.call(tool, arguments, context, retry=retry, renewed=True)
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
                return await self.call(tool, arguments, context, retry=False)
            raise NoAnswer(lost) from error
        return _convert(result)

    async def _client(self, tool: ServerTool, context: ToolContext[Any]) -> tuple[Session, Client]:
        """Return the session with the server of a tool, which is started if need be, and its client.

        Raises:
            ToolError: it does not start, or must not.
        """
        name = tool.server_name
        if tool.pins is not None and tool.is_within_reach(context):
            await self._check(tool, tool.pins, context)
        if tool.pins is None:
            session = await self._inside(tool, context)
        else:
            session = self._open[name] = self._open.get(name) or tool.session(context)
        try:
            return session, await session.client()
        except Unavailable as error:
            await self._close(name, session)
            raise ToolError(str(error)) from error

    async def _inside(self, tool: ServerTool, context: ToolContext[Any]) -> Session:
        """Return the session with a server in the sandbox; one that sees what this call must not see is ended."""
        name, hidden = tool.server_name, frozenset(context.sandbox.rules.hidden)
        session = self._open.get(name)
        if session is not None and not hidden <= self._hidden[name]:
            await self._close(name, session)
            session = None
        if session is None:
            # It is a command of the run, which can change the files of the workspace at any moment.
            session = self._open[name] = tool.session(context)
            self._hidden[name] = hidden
            context.track(
                f"the MCP server `{name}`, which starts again at its next call",
                is_running=lambda: self._open.get(name) is session,
                stop=lambda: self._close(name, session),
            )
        return session

    async def _check(self, tool: ServerTool, pins: Pins, context: ToolContext[Any]) -> None:
        """Check that the server is, and will be, the one whose tools were listed; it may load files at any call."""
        name = tool.server_name
        session = self._open.get(name)
        if session is None:
            inside = [(other, self._open[other]) for other in self._hidden if other in self._open]
            await asyncio.gather(*(self._close(other, one) for other, one in inside))
        # Before the check: what a command changes while it goes on is noticed by the next one.
        if session is None and (commands := ", ".join(context.running_commands())):
            msg = (
                f"The MCP server `{name}` was not started: commands of this run are going on ({commands}), and could "
                "change its files while it starts, outside the sandbox. Stop them, and call the tool again."
            )
            raise ToolError(msg)
        if paths := await asyncio.to_thread(pins.changed, runs=session is not None):
            if session is not None:
                await self._close(name, session)
            what = "not started" if session is None else "ended"
            changed = ", ".join(printable(str(path)) for path in paths)
            msg = (
                f"The MCP server `{name}` was {what}: {changed} changed during this run, and would run outside the "
                "sandbox. Undo the change, or work without this server's tools."
            )
            raise ToolError(msg)

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
