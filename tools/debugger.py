"""Run a test or a script under a debugger, stop, look, evaluate, step; the one session ends with the run."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, tool

from . import _paths
from ._debug_session import Breakpoint, DebugSession, Over, Place, Step, Stopped

MAX_TIMEOUT_S = 600
_AROUND = 3
_MOST_SHOWN_FRAMES = 12
_VALUE_CHARS = 200
_PRINTED_LINES = 12
_EVALUATED_CHARS = 4_000

Context = ToolContext[Any]
Seconds = Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S, description="How long to wait for the next stop.")]
FrameNumber = Annotated[int, Field(ge=0, description="As numbered in the stack; 0 is the innermost.")]
Breakpoints = Annotated[
    tuple[str, ...], Field(description='Each "file.py:12", or "file.py:12 if x > 3" to stop only then.')
]


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 120.0)
async def debug_start(
    context: Context,
    program: Annotated[str, Field(description="A script such as main.py, or a test such as test_a.py::test_b.")],
    arguments: tuple[str, ...] = (),
    breakpoints: Breakpoints = (),
    timeout_s: Seconds = 60,
) -> str:
    """Run a Python script or test until a breakpoint or an uncaught exception; shows the stack and the variables."""
    path, _, test = program.partition("::")
    shown = _paths.inside(context.workspace, path)
    _paths.open_file(context.workspace, shown).close()
    is_test = bool(test) or Path(shown).name.startswith("test_") or shown.endswith("_test.py")
    argv = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--", program, *arguments] if is_test else [
        str(context.workspace / shown), *arguments,
    ]  # fmt: skip
    wanted = [_breakpoint(context, text) for text in breakpoints]
    session = context.resources.get(DebugSession)
    return await _told(context, session, await session.start(argv, wanted, context, timeout_s), timeout_s)


@tool(exclusive=True, timeout_s=MAX_TIMEOUT_S + 60.0)
async def debug_resume(context: Context, how: Step = "continue", timeout_s: Seconds = 60) -> str:
    """Go on from where the program stands, to the next stop or by one line: over, into or out of a call."""
    session = context.resources.get(DebugSession)
    found = await session.step(how, timeout_s) if session.frames else await session.wait(timeout_s)
    return await _told(context, session, found, timeout_s)


@tool(exclusive=True)
async def debug_look(context: Context, frame: FrameNumber = 0) -> str:
    """Show the source around a frame of the stopped program, and its local variables."""
    session = context.resources.get(DebugSession)
    values = [f"  {one.name} = {_cut(one.value)}" for one in await session.variables(frame)]
    place = session.frames[frame]
    return "\n".join([f"#{frame} {_where(context, place)}", *_source(place), "variables:", *(values or ["  (none)"])])


@tool(exclusive=True)
async def debug_evaluate(context: Context, expression: str, frame: FrameNumber = 0) -> str:
    """Evaluate a Python expression in a frame of the stopped program."""
    found = await context.resources.get(DebugSession).evaluate(expression, frame)
    return found if len(found) <= _EVALUATED_CHARS else f"{found[:_EVALUATED_CHARS]}... ({len(found):,} characters)"


@tool(exclusive=True)
async def debug_stop(context: Context) -> str:
    """End the debugged program."""
    await context.resources.get(DebugSession).aclose()
    return "The program is ended."


def _breakpoint(context: Context, text: str) -> Breakpoint:
    place, _, condition = text.partition(" if ")
    path, colon, line = place.strip().rpartition(":")
    if not colon or not line.isdigit() or int(line) < 1:
        msg = f'{text!r} is no breakpoint. Write "file.py:12", or "file.py:12 if x > 3".'
        raise ToolError(msg)
    shown = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, shown) as file:
        count = sum(1 for _ in file)
    if int(line) > count:
        msg = f'"{shown}" has {count} lines, so there can be no breakpoint at line {line}.'
        raise ToolError(msg)
    return Breakpoint(path=str(context.workspace.resolve() / shown), line=int(line), condition=condition.strip())


async def _told(context: Context, session: DebugSession, found: Stopped | Over | None, timeout_s: int) -> str:
    slow = found is None
    if slow:
        found = await session.pause()
    printed = session.printed().strip().splitlines()
    said = ["printed:", *(f"  {line}" for line in printed[-_PRINTED_LINES:])] if printed else []
    if isinstance(found, Over):
        code = "" if found.exit_code is None else f" with exit code {found.exit_code}"
        return "\n".join([f"The program ended{code}, without another stop.", *said])
    if found is None:
        msg = f"The program has run for {timeout_s} s and cannot be stopped now. Wait with debug_resume, or debug_stop."
        raise ToolError(msg)
    why = f"no stop within {timeout_s} s, so it was paused" if slow else found.error or found.reason
    frames = session.frames[:_MOST_SHOWN_FRAMES]
    lines = [f"Stopped: {why}.", *(f"#{at} {_where(context, place)}" for at, place in enumerate(frames))]
    if len(session.frames) > len(frames):
        lines.append(f"... {len(session.frames) - len(frames)} more frames")
    if session.frames:
        lines += _source(session.frames[0])
        values = [f"  {one.name} = {_cut(one.value)}" for one in await session.variables(0)]
        lines += ["variables:", *(values or ["  (none)"])]
    return "\n".join([*lines, *said])


def _where(context: Context, place: Place) -> str:
    path = Path(place.path)
    top = context.workspace.resolve()
    shown = path.relative_to(top) if path.is_relative_to(top) else place.path
    return f"{place.name} at {shown}:{place.line}"


def _source(place: Place) -> list[str]:
    linecache.checkcache(place.path)
    first = max(1, place.line - _AROUND)
    rows = [(at, linecache.getline(place.path, at)) for at in range(first, place.line + _AROUND + 1)]
    return [f"{'>' if at == place.line else ' '} {at}: {_cut(text.rstrip())}" for at, text in rows if text]


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE_CHARS else f"{text[:_VALUE_CHARS]}..."
