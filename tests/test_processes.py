"""Processes in the background: read as they print, ended with all they started, at the latest with the run."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from agent import Tool, ToolContext, ToolError
from tools.processes import MOST_RUNNING, read_process, start_process, stop_process

ENV = {"PATH": os.defpath + ":/usr/bin:/bin"}


@pytest_asyncio.fixture
async def context(tmp_path: Path) -> AsyncIterator[ToolContext[Any]]:
    context = ToolContext[Any](workspace=tmp_path, state=None, env=ENV)
    yield context
    await context.kept.aclose()


async def called(tool: Tool, context: ToolContext[Any], **arguments: object) -> str:
    """Return what the tool returns, or the text of its ToolError after `!`."""
    try:
        return str(await tool.body(tool.arguments.check(json.dumps(arguments)), context))
    except ToolError as error:
        return f"!{error}"


async def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline, "the process is still there"
        await asyncio.sleep(0.01)


async def test_what_is_new_is_read_and_the_end_is_told(context: ToolContext[Any]):
    os.mkfifo(context.workspace / "go")
    assert await called(start_process, context, command="echo ready; cat go; echo over; exit 3", wait_s=1) == (
        "Process 1 is running. It printed:\nready\n"
    )
    assert await called(read_process, context, process=1) == "Process 1 is running. It printed nothing more."
    await asyncio.to_thread((context.workspace / "go").write_text, "gone\n")
    assert await called(read_process, context, process=1, wait_s=5) == (
        "Process 1 has ended (exit code 3). It printed:\ngone\nover\n"
    )
    assert await called(read_process, context, process=1) == (
        "!There is no process 1 any more, or there never was. Running: none."
    )


async def test_a_stopped_process_takes_its_children_with_it(context: ToolContext[Any]):
    command = "trap 'echo bye; exit 0' TERM; sleep 60 & echo $! > pid; wait"
    await called(start_process, context, command=command, wait_s=1)
    assert await called(stop_process, context, process=1) == "Process 1 is ended (exit code 0). It printed:\nbye\n"
    await until_gone(int((context.workspace / "pid").read_text()))


async def test_one_that_will_not_end_is_killed(context: ToolContext[Any]):
    await called(start_process, context, command="trap '' TERM; while true; do read -t 1 x < /dev/zero; done", wait_s=1)
    assert (await called(stop_process, context, process=1)).startswith(
        "Process 1 is ended (exit code 137 (killed by SIGKILL))."
    )


async def test_all_end_with_the_run(context: ToolContext[Any]):
    for _ in range(MOST_RUNNING):
        await called(start_process, context, command="echo $$ >> pids; exec sleep 60", wait_s=0)
    assert await called(start_process, context, command="true") == (
        f"!{MOST_RUNNING} processes are running already. End one with stop_process."
    )
    await called(read_process, context, process=MOST_RUNNING, wait_s=1)
    await context.kept.aclose()
    for pid in (context.workspace / "pids").read_text().split():
        await until_gone(int(pid))
