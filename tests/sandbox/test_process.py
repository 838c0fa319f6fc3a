"""Commands as a tool runs them, through `ToolContext`: their result, their limits, and that no process is left."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from agent import (
    CommandResult,
    ConfigError,
    Rules,
    Sandbox,
    ToolContext,
    ToolError,
    at_forced_end,
    find_sandbox,
    kill_session,
)  # fmt: skip
from agent.sandbox import Isolation
from agent.sandbox.process import Output, kill_all_sessions, start_process

if TYPE_CHECKING:
    from conftest import Held

ENV = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "GREETING": "hello"}
HOLD = "exec 3>held; echo x >&3"
"""For a shell: it and everything it starts hold the FIFO of `held` open."""


def context_of(workspace: Path, isolation: Isolation = "none") -> ToolContext[Any]:
    try:
        sandbox = find_sandbox(isolation, Rules())
    except ConfigError as error:
        pytest.skip(str(error))
    return ToolContext(workspace=workspace, env=ENV, sandbox=sandbox)


def bash(command: str) -> list[str]:
    return ["/bin/bash", "-c", command]


async def test_a_result_has_the_exit_code_and_both_streams_in_order(tmp_path: Path):
    found = await context_of(tmp_path).run(bash("echo one; echo two >&2; pwd -P; cat; exit 3"), timeout_s=20)

    assert found == CommandResult(exit_code=3, output=f"one\ntwo\n{tmp_path.resolve()}\n", elapsed_s=found.elapsed_s)
    assert (found.timed_out, 0 < found.elapsed_s < 20) == (False, True)
    assert (await context_of(tmp_path).run(bash("kill -9 $$"), timeout_s=20)).exit_code == -9


async def test_the_environment_is_the_runs_or_the_given_one(tmp_path: Path):
    context = context_of(tmp_path)

    assert (await context.run(bash("echo $GREETING"), timeout_s=20)).output == "hello\n"
    assert (await context.run(bash("echo $GREETING$OTHER"), timeout_s=20, env={"OTHER": "x"})).output == "x\n"


@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock"])
async def test_it_is_sandboxed_except_for_what_it_may_read_or_write(tmp_path: Path, isolation: Isolation):
    (workspace := tmp_path / "workspace").mkdir()
    (outside := tmp_path / "outside").mkdir()
    (outside / "secret").write_text("canary")
    context, command = context_of(workspace, isolation), bash(f"cat {outside}/secret; echo x > {outside}/new")

    assert "canary" not in (await context.run(command, timeout_s=20)).output
    assert "canary" in (await context.run(command, timeout_s=20, read=[outside])).output
    assert not (outside / "new").exists()
    assert await context.run(command, timeout_s=20, write=[outside])
    assert (outside / "new").exists()


@pytest.mark.parametrize("isolation", ["none", "bubblewrap", "landlock"])
async def test_at_the_deadline_it_is_killed_with_everything_it_started(
    tmp_path: Path, isolation: Isolation, held: Held
):
    command = f"{HOLD}; trap '' TERM; echo begun; sleep 60 | sleep 60"
    found = await context_of(tmp_path, isolation).run(bash(command), timeout_s=1)

    assert (found.exit_code, found.timed_out, found.output) == (None, True, "begun\n")
    assert 1 <= found.elapsed_s < 5
    assert held.until_gone() == b"x\n"


@pytest.mark.parametrize("isolation", ["none", "bubblewrap", "landlock"])
async def test_a_background_process_in_its_own_group_ends_with_its_command(
    tmp_path: Path, isolation: Isolation, held: Held
):
    found = await context_of(tmp_path, isolation).run(bash(f"{HOLD}; set -m; sleep 60 & echo up"), timeout_s=20)

    assert (found.exit_code, found.output) == (0, "up\n")
    assert found.elapsed_s < 5
    assert held.until_gone() == b"x\n"


async def test_processes_that_keep_forking_replacements_are_caught(tmp_path: Path, held: Held):
    """None lives long enough to be looked up and then killed by its ID."""
    code = "import os; os.setpgid(0, 0)\nfor _ in range(100_000):\n    if os.fork(): os._exit(0)"
    found = await context_of(tmp_path).run(bash(f"{HOLD}; python -c '{code}' & sleep 0.3; echo up"), timeout_s=20)

    assert found.output == "up\n"
    assert held.until_gone() == b"x\n"


async def test_a_daemon_that_holds_the_pipe_open_does_not_delay_the_result(tmp_path: Path):
    """It is in its own session, out of reach without a sandbox."""
    code = "import os, time; os.setsid(); print(os.getpid(), flush=True); open('up', 'w'); time.sleep(60)"
    command = f'python -c "{code}" & while [ ! -e up ]; do sleep 0.02; done'
    started = time.monotonic()
    found = await context_of(tmp_path).run(bash(command), timeout_s=20)

    os.kill(int(found.output), signal.SIGKILL)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("ticks", range(8))
async def test_a_call_that_is_cancelled_at_any_moment_leaves_no_process(tmp_path: Path, ticks: int, held: Held):
    context = context_of(tmp_path)
    call = asyncio.create_task(context.run(bash(f"{HOLD}; sleep 60 & echo y >&3; wait"), timeout_s=60))
    for _ in range(ticks):
        await asyncio.sleep(0)
    # Block the loop, so that the command is well under way before its start is noticed.
    while select.select([held.read_end], [], [], 0.3)[0] and not os.read(held.read_end, 4_096).endswith(b"y\n"):
        continue
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    held.until_gone()


async def test_a_command_that_cannot_be_started_is_refused_with_the_reason(tmp_path: Path):
    async def refused(context: ToolContext[Any], *argv: str) -> str:
        with pytest.raises(ToolError) as caught:
            await context.run(argv, timeout_s=20)
        return str(caught.value)

    assert await refused(context_of(tmp_path), "echo", "a\0b") == (
        "The command holds a NUL character, which no command can. Send it without."
    )
    assert await refused(context_of(tmp_path), "echo", "x" * 5_000_000) == (
        "The command could not be started: Argument list too long. Write a script with write_file and run that."
    )
    assert await refused(context_of(tmp_path / "gone"), "true") == (
        "The command could not be started: No such file or directory. No command can run now: say so in your answer."
    )


@pytest.mark.parametrize("isolation", ["none", "bubblewrap", "landlock"])
async def test_a_program_that_is_missing_is_named_with_the_path_and_not_the_sandboxs_launcher(
    tmp_path: Path, isolation: Isolation
):
    """Without a sandbox the model was told that no command can run; in bubblewrap it read of `prlimit`."""
    context = context_of(tmp_path, isolation)
    (tmp_path / "data").touch()

    async def refused(program: str) -> str:
        with pytest.raises(ToolError) as caught:
            await context.run([program, "x"], timeout_s=20)
        return str(caught.value)

    assert await refused("no-such-compiler") == (
        f"There is no `no-such-compiler` on the PATH of this run ({ENV['PATH']}). Use another program, or say so in "
        "your answer."
    )
    assert await refused("./gone") == (
        "`./gone` could not be started: No such file or directory. Use another program, or say so in your answer."
    )
    assert await refused("./data") == (
        "`./data` could not be started: Permission denied. Use another program, or say so in your answer."
    )
    ended = await context.run(["/bin/sh", "-c", "echo sh: No such file or directory; exit 127"], timeout_s=20)
    assert ended.output == "sh: No such file or directory\n"


@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock"])
async def test_a_command_runs_though_its_path_has_no_program_of_the_sandbox(tmp_path: Path, isolation: Isolation):
    """Bubblewrap looked for `prlimit` there, so no command could run at all."""
    ran = await context_of(tmp_path, isolation).run(
        ["/bin/sh", "-c", "echo $PATH"], timeout_s=20, env={"PATH": "/nowhere"}
    )
    assert (ran.exit_code, ran.output) == (0, "/nowhere\n")


async def test_a_running_program_is_read_then_terminated_then_killed(tmp_path: Path, held: Held):
    command = f"{HOLD}; trap 'echo asked' TERM; echo ready; while true; do sleep 0.1; done"
    process = await context_of(tmp_path).start(bash(command))
    printed = ""
    while "ready" not in printed:
        assert await process.wait(0.05) is None
        printed += process.take_output()
    process.terminate()
    while "asked" not in printed:
        assert await process.wait(0.05) is None
        printed += process.take_output()

    assert printed.replace("Terminated\n", "") == "ready\nasked\n"
    assert await process.kill() == -signal.SIGKILL
    assert await process.kill() == -signal.SIGKILL
    assert held.until_gone() == b"x\n"


async def test_a_program_that_ended_by_itself_keeps_its_exit_code_and_its_last_output(tmp_path: Path):
    process = await context_of(tmp_path).start(bash("echo bye; exit 5"))

    assert await process.wait(20) == 5
    assert await process.kill() == 5
    assert (process.take_output(), process.take_output()) == ("bye\n", "")


def test_a_tool_that_starts_its_own_process_can_kill_the_session(tmp_path: Path, held: Held):
    with context_of(tmp_path).launch(bash(f"{HOLD}; set -m; sleep 60 & echo up; wait")) as launch:
        process = subprocess.Popen(
            launch.argv, env=dict(launch.env), cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE
        )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"

    kill_session(process.pid)
    assert process.wait(5) == -signal.SIGKILL
    process.stdout.close()
    assert held.until_gone() == b"x\n"


async def test_a_long_output_is_kept_whole(tmp_path: Path):
    """Over 1 MB, the middle was lost, although the result named a file that "holds the whole"."""
    found = await context_of(tmp_path).run(bash("echo first; head -c 3000000 /dev/zero | tr '\\0' x"), timeout_s=20)

    assert found.output == "first\n" + "x" * 3_000_000


async def test_a_huge_output_keeps_its_first_and_last_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.tooling.context.WHOLE_HEAD_BYTES", 600_000)
    monkeypatch.setattr("agent.tooling.context.WHOLE_TAIL_BYTES", 400_000)
    command = bash("echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last")
    found = await context_of(tmp_path).run(command, timeout_s=20)

    assert found.output == (
        "first\n"
        + "x" * 599_994
        + f"\n[... {3_000_012 - 1_000_000:,} bytes left out ...]\n"
        + "x" * 399_994
        + "\nlast\n"
    )


async def test_output_limits_are_in_bytes_and_hold_however_the_output_is_split(tmp_path: Path):
    output = Output(head_bytes=3, tail_bytes=4, note="[{}]")
    with Sandbox().launch(bash("for i in {0..99}; do printf $((i % 10)); done"), workspace=tmp_path, env=ENV) as launch:
        process = await start_process(launch, folder=tmp_path, output=output)
    assert (await process.finish(20)).output == "012\n[93]\n6789"

    for data in (b"ab", b"cd", b"", b"efg"):
        output.add(data)
    assert output.take() == "abcdefg"
    output.add(b"abcdefgh\xff")
    assert output.take() == "abc\n[2]\nfgh\ufffd"


async def test_no_file_descriptor_is_left_open(tmp_path: Path):
    async def many() -> None:
        for argv in (bash("true"), bash("exit 1"), bash("sleep 60 &"), ["echo", "x" * 5_000_000], ["a\0b"]):
            try:
                await context_of(tmp_path).run(argv, timeout_s=20)
            except ToolError:
                continue

    await many()
    before = len(list(Path("/proc/self/fd").iterdir()))
    await many()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_a_program_that_ends_at_once_leaves_no_command_without_a_sandbox(tmp_path: Path):
    context = context_of(tmp_path)
    ended, running = [await context.start(bash(command)) for command in ("true", "trap '' TERM; sleep 20 & sleep 20")]
    await ended.kill()
    kill_all_sessions()
    assert await running.wait(10.0) == -signal.SIGKILL
    await running.kill()


def test_at_a_forced_end_what_others_started_is_killed_until_they_did_so_themselves():
    killed, gone = Mock(side_effect=OSError), Mock()
    forget = at_forced_end(killed)
    at_forced_end(gone)()
    kill_all_sessions()
    forget()
    kill_all_sessions()
    assert (killed.call_count, gone.call_count) == (1, 0)
