"""Processes in the background: read as they print, ended with all they started, at the latest with the run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from agent import ToolContext
from tools.processes import MOST_RUNNING, read_process, start_process, stop_process

if TYPE_CHECKING:
    from conftest import Called, UntilGone

ENV = {"PATH": os.defpath + ":/usr/bin:/bin"}


@pytest_asyncio.fixture
async def context(tmp_path: Path) -> AsyncIterator[ToolContext[Any]]:
    context = ToolContext[Any](workspace=tmp_path, state=None, env=ENV)
    yield context
    await context.resources.aclose()


async def test_what_is_new_is_read_and_the_end_is_told(context: ToolContext[Any], called: Called):
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


async def test_a_stopped_process_takes_its_children_with_it(
    context: ToolContext[Any], called: Called, until_gone: UntilGone
):
    command = "trap 'echo bye; exit 0' TERM; sleep 60 & echo $! > pid; wait"
    await called(start_process, context, command=command, wait_s=1)
    assert await called(stop_process, context, process=1) == "Process 1 is ended (exit code 0). It printed:\nbye\n"
    await until_gone(context.workspace / "pid")


async def test_one_that_will_not_end_is_killed(context: ToolContext[Any], called: Called):
    await called(start_process, context, command="trap '' TERM; while true; do read -t 1 x < /dev/zero; done", wait_s=1)
    assert (await called(stop_process, context, process=1)).startswith(
        "Process 1 is ended (exit code 137 (killed by SIGKILL))."
    )


async def test_all_end_with_the_run(context: ToolContext[Any], called: Called, until_gone: UntilGone):
    for _ in range(MOST_RUNNING):
        await called(start_process, context, command="echo $$ >> pids; exec sleep 60", wait_s=0)
    assert await called(start_process, context, command="true") == (
        f"!{MOST_RUNNING} processes are running already. End one with stop_process."
    )
    await called(read_process, context, process=MOST_RUNNING, wait_s=1)
    await context.resources.aclose()
    await until_gone(context.workspace / "pids")
