"""Start a program under debugpy's adapter, with breakpoints and our helpers; the session then controls it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent import ToolContext, ToolError

from ._commands import python_of
from ._debug_adapter import Adapter, AdapterClosed, Body, RequestFailed
from ._debug_breakpoints import Breakpoint, by_path

START_TIMEOUT_S = 60.0
PROBE = "tramontane_debug_probe"
"""Name of the module in the debugged program that shows its values."""
PLUGIN = "tramontane_debug_plugin"
"""Name of the pytest plugin that stops at failures."""


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A program that is running under the debugger."""

    adapter: Adapter
    refused: Sequence[str]
    """Breakpoints that the debugger did not accept, with its reasons."""


async def launch(
    context: ToolContext[Any], program: Sequence[str], breakpoints: Sequence[Breakpoint], files: ExitStack
) -> Launched:
    """Start a program.

    Args:
        context: the run's context.
        program: a file and its arguments, or `-m`, a module and its arguments.
        breakpoints: where to stop.
        files: closed by the caller when the program has ended; removes our helpers.

    Raises:
        ToolError: there is no Python or no debugger, or it did not start.
    """
    _check_sandbox(context)
    python, debugger = python_of(context.env), _adapter_folder()
    helpers = files.enter_context(context.private_folder())
    for name, module in (("_debug_probe.py", PROBE), ("_debug_plugin.py", PLUGIN)):
        shutil.copyfile(Path(__file__).with_name(name), helpers / f"{module}.py")
    path = ":".join([str(helpers), *filter(None, [context.env.get("PYTHONPATH")])])
    adapter: Adapter | None = None
    try:
        env = {**context.env, "PYTHONPATH": path}
        with context.launch([python, str(debugger)], env=env, read=[debugger.parents[1], helpers]) as prepared:
            adapter = await Adapter.start(prepared, folder=context.workspace)
            env = dict(prepared.env)
        client = {"adapterID": "debugpy", "clientID": "agent", "linesStartAt1": True, "pathFormat": "path"}
        await adapter.request("initialize", client, timeout_s=START_TIMEOUT_S)
        target = {"module": program[1], "args": list(program[2:])} if program[0] == "-m" else {
            "program": program[0], "args": list(program[1:]),
        }  # fmt: skip
        settings = {
            **target, "python": [python], "cwd": str(context.workspace), "env": env,
            "console": "internalConsole", "justMyCode": True, "redirectOutput": True, "subProcess": False,
        }  # fmt: skip
        launched = adapter.send("launch", settings)
        refused = await _configure(adapter, launched, breakpoints)
        async with asyncio.timeout(START_TIMEOUT_S):
            await launched
    except (OSError, AdapterClosed, RequestFailed, TimeoutError) as error:
        if adapter is not None:
            await adapter.aclose()
        reason = str(error) or "it ended or did not reply"
        msg = f"The debugger did not start: {reason}. Run the program with run_shell."
        raise ToolError(msg) from error
    return Launched(adapter=adapter, refused=refused)


async def _configure(
    adapter: Adapter, launched: asyncio.Future[Body], breakpoints: Sequence[Breakpoint]
) -> Sequence[str]:
    async with asyncio.timeout(START_TIMEOUT_S):
        while (await adapter.next_event())[0] != "initialized":
            if launched.done():
                await launched  # failed before the program started
    refused: list[str] = []
    for path, points in by_path(breakpoints).items():
        body = {"source": {"path": path}, "breakpoints": points}
        answer = await adapter.request("setBreakpoints", body, timeout_s=START_TIMEOUT_S)
        for point, found in zip(points, answer["breakpoints"], strict=False):
            if not found["verified"]:
                reason = str(found.get("message") or "no reason given").partition("\n")[0].rstrip(".")
                if "excluded by filters" in reason:
                    reason = "it is in a library. Set one where the program calls the library"
                refused.append(f"The debugger does not stop at {path}:{point['line']}: {reason}.")
    # By default a condition that raises is false, and one with an unknown name is not even reported (debugpy 1.8.22).
    strict: Body = {"skipSuspendOnBreakpointException": [], "skipPrintBreakpointException": []}
    await adapter.request("setDebuggerProperty", strict, timeout_s=START_TIMEOUT_S)
    # Our pytest plugin reports the failures of tests as uncaught.
    await adapter.request("setExceptionBreakpoints", {"filters": ["uncaught"]}, timeout_s=START_TIMEOUT_S)
    await adapter.request("configurationDone", {}, timeout_s=START_TIMEOUT_S)
    return refused


def _check_sandbox(context: ToolContext[Any]) -> None:
    if context.sandbox.isolation == "container":
        msg = "The debugger does not work in a container (with bubblewrap it does). Print values instead."
        raise ToolError(msg)
    if context.sandbox.isolation == "landlock" and not context.sandbox.rules.network:
        msg = (
            "The debugger needs a loopback network, which the Landlock sandbox denies (with bubblewrap it works). "
            "Print values instead."
        )
        raise ToolError(msg)


def _adapter_folder() -> Path:
    # An optional dependency; its folder runs in any Python, so the workspace's Python need not have it installed.
    spec = find_spec("debugpy")
    if spec is None or spec.origin is None:
        msg = "This tool needs debugpy, which is not installed. Print values instead."
        raise ToolError(msg)
    return Path(spec.origin).parent / "adapter"
