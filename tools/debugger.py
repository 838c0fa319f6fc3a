"""Run a test or script under a debugger, inspect and step through it; the single session ends with the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, tool

from . import _paths
from ._commands import check_pytest, python_of
from ._debug_breakpoints import Breakpoint, line_with_code, parse
from ._debug_launch import PLUGIN
from ._debug_session import MAX_VARIABLES, DebugSession, Exited, Step, Stopped, Value
from ._debug_stack import Frame, place
from ._test_report import readable
from ._test_selection import without_own_plugin

MAX_TIMEOUT_S = 600
MAX_SOURCE_BYTES = 5_000_000
_READ_TIMEOUT_S = 30
_CONTEXT_LINES = 3
_VALUE_CHARS = 300
_REASON_CHARS = 2_000
_LINE_CHARS = 200
_OUTPUT_LINES = 12
_REQUIRES = {"debugpy": "tramontane[coding]"}

Context = ToolContext[Any]
Seconds = Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S, description="Seconds to wait for the next stop.")]
FrameNumber = Annotated[int, Field(ge=0, description="Number of the stack frame; 0 is the innermost.")]
ValueChars = Annotated[int, Field(ge=20, le=12_000, description="Characters of each value to show.")]
Breakpoints = Annotated[
    tuple[str, ...], Field(description='Each is "file.py:12", or "file.py:12 if x > 3" to stop only if true.')
]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A Python file that the debugged program can see."""

    name: str
    """Relative to the workspace if it is inside, else absolute."""
    path: str
    """Absolute."""
    text: str


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 120.0, requires=_REQUIRES)
async def debug_start(
    context: Context,
    program: Annotated[str, Field(description="A script such as main.py, or a test such as test_a.py::test_b.")],
    arguments: tuple[str, ...] = (),
    breakpoints: Breakpoints = (),
    timeout_s: Seconds = 60,
) -> str:
    """Run a Python script or test until a breakpoint or an uncaught exception; returns the stack and the variables."""
    path, _, test = program.partition("::")
    source = await _read(context, path)
    is_test = bool(test) or Path(path).name.startswith("test_") or path.endswith("_test.py")
    target = f"{source.name}::{test}" if test else source.name
    argv = [source.path, *arguments]
    if is_test:
        own = without_own_plugin(context.workspace)
        options = ["-q", "-x", "--color=no", "-p", "no:cacheprovider", *own, "-p", PLUGIN]
        argv = ["-m", "pytest", *options, "--", target, *arguments]
    sources = {path: source}
    points: list[Breakpoint] = []
    notes: list[str] = []
    for text in breakpoints:
        wanted = parse(text)
        if wanted.path not in sources:
            sources[wanted.path] = await _read(context, wanted.path)
        file = sources[wanted.path]
        line = line_with_code(file.name, file.text, wanted.line)
        if line != wanted.line:
            notes.append(f"{file.name}:{wanted.line} has no code to stop at; the breakpoint is at {file.name}:{line}.")
        points.append(Breakpoint(path=file.path, line=line, condition=wanted.condition))
    session = context.resources.get(DebugSession)
    context.track("the debugged program", is_running=lambda: session.is_active, stop=session.aclose)
    found = await session.start(argv, points, context, timeout_s)
    report = await _report(context, session, found, timeout_s)
    if is_test and isinstance(found, Exited):
        check_pytest(report, context.env)
    return "\n".join([*notes, *session.refused, report])


@tool(exclusive=True, timeout_s=MAX_TIMEOUT_S + 60.0, requires=_REQUIRES)
async def debug_resume(context: Context, how: Step = "continue", timeout_s: Seconds = 60) -> str:
    """Resume the stopped program: continue to the next stop, or step over, into or out of a call."""
    session = context.resources.get(DebugSession)
    found = await session.step(how, timeout_s) if session.stack else await session.wait(timeout_s)
    return await _report(context, session, found, timeout_s)


@tool(exclusive=True, requires=_REQUIRES)
async def debug_look(
    context: Context,
    frame: FrameNumber = 0,
    value_chars: ValueChars = _VALUE_CHARS,
    *,
    library_frames: Annotated[bool, Field(description="List the whole stack, with the frames of libraries.")] = False,
) -> str:
    """Return the source around a stack frame of the stopped program, and the frame's local variables."""
    session = context.resources.get(DebugSession)
    chosen = session.stack.frame(frame)
    workspace = context.workspace.resolve()
    stack = ["stack:", *session.stack.lines(workspace, libraries=True)] if library_frames else []
    around = [*await _source(session, chosen), *await _variables(session, frame, value_chars)]
    return "\n".join([*stack, f"#{frame} {place(chosen, workspace)}", *around])


@tool(exclusive=True, requires=_REQUIRES)
async def debug_evaluate(
    context: Context, expression: str, frame: FrameNumber = 0, value_chars: ValueChars = 4_000
) -> str:
    """Evaluate a Python expression in a frame of the stopped program."""
    value = await context.resources.get(DebugSession).evaluate(expression, frame, value_chars)
    if not value.is_cut:
        return value.text
    return f"{value.text}...\n[cut at {value_chars:,} characters; set a larger value_chars, or evaluate a part of it]"


@tool(exclusive=True, requires=_REQUIRES)
async def debug_stop(context: Context) -> str:
    """End the debugged program."""
    session = context.resources.get(DebugSession)
    if not session.is_active:
        return "No program is being debugged."
    await session.aclose()
    return "The debugged program has ended."


async def _read(context: Context, path: str) -> _Source:
    """Read a file of the workspace, or another one that commands can see, such as a script in /tmp.

    Raises:
        ToolError: there is no such file.
    """
    workspace = context.workspace.resolve()
    if not path.startswith("/") or Path(path).is_relative_to(context.workspace) or Path(path).is_relative_to(workspace):
        relative = _paths.inside(context.workspace, path)
        with _paths.open_file(context.workspace, relative) as file:
            text = file.read(MAX_SOURCE_BYTES).decode(errors="replace")
        return _Source(name=relative, path=str(workspace / relative), text=text)
    # Read by a command: only there is it the file that the program will see.
    code = f"import sys; sys.stdout.write(open(sys.argv[1], errors='replace').read({MAX_SOURCE_BYTES}))"
    ran = await context.run([python_of(context.env), "-c", code, path], timeout_s=_READ_TIMEOUT_S)
    if ran.exit_code != 0:
        msg = f'Commands of this run cannot read "{path}". Put the script into the workspace.'
        raise ToolError(msg)
    return _Source(name=path, path=path, text=ran.output)


async def _report(context: Context, session: DebugSession, found: Stopped | Exited | None, timeout_s: int) -> str:
    slow = found is None
    if slow:
        found = await session.pause()
    printed = context.redacted(readable(session.take_output())).strip().splitlines()
    last = f" (the last {_OUTPUT_LINES} of {len(printed)} lines)" if len(printed) > _OUTPUT_LINES else ""
    output = [f"output{last}:", *(f"  {line}" for line in printed[-_OUTPUT_LINES:])] if printed else []
    if isinstance(found, Exited):
        code = "" if found.exit_code is None else f" with exit code {found.exit_code}"
        missed = " No breakpoint was reached." if session.unreached else ""
        return "\n".join([f"The program ended{code} without another stop.{missed}", *output])
    if found is None:
        msg = f"The program did not stop in {timeout_s} s and cannot be paused now. Call debug_resume or debug_stop."
        raise ToolError(msg)
    why = f"paused after {timeout_s} s without a stop" if slow else found.error or found.reason
    why = _cut(readable(why).strip(), _REASON_CHARS)
    lines = [f"Stopped: {why}" if why.endswith(".") or "\n" in why else f"Stopped: {why}."]
    if found.raised_at:
        lines.append(f"Raised in {found.raised_at}, in a library that frame 0 called.")
    if session.stack:
        lines += session.stack.lines(context.workspace.resolve(), libraries=False)
        lines += await _source(session, session.stack.frame(0))
        lines += await _variables(session, 0, _VALUE_CHARS)
    return "\n".join([*lines, *output])


async def _source(session: DebugSession, frame: Frame) -> Sequence[str]:
    first = max(1, frame.line - _CONTEXT_LINES)
    found = await session.source(frame, first, frame.line + _CONTEXT_LINES)
    rows = [(number, text.rstrip()) for number, text in enumerate(found, first) if text]
    return [f"{'>' if number == frame.line else ' '} {number}: {_cut(text, _LINE_CHARS)}" for number, text in rows]


async def _variables(session: DebugSession, frame: int, value_chars: int) -> Sequence[str]:
    found = await session.variables(frame, value_chars)
    lines = ["variables:", *(f"  {name} = {_shown(value)}" for name, value in found.items())]
    if not found:
        lines.append("  (none)")
    if len(found) >= MAX_VARIABLES:
        lines.append(f"  [the first {MAX_VARIABLES}; see the others with debug_evaluate]")
    if any(value.is_cut for value in found.values()):
        lines.append("  [... marks a cut value; see it with debug_evaluate, or debug_look with a larger value_chars]")
    return lines


def _shown(value: Value) -> str:
    return f"{value.text}..." if value.is_cut else value.text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."
