"""The shell tool: what the model reads, and that no process of a command outlives its call."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tools.shell as shell_module
from agent import ToolContext, ToolError
from agent.messages import ToolCall
from agent.tooling.execute import execute
from tools.shell import run_shell

if TYPE_CHECKING:
    from conftest import UntilGone

ENV = {"PATH": os.defpath + ":/usr/bin:/bin", "GREETING": "hello"}


async def shell(workspace: Path, **arguments: object) -> str:
    """Return what run_shell returns, or the text of its ToolError after `!`."""
    try:
        value = run_shell.arguments.check(json.dumps(arguments))
        return str(await run_shell.body(value, ToolContext(workspace=workspace, state=None, env=ENV)))
    except ToolError as error:
        return f"!{error}"


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("echo one; echo two >&2; echo three", "one\ntwo\nthree\n"),
        ("true", "(no output, exit code 0)"),
        ("exit 3", "exit code 3"),
        ("printf abc; exit 3", "abc\nexit code 3"),
        ("echo abc; exit 3", "abc\nexit code 3"),
        ("kill -9 $$", "exit code 137 (killed by SIGKILL)"),
        ("printf 'a\\377b'", "a\ufffdb"),
        ("cat; echo end", "end\n"),
        ("echo $GREETING $SECRET", "hello\n"),
        ("pwd -P | tail -c 5", "/ws0\n"),
    ],
)
async def test_the_result_is_the_output_and_any_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, result: str
) -> None:
    monkeypatch.setenv("SECRET", "canary")
    workspace = tmp_path / "ws0"
    workspace.mkdir()
    assert await shell(workspace, command=command) == result


async def test_the_environment_is_the_given_one_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "canary")
    names = {line.split("=")[0] for line in (await shell(tmp_path, command="env")).splitlines()}
    assert names <= {"PATH", "GREETING", "PWD", "SHLVL", "_", "OLDPWD"}


async def test_the_shell_explains_an_unknown_command(tmp_path: Path) -> None:
    answer = await shell(tmp_path, command="no_such_command_here")
    assert "no_such_command_here" in answer
    assert answer.endswith("\nexit code 127")


async def test_a_slow_command_reports_its_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell_module, "SLOW_S", 0.6)
    assert await shell(tmp_path, command="sleep 0.7; printf out; exit 3") == "out\nexit code 3, took 1 s"
    assert await shell(tmp_path, command="sleep 0.7; echo out") == "out\ntook 1 s"
    assert await shell(tmp_path, command="sleep 0.7") == "(no output, exit code 0), took 1 s"
    assert await shell(tmp_path, command="echo out") == "out\n"


async def test_a_command_that_times_out_is_killed_and_its_output_shown(tmp_path: Path, until_gone: UntilGone) -> None:
    started = time.monotonic()
    answer = await shell(tmp_path, command="echo $$ > pid; echo begun; sleep 60 | sleep 60", timeout_s=1)
    assert answer == (
        "!The command did not end within 1 s and was killed; what it had done stays done. Output so far:\nbegun\n"
    )
    assert time.monotonic() - started < 3
    await until_gone(tmp_path / "pid")


async def test_a_command_that_times_out_without_output_says_so(tmp_path: Path, until_gone: UntilGone) -> None:
    assert await shell(tmp_path, command="trap '' TERM; sleep 60 & echo $! > pid; wait", timeout_s=1) == (
        "!The command did not end within 1 s and was killed; what it had done stays done. It had written nothing."
    )
    await until_gone(tmp_path / "pid")


async def test_a_background_process_ends_with_its_command(tmp_path: Path, until_gone: UntilGone) -> None:
    started = time.monotonic()
    assert await shell(tmp_path, command="sleep 60 & echo $! > pid; echo done") == "done\n"
    assert time.monotonic() - started < 2
    await until_gone(tmp_path / "pid")


async def test_cancelling_the_call_kills_the_command(tmp_path: Path, until_gone: UntilGone) -> None:
    call = asyncio.create_task(shell(tmp_path, command="sleep 60 & echo $! > part; mv part pid; wait"))
    while not (tmp_path / "pid").exists():
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until_gone(tmp_path / "pid")


async def test_endless_output_is_truncated_to_its_head_and_tail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.tooling.context.WHOLE_HEAD_BYTES", 600_000)
    monkeypatch.setattr("agent.tooling.context.WHOLE_TAIL_BYTES", 400_000)
    answer = await shell(tmp_path, command="echo first; head -c 30000000 /dev/zero | tr '\\0' x; echo; echo last")
    head, middle, tail = answer.split("\n[", 1)[0], answer.split("\n[", 1)[1].split("]\n", 1)[0], answer[-500_000:]
    assert head == "first\n" + "x" * 599_994
    assert re.fullmatch(r"\.\.\. 2[89],\d{3},\d{3} bytes left out \.\.\.", middle)
    assert tail.endswith("xxx\nlast\n")
    assert 1_000_000 < len(answer) < 1_100_000
    answer = await shell(tmp_path, command="yes", timeout_s=1)
    assert len(answer) < 1_100_000


@pytest.mark.parametrize(
    ("size_mb", "kept"),
    [
        (30, "the whole is in .agent/outputs/abcdefghi.txt"),
        (60, ".agent/outputs/abcdefghi.txt holds the output except for 10,000,009 bytes of its middle, which were not "
             "kept"),
    ],
)  # fmt: skip
async def test_the_saved_file_holds_what_the_result_says(tmp_path: Path, size_mb: int, kept: str) -> None:
    """The note said "the whole is in ..." of a file in which the middle was missing."""
    command = f"yes 123456789 | head -c {size_mb}000000; echo the last"
    value = run_shell.arguments.check(json.dumps({"command": command}))
    context = ToolContext(workspace=tmp_path, state=None, env=ENV)
    call = ToolCall(id="abcdefghi", name="run_shell", arguments="{}")
    done = await execute(call, run_shell, value, context, spill_dir=tmp_path / ".agent" / "outputs")

    assert f"characters left out; {kept}; read it in parts ...]\n" in done.result.content
    saved = (tmp_path / ".agent" / "outputs" / "abcdefghi.txt").read_bytes()
    assert saved.endswith(b"123456789\nthe last\n")
    assert saved.count(b"123456789\n") == min(size_mb, 50) * 100_000 - (1 if size_mb > 50 else 0)
