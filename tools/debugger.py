"""Run a test or script under a debugger, inspect and step through it; the single session ends with the run."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, tool

from . import _paths
from ._debug_session import Breakpoint, DebugSession, Exited, Frame, Step, Stopped

MAX_TIMEOUT_S = 600
_CONTEXT_LINES = 3
_MAX_SHOWN_FRAMES = 12
_VALUE_CHARS = 200
_OUTPUT_LINES = 12
_EVALUATED_CHARS = 4_000

Context = ToolContext[Any]
Seconds = Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S, description="Seconds to wait for the next stop.")]
FrameNumber = Annotated[int, Field(ge=0, description="Number of the stack frame; 0 is the innermost.")]
Breakpoints = Annotated[
    tuple[str, ...], Field(description='Each is "file.py:12", or "file.py:12 if x > 3" to stop only if true.')
]


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 120.0)
async def debug_start(
    context: Context,
    program: Annotated[str, Field(description="A script such as main.py, or a test such as test_a.py::test_b.")],
    arguments: tuple[str, ...] = (),
    breakpoints: Breakpoints = (),
    timeout_s: Seconds = 60,
) -> str:
    """Run a Python script or test until a breakpoint or an uncaught exception; returns the stack and the variables."""
    path, _, test = program.partition("::")
    relative = _paths.inside(context.workspace, path)
    _paths.open_file(context.workspace, relative).close()
    is_test = bool(test) or Path(relative).name.startswith("test_") or relative.endswith("_test.py")
    argv = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--", program, *arguments] if is_test else [
        str(context.workspace / relative), *arguments,
    ]  # fmt: skip
    points = [_parse_breakpoint(context, text) for text in breakpoints]
    session = context.resources.get(DebugSession)
    return await _report(context, session, await session.start(argv, points, context, timeout_s), timeout_s)


@tool(exclusive=True, timeout_s=MAX_TIMEOUT_S + 60.0)
async def debug_resume(context: Context, how: Step = "continue", timeout_s: Seconds = 60) -> str:
    """Resume the stopped program: continue to the next stop, or step over, into or out of a call."""
    session = context.resources.get(DebugSession)
    found = await session.step(how, timeout_s) if session.frames else await session.wait(timeout_s)
    return await _report(context, session, found, timeout_s)


@tool(exclusive=True)
async def debug_look(context: Context, frame: FrameNumber = 0) -> str:
    """Return the source around a stack frame of the stopped program, and the frame's local variables."""
    session = context.resources.get(DebugSession)
    values = [f"  {one.name} = {_cut(one.value)}" for one in await session.variables(frame)]
    location = _location(context, session.frames[frame])
    source = _source(session.frames[frame])
    return "\n".join([f"#{frame} {location}", *source, "variables:", *(values or ["  (none)"])])


@tool(exclusive=True)
async def debug_evaluate(context: Context, expression: str, frame: FrameNumber = 0) -> str:
    """Evaluate a Python expression in a frame of the stopped program."""
    value = await context.resources.get(DebugSession).evaluate(expression, frame)
    return value if len(value) <= _EVALUATED_CHARS else f"{value[:_EVALUATED_CHARS]}... ({len(value):,} characters)"


@tool(exclusive=True)
async def debug_stop(context: Context) -> str:
    """End the debugged program."""
    await context.resources.get(DebugSession).aclose()
    return "The debugged program has ended."


def _parse_breakpoint(context: Context, text: str) -> Breakpoint:
    place, _, condition = text.partition(" if ")
    path, colon, line = place.strip().rpartition(":")
    if not colon or not line.isdigit() or int(line) < 1:
        msg = f'{text!r} is not a breakpoint. Write "file.py:12", or "file.py:12 if x > 3".'
        raise ToolError(msg)
    relative = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, relative) as file:
        count = sum(1 for _ in file)
    if int(line) > count:
        msg = f'"{relative}" has {count} lines; line {line} is past the end. Set the breakpoint at an existing line.'
        raise ToolError(msg)
    return Breakpoint(path=str(context.workspace.resolve() / relative), line=int(line), condition=condition.strip())


async def _report(context: Context, session: DebugSession, found: Stopped | Exited | None, timeout_s: int) -> str:
    slow = found is None
    if slow:
        found = await session.pause()
    printed = session.take_output().strip().splitlines()
    output = ["output:", *(f"  {line}" for line in printed[-_OUTPUT_LINES:])] if printed else []
    if isinstance(found, Exited):
        code = "" if found.exit_code is None else f" with exit code {found.exit_code}"
        return "\n".join([f"The program ended{code} without another stop.", *output])
    if found is None:
        msg = f"The program did not stop in {timeout_s} s and cannot be paused now. Call debug_resume or debug_stop."
        raise ToolError(msg)
    why = f"paused after {timeout_s} s without a stop" if slow else found.error or found.reason
    frames = session.frames[:_MAX_SHOWN_FRAMES]
    lines = [f"Stopped: {why}.", *(f"#{number} {_location(context, frame)}" for number, frame in enumerate(frames))]
    if len(session.frames) > len(frames):
        lines.append(f"... {len(session.frames) - len(frames)} more frames")
    if session.frames:
        lines += _source(session.frames[0])
        values = [f"  {one.name} = {_cut(one.value)}" for one in await session.variables(0)]
        lines += ["variables:", *(values or ["  (none)"])]
    return "\n".join([*lines, *output])


def _location(context: Context, frame: Frame) -> str:
    path = Path(frame.path)
    top = context.workspace.resolve()
    relative = path.relative_to(top) if path.is_relative_to(top) else frame.path
    return f"{frame.name} at {relative}:{frame.line}"


def _source(frame: Frame) -> list[str]:
    linecache.checkcache(frame.path)
    first = max(1, frame.line - _CONTEXT_LINES)
    rows = [(at, linecache.getline(frame.path, at)) for at in range(first, frame.line + _CONTEXT_LINES + 1)]
    return [f"{'>' if at == frame.line else ' '} {at}: {_cut(text.rstrip())}" for at, text in rows if text]


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE_CHARS else f"{text[:_VALUE_CHARS]}..."
