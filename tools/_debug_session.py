"""One debugged program: started, stopped, looked into and ended through debugpy's adapter."""

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
from ._debug_adapter import Adapter, AdapterGone, Body, Refused

ASK_S = 20.0
START_S = 60.0
MOST_FRAMES = 40
MOST_VARIABLES = 40
_PRINTED_CHARS = 20_000
_QUIET_S = 0.2
"""A program that stands still has written all that it will when nothing came for so long."""
_COLLECT_S = 2.0
"""What a program that it started goes on to write is left for the next answer after so long."""

Step = Literal["continue", "over", "into", "out"]
_COMMANDS: Mapping[Step, str] = {"continue": "continue", "over": "next", "into": "stepIn", "out": "stepOut"}


@dataclass(frozen=True, kw_only=True)
class Breakpoint:
    """Where to stop."""

    path: str
    """Absolute."""
    line: int
    condition: str = ""
    """A Python expression; empty: always."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The program stands still."""

    reason: str
    """As the protocol has it: breakpoint, exception, step, pause."""
    error: str = ""
    """The exception, as `TypeError: text`."""


@dataclass(frozen=True, kw_only=True)
class Over:
    """The program has ended."""

    exit_code: int | None
    """None: it was ended before it said one."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A frame of the stack."""

    id: int
    name: str
    path: str
    """Absolute; empty: code without a file."""
    line: int


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A name and what it holds, as Python shows it."""

    name: str
    value: str
    kind: str


@dataclass(kw_only=True)
class DebugSession:
    """The one debugged program of a run; `aclose` ends it."""

    _adapter: Adapter | None = None
    _thread: int = 0
    _printed: list[str] = field(default_factory=list[str])
    frames: list[Place] = field(default_factory=list[Place])
    """Of the thread that stopped, the innermost first; empty while it runs."""

    async def start(
        self, program: Sequence[str], breakpoints: Sequence[Breakpoint], context: ToolContext[Any], timeout_s: float
    ) -> Stopped | Over | None:
        """Start a program and wait until it stops; what ran before is ended.

        Args:
            program: a file and its arguments, or `-m`, a module and its arguments.
            breakpoints: where to stop; it also stops where an exception leaves the code of the workspace uncaught.
            context: the run's.
            timeout_s: seconds to wait for the first stop. None is returned if there was none.

        Raises:
            ToolError: there is no Python or no debugger, or it did not start.
        """
        await self.aclose()
        if context.sandbox.isolation == "container":
            msg = "The debugger does not run in a container. Print values instead; with bubblewrap installed it works."
            raise ToolError(msg)
        if context.sandbox.isolation == "landlock" and not context.sandbox.rules.network:
            msg = (
                "The debugger talks to the program over a loopback network, which commands do not have here: they "
                "are isolated by Landlock. Print values instead; with bubblewrap installed it works."
            )
            raise ToolError(msg)
        python = python_of(context.env)
        what = {"module": program[1], "args": list(program[2:])} if program[0] == "-m" else {
            "program": program[0], "args": list(program[1:]),
        }  # fmt: skip
        try:
            argv = [python, str(_adapter_folder())]
            with context.launch(argv, read=[_adapter_folder().parents[1]]) as launch:
                self._adapter = await Adapter.start(launch, folder=context.workspace)
                env = dict(launch.env)
            about = {"adapterID": "debugpy", "clientID": "agent", "linesStartAt1": True, "pathFormat": "path"}
            await self._adapter.ask("initialize", about, timeout_s=START_S)
            settings = {
                **what, "python": [python], "cwd": str(context.workspace), "env": env,
                "console": "internalConsole", "justMyCode": True, "redirectOutput": True, "subProcess": False,
            }  # fmt: skip
            launched = self._adapter.send("launch", settings)
            await self._until_ready(launched, breakpoints)
            async with asyncio.timeout(START_S):
                await launched
        except (OSError, AdapterGone, Refused, TimeoutError) as error:
            await self.aclose()
            msg = f"The debugger did not start: {error or 'it ended, or said nothing'}. Run the program with run_shell."
            raise ToolError(msg) from error
        return await self.wait(timeout_s)

    async def step(self, how: Step, timeout_s: float) -> Stopped | Over | None:
        """Go on, and wait until it stops again. None: it did not within `timeout_s` seconds."""
        await self._ask(_COMMANDS[how], {"threadId": self._thread})
        self.frames = []
        return await self.wait(timeout_s)

    async def pause(self) -> Stopped | Over | None:
        """Stop a program that runs, wherever it is. None: it cannot be stopped now."""
        await self._ask("pause", {"threadId": self._thread or 1})
        return await self.wait(ASK_S)

    async def wait(self, timeout_s: float) -> Stopped | Over | None:
        """Wait until the program stops or ends. None: neither within `timeout_s` seconds."""
        adapter, exit_code, stop = self._running(), None, None
        try:
            async with asyncio.timeout(timeout_s):
                while stop is None:
                    name, body = await adapter.event()
                    if name == "output":
                        self._keep(body)
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
        except AdapterGone:
            pass
        if stop is not None:
            await self._collect_output(adapter)
            return await self._stopped(stop)
        await self.aclose()
        return Over(exit_code=exit_code)

    async def variables(self, frame: int) -> list[Variable]:
        """Return the local variables of a frame, those of the interpreter left out."""
        scopes = await self._ask("scopes", {"frameId": self._place(frame).id})
        local = next((scope for scope in scopes["scopes"] if scope["name"] == "Locals"), None)
        if local is None:
            return []
        wanted = {"variablesReference": local["variablesReference"], "start": 0, "count": MOST_VARIABLES}
        found = await self._ask("variables", wanted)
        return [
            Variable(name=one["name"], value=one["value"], kind=one.get("type") or "")
            for one in found["variables"]
            if one.get("presentationHint", {}).get("kind") != "virtual" and " " not in one["name"]
        ]

    async def evaluate(self, expression: str, frame: int) -> str:
        """Evaluate an expression in a frame and return what Python shows of it.

        Raises:
            ToolError: it raised, or nothing stands still.
        """
        arguments = {"expression": expression, "frameId": self._place(frame).id, "context": "watch"}
        return str((await self._ask("evaluate", arguments))["result"])

    def printed(self) -> str:
        """Return what the program wrote since this was last asked."""
        text = "".join(self._printed)
        self._printed = []
        return text if len(text) <= _PRINTED_CHARS else f"[...]{text[-_PRINTED_CHARS:]}"

    async def aclose(self) -> None:
        """End the program and its debugger, if there are any."""
        adapter, self._adapter, self._thread, self.frames = self._adapter, None, 0, []
        if adapter is not None:
            await adapter.aclose()

    async def _until_ready(self, launched: asyncio.Future[Body], breakpoints: Sequence[Breakpoint]) -> None:
        adapter = self._running()
        async with asyncio.timeout(START_S):
            while (await adapter.event())[0] != "initialized":
                if launched.done():
                    await launched  # refused before it began
        for path in dict.fromkeys(one.path for one in breakpoints):
            lines = [
                {"line": one.line, **({"condition": one.condition} if one.condition else {})}
                for one in breakpoints
                if one.path == path
            ]
            await self._ask("setBreakpoints", {"source": {"path": path}, "breakpoints": lines})
        # A test runner catches everything: what leaves the workspace's own code counts as uncaught.
        await self._ask("setExceptionBreakpoints", {"filters": ["uncaught", "userUnhandled"]})
        await self._ask("configurationDone", {})

    async def _stopped(self, body: Body) -> Stopped:
        self._thread = body["threadId"]
        found = await self._ask("stackTrace", {"threadId": self._thread, "levels": MOST_FRAMES})
        self.frames = [
            Place(
                id=one["id"],
                name=one["name"].removesuffix(" (Current frame)"),
                path=str(one["source"]["path"] or "") if one.get("source") else "",
                line=one["line"],
            )
            for one in found["stackFrames"]
        ]
        if body["reason"] != "exception":
            return Stopped(reason=body["reason"])
        told = await self._ask("exceptionInfo", {"threadId": self._thread})
        # debugpy adds a remark in brackets to the name (1.8.22).
        kind = str(told["exceptionId"]).partition("(note:")[0].strip()
        return Stopped(reason="exception", error=f"{kind}: {told.get('description') or ''}".removesuffix(": "))

    async def _collect_output(self, adapter: Adapter) -> None:
        # What the program wrote comes another way than the news that it stopped, and often later.
        with suppress(TimeoutError, AdapterGone):
            async with asyncio.timeout(_COLLECT_S):
                while True:
                    async with asyncio.timeout(_QUIET_S):
                        name, body = await adapter.event()
                    if name == "output":
                        self._keep(body)

    def _keep(self, output: Body) -> None:
        if output.get("category") in {"stdout", "stderr"}:
            self._printed.append(output["output"])

    def _place(self, frame: int) -> Place:
        if not self.frames:
            msg = "The program is not standing still. Stop it first: debug_start with a breakpoint, or debug_resume."
            raise ToolError(msg)
        if frame >= len(self.frames):
            msg = f"There is no frame {frame}: they are numbered 0 to {len(self.frames) - 1}, the innermost first."
            raise ToolError(msg)
        return self.frames[frame]

    def _running(self) -> Adapter:
        if self._adapter is None:
            msg = "No program is being debugged. Start one with debug_start."
            raise ToolError(msg)
        return self._adapter

    async def _ask(self, command: str, arguments: Body) -> Body:
        try:
            return await self._running().ask(command, arguments, timeout_s=ASK_S)
        except Refused as error:
            msg = f"The debugger answers: {error}"
            raise ToolError(msg) from error
        except AdapterGone as error:
            await self.aclose()
            msg = "The debugger is gone, and the program with it. Start again with debug_start."
            raise ToolError(msg) from error


def _adapter_folder() -> Path:
    # An extra; its folder runs in any Python, so the workspace's own need not have it.
    spec = find_spec("debugpy")
    if spec is None or spec.origin is None:
        msg = 'This tool needs debugpy, which is not installed: pip install "tramontane[coding]". Print values instead.'
        raise ToolError(msg)
    return Path(spec.origin).parent / "adapter"
