"""Background processes: output is read as it arrives; all end with their children, at the latest with the run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from agent import ToolContext
from agent.tooling.resources import RunningCommands
from tools.processes import MAX_RUNNING, read_process, start_process, stop_process

if TYPE_CHECKING:
    from conftest import Called, UntilGone

ENV = {"PATH": os.defpath + ":/usr/bin:/bin"}


@pytest_asyncio.fixture
async def context(tmp_path: Path) -> AsyncIterator[ToolContext[Any]]:
    context = ToolContext[Any](workspace=tmp_path, env=ENV)
    yield context
    await context.resources.aclose(pytest.fail)


async def test_new_output_and_the_exit_are_reported(context: ToolContext[Any], called: Called):
    os.mkfifo(context.workspace / "go")
    assert await called(start_process, context, command="echo ready; cat go; echo over; exit 3", wait_s=1) == (
        "Process 1 is running. Output:\nready\n"
    )
    assert await called(read_process, context, process=1) == "Process 1 is running. No new output."
    await asyncio.to_thread((context.workspace / "go").write_text, "gone\n")
    assert await called(read_process, context, process=1, wait_s=5) == (
        "Process 1 has ended (exit code 3). Output:\ngone\nover\n"
    )
    assert await called(read_process, context, process=1) == ("!Process 1 is not running. Running processes: none.")


async def test_the_progress_of_a_process_is_shown_in_its_last_state(context: ToolContext[Any], called: Called):
    command = "printf '1%%\\r2%%\\r\\033[32m3%%\\033[0m\\n'"
    shown = await called(start_process, context, command=command, wait_s=5)
    assert shown == "Process 1 has ended (exit code 0). Output:\n3%\n"


async def test_stopping_a_process_stops_its_children(context: ToolContext[Any], called: Called, until_gone: UntilGone):
    command = "trap 'echo bye; exit 0' TERM; sleep 60 & echo $! > pid; wait"
    await called(start_process, context, command=command, wait_s=1)
    assert await called(stop_process, context, process=1) == "Process 1 was stopped (exit code 0). Output:\nbye\n"
    await until_gone(context.workspace / "pid")


async def test_a_process_that_ignores_sigterm_is_killed(context: ToolContext[Any], called: Called):
    await called(start_process, context, command="trap '' TERM; while true; do read -t 1 x < /dev/zero; done", wait_s=1)
    assert (await called(stop_process, context, process=1)).startswith(
        "Process 1 was stopped (exit code 137 (killed by SIGKILL))."
    )


async def test_processes_that_were_stopped_before_a_verification_do_not_count(
    context: ToolContext[Any], called: Called
):
    """No process could be started any more, and stop_process was the advice."""
    for _ in range(MAX_RUNNING):
        await called(start_process, context, command="echo up; exec sleep 60", wait_s=0)
    await context.resources.get(RunningCommands).stop()
    again = await called(start_process, context, command="echo again; exec sleep 60", wait_s=1)
    assert again == f"Process {MAX_RUNNING + 1} is running. Output:\nagain\n"
    assert (await called(read_process, context, process=1)).startswith("Process 1 has ended (exit code 137")


async def test_all_processes_end_with_the_run(context: ToolContext[Any], called: Called, until_gone: UntilGone):
    for _ in range(MAX_RUNNING):
        await called(start_process, context, command="echo $$ >> pids; exec sleep 60", wait_s=0)
    assert await called(start_process, context, command="true") == (
        f"!{MAX_RUNNING} processes are running, which is the maximum. Stop one with stop_process."
    )
    await called(read_process, context, process=MAX_RUNNING, wait_s=1)
    await context.resources.aclose(pytest.fail)
    await until_gone(context.workspace / "pids")
