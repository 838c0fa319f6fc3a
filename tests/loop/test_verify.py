"""Verification commands: how they run and end, and the feedback about them."""

from __future__ import annotations

import asyncio
import os
import select
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import Agent, ConfigError, Ladder, Rules, Sandbox, Verify, find_sandbox
from agent.loop.verify import HEAD_BYTES, TAIL_BYTES, Verification, feedback, verify
from agent.model.profiles import MISTRAL, POCKET, Profile
from agent.run_settings import TaskOrigin
from agent.sandbox import Isolation
from agent.sandbox.sources import Sources
from agent.testing import ScriptedModel, says

if TYPE_CHECKING:
    from conftest import Held

ENV = {"PATH": os.environ["PATH"]}


async def run(command: str, workspace: Path, *, timeout_s: float = 20.0, env: dict[str, str] | None = None):
    return await verify(command, workspace=workspace, env=ENV | (env or {}), timeout_s=timeout_s, sandbox=Sandbox())


def ended(pid: int) -> bool:
    """Return whether a process ends within 10 seconds; a kill takes a moment."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


async def test_exit_code_0_is_ok_and_both_streams_are_kept_in_order(tmp_path: Path):
    found = await run("echo one; echo two >&2; pwd", tmp_path)

    assert (found.ok, found.exit_code, found.timed_out) == (True, 0, False)
    assert found.output == f"one\ntwo\n{tmp_path.resolve()}"


async def test_any_other_exit_code_fails(tmp_path: Path):
    found = await run("echo no; exit 3", tmp_path)

    assert (found.ok, found.exit_code, found.output) == (False, 3, "no")


async def test_the_command_gets_only_the_given_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")

    found = await run("echo $SECRET_TOKEN:$GIVEN", tmp_path, env={"GIVEN": "yes"})

    assert found.output == ":yes"


async def test_the_command_gets_an_empty_stdin_and_does_not_hang(tmp_path: Path):
    assert (await run("cat", tmp_path)).ok


async def test_a_command_that_times_out_is_killed_with_all_its_processes(tmp_path: Path):
    found = await run("sleep 1000 & echo $!; sleep 1000", tmp_path, timeout_s=0.2)

    assert (found.ok, found.exit_code, found.timed_out) == (False, None, True)
    assert found.elapsed_s < 5
    assert ended(int(found.output))


async def test_a_background_child_that_holds_the_output_open_does_not_delay_the_end(tmp_path: Path):
    found = await run("sleep 1000 & echo $!", tmp_path)

    assert found.ok
    assert found.elapsed_s < 5
    assert ended(int(found.output))


@pytest.mark.parametrize("isolation", ["none", "landlock"])
async def test_a_background_process_in_its_own_process_group_ends_with_the_verification(
    tmp_path: Path, isolation: Isolation, held: Held
):
    try:
        sandbox = find_sandbox(isolation, Rules())
    except ConfigError as error:
        pytest.skip(str(error))

    command = "exec 3>held; bash -c 'set -m; sleep 1000 & echo up'"
    found = await verify(command, workspace=tmp_path, env=ENV, timeout_s=20, sandbox=sandbox)

    assert (found.ok, found.output) == (True, "up")
    held.until_gone()


async def test_cancellation_kills_the_process_group(tmp_path: Path):
    started = tmp_path / "pid"
    os.mkfifo(started)
    task = asyncio.create_task(run(f"echo $$ > {started}; sleep 1000", tmp_path))
    pid = int(await asyncio.to_thread(started.read_text))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended(pid)


async def test_a_long_output_keeps_its_beginning_and_even_more_of_its_end(tmp_path: Path):
    found = await run("echo first; head -c 200000 /dev/zero | tr '\\0' x; echo; echo last", tmp_path)

    cut = len("first\n") + 200_000 + len("\nlast\n") - HEAD_BYTES - TAIL_BYTES
    assert found.output == (
        "first\n" + "x" * (HEAD_BYTES - 6) + f"\n[... {cut} bytes cut ...]\n" + "x" * (TAIL_BYTES - 6) + "\nlast"
    )


async def test_progress_and_colours_do_not_take_the_room_of_the_errors(tmp_path: Path):
    """Frames of a progress line filled the feedback, and the error above them was cut out."""
    frames = "for i in $(seq 1 2000); do printf '\\rtests: %4d/2000' $i; done"
    found = await run(f"echo first; printf '\\033[31merror: boom\\033[0m\\n'; {frames}; exit 1", tmp_path)
    assert found.output == "first\nerror: boom\ntests: 2000/2000"


async def test_invalid_utf_8_in_the_output_is_replaced(tmp_path: Path):
    assert (await run("printf 'a\\377b'", tmp_path)).output == "a\ufffdb"


async def test_a_command_that_cannot_start_is_a_failed_verification(tmp_path: Path):
    found = await run("true", tmp_path / "missing")

    assert (found.ok, found.exit_code) == (False, None)
    assert found.output == (f"The command could not be started in {tmp_path / 'missing'}: No such file or directory.")


async def test_a_verification_whose_program_is_missing_says_where_it_was_looked_for(tmp_path: Path):
    found = await verify(
        "no-such-runner -q", workspace=tmp_path, env={"PATH": "/nowhere"}, timeout_s=20, sandbox=Sandbox()
    )
    assert (found.ok, found.exit_code) == (False, 127)
    first, last = found.output.splitlines()
    assert "no-such-runner" in first
    assert last == "Exit code 127: a program that the command needs is not on its PATH (/nowhere)."


async def test_a_command_with_a_nul_byte_is_a_failed_verification(tmp_path: Path):
    found = await run("echo \0", tmp_path)

    assert found.output == f"The command could not be started in {tmp_path}: embedded null byte."


VERIFY = Verify(command="pytest -q", attempts=3)


def failed(**facts: object) -> Verification:
    return Verification(**({"command": "pytest -q", "ok": False, "exit_code": 1, "output": "", "elapsed_s": 2} | facts))


def test_feedback_shows_command_exit_code_and_output():
    assert feedback(failed(output="1 failed"), VERIFY, attempt=1) == (
        "Verification failed (attempt 1 of 3).\nCommand: pytest -q\nExit code: 1\nOutput:\n1 failed"
    )


def test_feedback_names_the_signal_and_an_empty_output():
    assert feedback(failed(exit_code=-11), VERIFY, attempt=2) == (
        "Verification failed (attempt 2 of 3).\nCommand: pytest -q\nExit code: -11 (SIGSEGV)\nOutput:\n(none)"
    )


def test_feedback_reports_a_timeout():
    late = failed(exit_code=None, timed_out=True, elapsed_s=300.2, output="...")
    assert feedback(late, VERIFY, attempt=3) == (
        "Verification failed (attempt 3 of 3).\nCommand: pytest -q\n"
        "Stopped after 300 s: it took too long.\nOutput:\n..."
    )


def test_feedback_reports_a_command_that_did_not_start():
    assert feedback(failed(exit_code=None, output="Why."), replace(VERIFY, attempts=1), attempt=1) == (
        "Verification failed (attempt 1 of 1).\nCommand: pytest -q\nIt did not start.\nOutput:\nWhy."
    )


def test_feedback_that_shows_only_a_summary_holds_neither_the_command_nor_the_output():
    output = "assert 1 == 2\nFAILED (failures=1)"
    assert feedback(failed(output=output), replace(VERIFY, show="summary"), attempt=1) == (
        "Verification failed (attempt 1 of 3).\nExit code: 1\nResult: failures=1.\n"
        "The tests belong to the verification: their files may not be in this folder."
    )


def test_feedback_about_an_output_without_tests_says_that_it_is_not_shown():
    late = failed(exit_code=None, timed_out=True, elapsed_s=300.2, output="42 expected")
    assert feedback(late, replace(VERIFY, show="summary"), attempt=2) == (
        "Verification failed (attempt 2 of 3).\nStopped after 300 s: it took too long.\nIts output is not shown."
    )


def test_feedback_that_shows_nothing_says_only_that_it_failed():
    assert feedback(failed(output="1 failed"), replace(VERIFY, show="nothing"), attempt=1) == (
        "Verification failed (attempt 1 of 3). Its output is not shown. Check your work against the task once more, "
        "then submit it again."
    )


HIDDEN = 'cd "$AGENT_TASK_DIR/hidden" && exit 1'


async def fed_back(profile: Profile, command: str) -> str:
    """Return what the model reads after it failed a verification."""
    model = ScriptedModel([says("Done."), says("Done.")], profile=profile)
    env = {"AGENT_TASK_DIR": "/"}
    origin = TaskOrigin(task={}, own=Sources(), verify_env=env, environ={})
    await Agent(model, verify=Verify(command=command, attempts=2), env=ENV, _origin=origin).run("Go.")
    return str(model.bodies[-1]["messages"][-1]["content"])


async def test_the_command_of_hidden_tests_is_not_shown_to_a_model_that_would_look_there():
    """`Command: cd "$AGENT_TASK_DIR/hidden" ...` named a folder that the tools cannot see."""
    assert "AGENT_TASK_DIR" not in await fed_back(MISTRAL, HIDDEN)
    assert (await fed_back(MISTRAL, "exit 1")).startswith(
        "Verification failed (attempt 1 of 2).\nCommand: exit 1\nExit code: 1\nOutput:\n"
    )


async def test_the_pocket_model_reads_the_command_as_it_was_trained():
    text = await fed_back(replace(POCKET, ladder=Ladder()), HIDDEN)
    assert text.startswith(f"Verification failed (attempt 1 of 2).\nCommand: {HIDDEN}\nExit code: ")
    assert "not in your folder" not in text
