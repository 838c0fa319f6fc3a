"""Start commands that go on beside the run, such as servers; read what they print, stop them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from agent import Process, ToolContext, ToolError, tool

from ._commands import ended, shell_argv

MOST_RUNNING = 8
MAX_WAIT_S = 300
_END_S = 3.0

Context = ToolContext[Any]
Number = Annotated[int, Field(ge=1, description="As start_process told it.")]
WaitS = Annotated[int, Field(ge=0, le=MAX_WAIT_S, description="Seconds to wait, unless it ends before.")]


@dataclass
class _Started:
    """The processes of a run by their number."""

    running: dict[int, Process] = field(default_factory=dict[int, Process])
    last: int = 0

    def process(self, number: int) -> Process:
        if number not in self.running:
            known = ", ".join(map(str, self.running)) or "none"
            msg = f"There is no process {number} any more, or there never was. Running: {known}."
            raise ToolError(msg)
        return self.running[number]

    async def aclose(self) -> None:
        while self.running:
            await self.running.popitem()[1].kill()


@tool(exclusive=True, commands=True, timeout_s=MAX_WAIT_S + 30.0)
async def start_process(context: Context, command: str, wait_s: WaitS = 2) -> str:
    """Start a shell command that goes on in the background, such as a server; shows what it prints at first."""
    started = context.resources.get(_Started)
    if len(started.running) >= MOST_RUNNING:
        msg = f"{MOST_RUNNING} processes are running already. End one with stop_process."
        raise ToolError(msg)
    process = await context.start(shell_argv(command))
    started.last += 1
    started.running[started.last] = process
    return await _told(started, started.last, wait_s)


@tool(exclusive=True, timeout_s=MAX_WAIT_S + 30.0)
async def read_process(context: Context, process: Number, wait_s: WaitS = 0) -> str:
    """Read what a background process printed since it was last read, and whether it still runs."""
    started = context.resources.get(_Started)
    started.process(process)
    return await _told(started, process, wait_s)


@tool(exclusive=True)
async def stop_process(context: Context, process: Number) -> str:
    """End a background process with all its children; shows its last words."""
    started = context.resources.get(_Started)
    running = started.process(process)
    running.terminate()
    await running.wait(_END_S)
    code = await started.running.pop(process).kill()
    return _worded(f"Process {process} is ended ({ended(code)}).", running.take_output())


async def _told(started: _Started, number: int, wait_s: int) -> str:
    process = started.running[number]
    code = await process.wait(wait_s)
    if code is not None:
        await started.running.pop(number).kill()
        return _worded(f"Process {number} has ended ({ended(code)}).", process.take_output())
    return _worded(f"Process {number} is running.", process.take_output())


def _worded(state: str, printed: str) -> str:
    return f"{state} It printed:\n{printed}" if printed else f"{state} It printed nothing more."
