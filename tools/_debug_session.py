"""Control one debugged program: start it, resume it, read its stack, values and source, and end it."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from agent import ToolContext, ToolError

from ._debug_adapter import Adapter, AdapterClosed, Body, RequestFailed
from ._debug_breakpoints import Breakpoint
from ._debug_launch import PROBE, launch
from ._debug_stack import Frame, Stack

REQUEST_TIMEOUT_S = 20.0
MAX_FRAMES = 1_000
MAX_VARIABLES = 40
_OUTPUT_CHARS = 20_000
_PROBED_CHARS = 12_000
"""Of several values in one answer, which debugpy cuts at 65,536 characters (1.8.22)."""
_QUIET_S = 0.2
"""The output of a stopped program is complete when none arrives for this long."""
_COLLECT_S = 2.0
"""Collect output for at most this long, since child processes may keep writing; later output is in the next result."""

_CONDITION_ERROR = re.compile(r"Error while evaluating expression in conditional breakpoint: (.*)")

Step = Literal["continue", "over", "into", "out"]
_COMMANDS: Mapping[Step, str] = {"continue": "continue", "over": "next", "into": "stepIn", "out": "stepOut"}


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The program has stopped and can be inspected."""

    reason: str
    """The protocol's reason: breakpoint, exception, step or pause."""
    error: str = ""
    """The exception, as `TypeError: text`, or why the condition of the breakpoint could not be evaluated."""
    raised_at: str = ""
    """Where a library raised it, as `function at file.py:12`; empty if the program's own code did."""


@dataclass(frozen=True, kw_only=True)
class Exited:
    """The program has ended."""

    exit_code: int | None
    """None means that the program was ended before it reported one."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """The repr of a value."""

    text: str
    is_cut: bool


@dataclass(kw_only=True)
class DebugSession:
    """The one debugged program of a run; `aclose` ends it."""

    _adapter: Adapter | None = None
    _files: ExitStack = field(default_factory=ExitStack)
    _thread: int = 0
    _output: str = ""
    _condition_error: str = ""
    stack: Stack = field(default_factory=Stack)
    """Of the stopped thread; empty while the program runs."""
    refused: Sequence[str] = ()
    """Breakpoints that the debugger did not accept."""
    unreached: bool = False
    """Whether the program has breakpoints and has not stopped at one yet."""

    @property
    def is_active(self) -> bool:
        """Whether there is a program that has not ended."""
        return self._adapter is not None

    async def start(
        self, program: Sequence[str], breakpoints: Sequence[Breakpoint], context: ToolContext[Any], timeout_s: float
    ) -> Stopped | Exited | None:
        """Start a program and wait until it stops; end the previous one.

        Args:
            program: a file and its arguments, or `-m`, a module and its arguments.
            breakpoints: where to stop; it also stops at an exception that ends the program or a test.
            context: the run's context.
            timeout_s: seconds to wait for the first stop. None is returned if there was none.

        Raises:
            ToolError: there is no Python or no debugger, or it did not start.
        """
        await self.aclose()
        try:
            launched = await launch(context, program, breakpoints, self._files)
        except BaseException:
            self._files.close()
            raise
        self._adapter, self.refused, self.unreached = launched.adapter, launched.refused, bool(breakpoints)
        return await self.wait(timeout_s)

    async def step(self, how: Step, timeout_s: float) -> Stopped | Exited | None:
        """Resume and wait until the program stops or ends. None means neither within `timeout_s` seconds."""
        await self._request(_COMMANDS[how], {"threadId": self._thread})
        self.stack = Stack()
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

    async def variables(self, frame: int, value_chars: int) -> dict[str, Value]:
        """Return the local variables of a frame, without those that the debugger adds; at most `MAX_VARIABLES`."""
        frame_id = self.stack.frame(frame).id
        scopes = await self._request("scopes", {"frameId": frame_id})
        local = next((scope for scope in scopes["scopes"] if scope["name"] == "Locals"), None)
        if local is None:
            return {}
        wanted = {"variablesReference": local["variablesReference"], "start": 0, "count": MAX_VARIABLES}
        found = {
            str(one["name"]): Value(text=str(one["value"])[:value_chars], is_cut="..." in one["value"])
            for one in (await self._request("variables", wanted))["variables"]
            if one.get("presentationHint", {}).get("kind") != "virtual" and not re.search("[ @]", one["name"])
        }
        names = [name for name in found if name.isidentifier()]
        size = max(1, _PROBED_CHARS // value_chars)
        for part in (names[at : at + size] for at in range(0, len(names), size)):
            with suppress(ToolError):  # the values as the debugger shows them are better than none
                values = ", ".join(f"{name!r}: {name}" for name in part)
                shown = await self._probe(f"show_all({{{values}}}, {value_chars})", frame_id)
                for name, value in cast("dict[str, list[Any]]", shown).items():
                    found[name] = Value(text=value[0], is_cut=value[1])
        return found

    async def evaluate(self, expression: str, frame: int, value_chars: int) -> Value:
        """Evaluate an expression in a frame and return the repr of its value.

        Raises:
            ToolError: the expression raised, or the program is not stopped.
        """
        frame_id = self.stack.frame(frame).id
        try:
            compile(expression, "<expression>", "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except (SyntaxError, ValueError):
            return Value(text=await self._evaluate(expression, frame_id), is_cut=False)  # for the debugger's own error
        # The newline ends a comment.
        shown = await self._probe(f"show((\n{expression}\n), {value_chars})", frame_id)
        text, is_cut = cast("list[Any]", shown)
        return Value(text=text, is_cut=is_cut)

    async def source(self, frame: Frame, first: int, last: int) -> list[str]:
        """Return lines of a frame's file as the program sees it, from 1 and inclusive; empty if it has no source."""
        with suppress(ToolError):
            return cast("list[str]", await self._probe(f"source({frame.path!r}, {first}, {last})", frame.id))
        return []

    def take_output(self) -> str:
        """Return what the program wrote since the last call."""
        text, self._output = self._output, ""
        return text if len(text) <= _OUTPUT_CHARS else f"[...]{text[-_OUTPUT_CHARS:]}"

    async def aclose(self) -> None:
        """End the program and its debugger, if any."""
        adapter, self._adapter, self._thread, self.stack = self._adapter, None, 0, Stack()
        if adapter is not None:
            await adapter.aclose()
        self._files.close()

    async def _stopped(self, body: Body) -> Stopped:
        self._thread = body["threadId"]
        self.stack = Stack(await self._read_frames())
        self.unreached = self.unreached and body["reason"] != "breakpoint"
        if body["reason"] != "exception":
            error, self._condition_error = self._condition_error, ""
            return Stopped(reason=body["reason"], error=error)
        info = await self._request("exceptionInfo", {"threadId": self._thread})
        # debugpy appends a note in parentheses to the name, and describes an exception without a text (1.8.22).
        kind = str(info["exceptionId"]).partition("(note:")[0].strip()
        description = str(info.get("description") or "").removesuffix("exception: no description")
        error = f"{kind}: {description}".removesuffix(": ")
        return Stopped(reason="exception", error=error, raised_at=await self._raised_at())

    async def _raised_at(self) -> str:
        innermost = self.stack.frame(0)
        with suppress(ToolError):
            name, path, line = cast("list[Any]", await self._probe("origin(__exception__)", innermost.id))
            if (path, line) != (innermost.path, innermost.line):
                return f"{name} at {path}:{line}"
        return ""

    async def _read_frames(self) -> list[Frame]:
        frames = await self._frames()
        if frames:
            # debugpy leaves out the frames of libraries, or shows them all and steps into them; we want neither.
            with suppress(ToolError):
                await self._probe("hide_libraries(False)", frames[0].id)
                try:
                    frames = await self._frames()
                finally:
                    await self._probe("hide_libraries(True)", frames[0].id)
        while frames and frames[-1].is_library and frames[-1].path.endswith("runpy.py"):
            frames.pop()  # started the program
        return frames

    async def _frames(self) -> list[Frame]:
        found = await self._request("stackTrace", {"threadId": self._thread, "levels": MAX_FRAMES})
        return [
            Frame(
                id=one["id"],
                name=one["name"].removesuffix(" (Current frame)"),
                path=str(one["source"]["path"] or "") if one.get("source") else "",
                line=one["line"],
                is_library=one.get("presentationHint") == "subtle",
            )
            for one in found["stackFrames"]
        ]

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
        text = str(body["output"])
        if body.get("category") in {"stdout", "stderr"}:
            self._output = (self._output + text)[-2 * _OUTPUT_CHARS :]  # a program may print without end
        elif found := _CONDITION_ERROR.search(text):
            raised = text.strip().splitlines()[-1]
            self._condition_error = f'breakpoint, because its condition "{found[1]}" raised {raised}'

    async def _probe(self, call: str, frame_id: int) -> object:
        """Call a function of our module in the program and return what it answers."""
        answer = await self._evaluate(f'__import__("{PROBE}").{call}', frame_id)
        try:
            return json.loads(ast.literal_eval(answer))
        except (ValueError, SyntaxError) as error:
            msg = f"The value cannot be shown: {answer[:200]}"
            raise ToolError(msg) from error

    async def _evaluate(self, expression: str, frame_id: int) -> str:
        arguments = {"expression": expression, "frameId": frame_id, "context": "watch"}
        return str((await self._request("evaluate", arguments))["result"])

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
