"""Control one debugged program through debugpy's adapter: start, stop, inspect and end it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from agent import ToolContext, ToolError

from ._commands import python_of
from ._debug_adapter import Adapter, AdapterClosed, Body, RequestFailed

REQUEST_TIMEOUT_S = 20.0
START_TIMEOUT_S = 60.0
MAX_FRAMES = 40
MAX_VARIABLES = 40
_OUTPUT_CHARS = 20_000
_QUIET_S = 0.2
"""The output of a stopped program is complete when none arrives for this long."""
_COLLECT_S = 2.0
"""Collect output for at most this long, since child processes may keep writing; later output is in the next result."""

Step = Literal["continue", "over", "into", "out"]
_COMMANDS: Mapping[Step, str] = {"continue": "continue", "over": "next", "into": "stepIn", "out": "stepOut"}


@dataclass(frozen=True, kw_only=True)
class Breakpoint:
    """A place to stop at."""

    path: str
    """Absolute."""
    line: int
    condition: str = ""
    """A Python expression; empty means always stop."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The program has stopped and can be inspected."""

    reason: str
    """The protocol's reason: breakpoint, exception, step or pause."""
    error: str = ""
    """The exception, as `TypeError: text`."""


@dataclass(frozen=True, kw_only=True)
class Exited:
    """The program has ended."""

    exit_code: int | None
    """None means that the program was ended before it reported one."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A stack frame."""

    id: int
    name: str
    path: str
    """Absolute; empty for code without a file."""
    line: int


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable and the repr of its value."""

    name: str
    value: str
    kind: str


@dataclass(kw_only=True)
class DebugSession:
    """The one debugged program of a run; `aclose` ends it."""

    _adapter: Adapter | None = None
    _thread: int = 0
    _output: list[str] = field(default_factory=list[str])
    frames: list[Frame] = field(default_factory=list[Frame])
    """Frames of the stopped thread, innermost first; empty while the program runs."""

    async def start(
        self, program: Sequence[str], breakpoints: Sequence[Breakpoint], context: ToolContext[Any], timeout_s: float
    ) -> Stopped | Exited | None:
        """Start a program and wait until it stops; end the previous one.

        Args:
            program: a file and its arguments, or `-m`, a module and its arguments.
            breakpoints: where to stop; it also stops where an uncaught exception leaves the workspace's code.
            context: the run's context.
            timeout_s: seconds to wait for the first stop. None is returned if there was none.

        Raises:
            ToolError: there is no Python or no debugger, or it did not start.
        """
        await self.aclose()
        if context.sandbox.isolation == "container":
            msg = "The debugger does not work in a container (with bubblewrap it does). Print values instead."
            raise ToolError(msg)
        if context.sandbox.isolation == "landlock" and not context.sandbox.rules.network:
            msg = (
                "The debugger needs a loopback network, which the Landlock sandbox denies (with bubblewrap it works). "
                "Print values instead."
            )
            raise ToolError(msg)
        python = python_of(context.env)
        target = {"module": program[1], "args": list(program[2:])} if program[0] == "-m" else {
            "program": program[0], "args": list(program[1:]),
        }  # fmt: skip
        try:
            argv = [python, str(_adapter_folder())]
            with context.launch(argv, read=[_adapter_folder().parents[1]]) as launch:
                self._adapter = await Adapter.start(launch, folder=context.workspace)
                env = dict(launch.env)
            client = {"adapterID": "debugpy", "clientID": "agent", "linesStartAt1": True, "pathFormat": "path"}
            await self._adapter.request("initialize", client, timeout_s=START_TIMEOUT_S)
            settings = {
                **target, "python": [python], "cwd": str(context.workspace), "env": env,
                "console": "internalConsole", "justMyCode": True, "redirectOutput": True, "subProcess": False,
            }  # fmt: skip
            launched = self._adapter.send("launch", settings)
            await self._configure(launched, breakpoints)
            async with asyncio.timeout(START_TIMEOUT_S):
                await launched
        except (OSError, AdapterClosed, RequestFailed, TimeoutError) as error:
            await self.aclose()
            msg = f"The debugger did not start: {error or 'it ended or did not reply'}. Run the program with run_shell."
            raise ToolError(msg) from error
        return await self.wait(timeout_s)

    async def step(self, how: Step, timeout_s: float) -> Stopped | Exited | None:
        """Resume and wait until the program stops or ends. None means neither within `timeout_s` seconds."""
        await self._request(_COMMANDS[how], {"threadId": self._thread})
        self.frames = []
        return await self.wait(timeout_s)

    async def pause(self) -> Stopped | Exited | None:
        """Stop the running program wherever it is. None means that it cannot be stopped now."""
        await self._request("pause", {"threadId": self._thread or 1})
        return await self.wait(REQUEST_TIMEOUT_S)

    async def wait(self, timeout_s: float) -> Stopped | Exited | None:
        """Wait until the program stops or ends. None means neither within `timeout_s` seconds."""
        adapter, exit_code, stop = self._require_adapter(), None, None
        try:
            async with asyncio.timeout(timeout_s):
                while stop is None:
                    name, body = await adapter.next_event()
                    if name == "output":
                        self._add_output(body)
                    elif name == "thread" and not self._thread:
                        self._thread = body["threadId"]
                    elif name == "exited":
                        exit_code = body["exitCode"]
                    elif name == "terminated":
                        break
                    elif name == "stopped":
                        stop = body
        except TimeoutError:
            return None
        except AdapterClosed:
            pass
        if stop is not None:
            await self._collect_output(adapter)
            return await self._stopped(stop)
        await self.aclose()
        return Exited(exit_code=exit_code)

    async def variables(self, frame: int) -> list[Variable]:
        """Return the local variables of a frame, without those that the debugger adds."""
        scopes = await self._request("scopes", {"frameId": self._frame(frame).id})
        local = next((scope for scope in scopes["scopes"] if scope["name"] == "Locals"), None)
        if local is None:
            return []
        wanted = {"variablesReference": local["variablesReference"], "start": 0, "count": MAX_VARIABLES}
        found = await self._request("variables", wanted)
        return [
            Variable(name=one["name"], value=one["value"], kind=one.get("type") or "")
            for one in found["variables"]
            if one.get("presentationHint", {}).get("kind") != "virtual" and " " not in one["name"]
        ]

    async def evaluate(self, expression: str, frame: int) -> str:
        """Evaluate an expression in a frame and return the repr of its value.

        Raises:
            ToolError: the expression raised, or the program is not stopped.
        """
        arguments = {"expression": expression, "frameId": self._frame(frame).id, "context": "watch"}
        return str((await self._request("evaluate", arguments))["result"])

    def take_output(self) -> str:
        """Return what the program wrote since the last call."""
        text = "".join(self._output)
        self._output = []
        return text if len(text) <= _OUTPUT_CHARS else f"[...]{text[-_OUTPUT_CHARS:]}"

    async def aclose(self) -> None:
        """End the program and its debugger, if any."""
        adapter, self._adapter, self._thread, self.frames = self._adapter, None, 0, []
        if adapter is not None:
            await adapter.aclose()

    async def _configure(self, launched: asyncio.Future[Body], breakpoints: Sequence[Breakpoint]) -> None:
        adapter = self._require_adapter()
        async with asyncio.timeout(START_TIMEOUT_S):
            while (await adapter.next_event())[0] != "initialized":
                if launched.done():
                    await launched  # failed before the program started
        for path in dict.fromkeys(one.path for one in breakpoints):
            lines = [
                {"line": one.line, **({"condition": one.condition} if one.condition else {})}
                for one in breakpoints
                if one.path == path
            ]
            await self._request("setBreakpoints", {"source": {"path": path}, "breakpoints": lines})
        # Test runners catch every exception, so one that leaves the workspace's own code counts as uncaught.
        await self._request("setExceptionBreakpoints", {"filters": ["uncaught", "userUnhandled"]})
        await self._request("configurationDone", {})

    async def _stopped(self, body: Body) -> Stopped:
        self._thread = body["threadId"]
        found = await self._request("stackTrace", {"threadId": self._thread, "levels": MAX_FRAMES})
        self.frames = [
            Frame(
                id=one["id"],
                name=one["name"].removesuffix(" (Current frame)"),
                path=str(one["source"]["path"] or "") if one.get("source") else "",
                line=one["line"],
            )
            for one in found["stackFrames"]
        ]
        if body["reason"] != "exception":
            return Stopped(reason=body["reason"])
        info = await self._request("exceptionInfo", {"threadId": self._thread})
        # debugpy appends a note in parentheses to the name (1.8.22).
        kind = str(info["exceptionId"]).partition("(note:")[0].strip()
        return Stopped(reason="exception", error=f"{kind}: {info.get('description') or ''}".removesuffix(": "))

    async def _collect_output(self, adapter: Adapter) -> None:
        # Output arrives separately from the stop event, and often later.
        with suppress(TimeoutError, AdapterClosed):
            async with asyncio.timeout(_COLLECT_S):
                while True:
                    async with asyncio.timeout(_QUIET_S):
                        name, body = await adapter.next_event()
                    if name == "output":
                        self._add_output(body)

    def _add_output(self, body: Body) -> None:
        if body.get("category") in {"stdout", "stderr"}:
            self._output.append(body["output"])

    def _frame(self, frame: int) -> Frame:
        if not self.frames:
            msg = "The program is not stopped. Call debug_start with a breakpoint, or debug_resume to wait for a stop."
            raise ToolError(msg)
        if frame >= len(self.frames):
            msg = f"There is no frame {frame}. Set frame to a number from 0, the innermost, to {len(self.frames) - 1}."
            raise ToolError(msg)
        return self.frames[frame]

    def _require_adapter(self) -> Adapter:
        if self._adapter is None:
            msg = "No program is being debugged. Start one with debug_start."
            raise ToolError(msg)
        return self._adapter

    async def _request(self, command: str, arguments: Body) -> Body:
        try:
            return await self._require_adapter().request(command, arguments, timeout_s=REQUEST_TIMEOUT_S)
        except RequestFailed as error:
            msg = f"The debugger reported an error: {error}"
            raise ToolError(msg) from error
        except AdapterClosed as error:
            await self.aclose()
            msg = "The debugger ended, and the program with it. Start again with debug_start."
            raise ToolError(msg) from error


def _adapter_folder() -> Path:
    # An optional dependency; its folder runs in any Python, so the workspace's Python need not have it installed.
    spec = find_spec("debugpy")
    if spec is None or spec.origin is None:
        msg = 'This tool needs debugpy, which is not installed: pip install "tramontane[coding]". Print values instead.'
        raise ToolError(msg)
    return Path(spec.origin).parent / "adapter"
