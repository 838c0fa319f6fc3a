"""Start commands in the background, such as servers, read their output and stop them; none outlives the run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from agent import Process, ToolContext, ToolError, displayed, tool

from ._commands import describe_exit, shell_argv

MAX_RUNNING = 8
MAX_WAIT_S = 300
_STOP_GRACE_S = 3.0
_OWN_NETWORK = "(Other tools cannot reach its ports: here, each command has a network of its own.)"
_NO_PORTS = {
    "bubblewrap": _OWN_NETWORK, "container": _OWN_NETWORK, "none": "",
    "landlock": "(It cannot open a port: here, no command has a network, not even localhost.)",
}  # fmt: skip

Context = ToolContext[Any]
Number = Annotated[int, Field(ge=1, description="The number that start_process returned.")]
WaitS = Annotated[
    int, Field(ge=0, le=MAX_WAIT_S, description="Seconds to wait before reading its output; less if it ends first.")
]


@dataclass
class _Started:
    """The background processes of a run, by number."""

    running: dict[int, Process] = field(default_factory=dict[int, Process])
    last: int = 0

    def process(self, number: int) -> Process:
        if number not in self.running:
            known = ", ".join(map(str, self.running)) or "none"
            msg = f"Process {number} is not running. Running processes: {known}."
            raise ToolError(msg)
        return self.running[number]

    async def aclose(self) -> None:
        while self.running:
            await self.running.popitem()[1].kill()


@tool(exclusive=True, commands=True, timeout_s=MAX_WAIT_S + 30.0)
async def start_process(context: Context, command: str, wait_s: WaitS = 2) -> str:
    """Start a shell command in the background, such as a server; returns its number and first output.

    It runs until stop_process or the end of the run; run_shell and run_tests reach its ports on localhost.
    """
    started = context.resources.get(_Started)
    # One that was stopped before a verification can still be read, and is no longer in the way.
    if sum(process.is_running for process in started.running.values()) >= MAX_RUNNING:
        msg = f"{MAX_RUNNING} processes are running, which is the maximum. Stop one with stop_process."
        raise ToolError(msg)
    process = await context.start(shell_argv(command))
    started.last += 1
    started.running[started.last] = process
    report = await _report(started, started.last, wait_s)
    note = "" if context.sandbox.connects_commands(context.shared) else _NO_PORTS[context.sandbox.isolation]
    return "\n".join(part for part in (report.removesuffix("\n") if note else report, note) if part)


@tool(exclusive=True, timeout_s=MAX_WAIT_S + 30.0)
async def read_process(context: Context, process: Number, wait_s: WaitS = 0) -> str:
    """Read what a background process printed since the last read, and whether it is still running."""
    started = context.resources.get(_Started)
    started.process(process)
    return await _report(started, process, wait_s)


@tool(exclusive=True)
async def stop_process(context: Context, process: Number) -> str:
    """Stop a background process and all its children; returns its last output."""
    started = context.resources.get(_Started)
    running = started.process(process)
    running.terminate()
    await running.wait(_STOP_GRACE_S)
    code = await started.running.pop(process).kill()
    return await _format(f"Process {process} was stopped ({describe_exit(code)}).", running)


async def _report(started: _Started, number: int, wait_s: int) -> str:
    process = started.running[number]
    code = await process.wait(wait_s)
    if code is not None:
        await started.running.pop(number).kill()
        return await _format(f"Process {number} has ended ({describe_exit(code)}).", process)
    return await _format(f"Process {number} is running.", process)


async def _format(status: str, process: Process) -> str:
    output = (await asyncio.to_thread(displayed, process.take_output())).text
    return f"{status} Output:\n{output}" if output else f"{status} No new output."
