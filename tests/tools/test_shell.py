"""The shell tool: what the model reads, and that no process of a command outlives its call."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tools.shell as shell_module
from agent import ConfigError, Rules, Sandbox, ToolContext, ToolError, find_sandbox
from agent.messages import ToolCall
from agent.tooling.execute import execute
from tools.shell import run_shell

if TYPE_CHECKING:
    from conftest import UntilGone

ENV = {"PATH": os.defpath + ":/usr/bin:/bin", "GREETING": "hello"}


async def shell(workspace: Path, sandbox: Sandbox | None = None, **arguments: object) -> str:
    """Return what run_shell returns, or the text of its ToolError after `!`."""
    context = ToolContext(workspace=workspace, env=ENV, sandbox=sandbox or Sandbox())
    try:
        value = run_shell.arguments.check(json.dumps(arguments))
        return str(await run_shell.body(value, context))
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


FRAMES = "for i in $(seq 1 2000); do printf '\\rDownloading %4d/2000' $i; done; echo"


@pytest.mark.parametrize(
    ("command", "result"),
    [
        (
            f"{FRAMES}; echo checksum mismatch; exit 1",
            "Downloading 2000/2000\nchecksum mismatch\n(without what a terminal overwrites, such as progress)\n"
            "exit code 1",
        ),
        ("printf '\\033[31mred\\033[0m\\n'", "red\n"),
        ("printf '\\033[?25l\\033[?25h'", "(no output, exit code 0)"),
        ("printf 'a\\r\\nb\\r\\n'", "a\r\nb\r\n"),
        (
            f"{FRAMES}; sleep 60",
            "!The command did not end within 1 s and was killed; what it had done stays done. Output so far:\n"
            "Downloading 2000/2000\n",
        ),
    ],
)
async def test_progress_and_colours_are_shown_as_a_terminal_would(tmp_path: Path, command: str, result: str) -> None:
    """2,000 states of one progress line took 16,112 characters of the model's window."""
    assert await shell(tmp_path, command=command, timeout_s=1 if "sleep" in command else 20) == result


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
    context = ToolContext(workspace=tmp_path, env=ENV)
    call = ToolCall(id="abcdefghi", name="run_shell", arguments="{}")
    done = await execute(call, run_shell, value, context, spill_dir=tmp_path / ".agent" / "outputs")

    assert f"characters left out; {kept}; read it in parts ...]\n" in done.result.content
    saved = (tmp_path / ".agent" / "outputs" / "abcdefghi.txt").read_bytes()
    assert saved.endswith(b"123456789\nthe last\n")
    assert saved.count(b"123456789\n") == min(size_mb, 50) * 100_000 - (1 if size_mb > 50 else 0)


CANNOT = (
    "[.git is read-only in this workspace: git stash, commit, add, checkout, switch, reset and the like cannot work."
)
INSTEAD = (
    f"{CANNOT} The diff tool shows what you changed, undo_change takes back your last edit, and `git diff FILE | git "
    "apply -R` restores a file.]"
)
INSTEAD_OF_STASH = (
    f"{CANNOT} To set your changes aside: `git diff > /tmp/mine.diff && git apply -R /tmp/mine.diff`; to get them "
    "back: `git apply /tmp/mine.diff`. The diff tool shows what you changed, and undo_change takes back your last "
    "edit.]"
)


@pytest.fixture
def sandbox() -> Sandbox:
    try:
        return find_sandbox("bubblewrap", Rules())
    except ConfigError:
        pytest.skip("bubblewrap does not work here")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    folder.mkdir()
    (folder / "a.txt").write_text("one\n")
    (folder / "src").mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"], ["branch", "other"]):
        subprocess.run([*git, *words], check=True)
    (folder / "a.txt").write_text("two\n")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "git stash", "git stash -q -u", "git stash push a.txt", "git stash pop", "git stash && true",
        "git stash >/dev/null 2>&1", "cd src && git stash", "git stash -q; echo tests pass; git stash pop -q",
        "git stash; echo tests pass",
    ],
)  # fmt: skip
async def test_git_stash_that_fails_without_a_word_is_explained(repository: Path, sandbox: Sandbox, command: str):
    """It ended with exit code 1 and no text; followed by the tests, it even looked as if it had worked."""
    answer = await shell(repository, sandbox, command=command)
    assert answer.splitlines()[-1] == INSTEAD_OF_STASH
    assert (repository / "a.txt").read_text() == "two\n"


@pytest.mark.parametrize(
    "command",
    [
        "git commit -am x", "git checkout other", "git checkout -b new", "git checkout -- a.txt", "git switch other",
        "git switch -c new", "git add a.txt", "git reset", "git restore a.txt", "git rm a.txt", "git merge other",
        "git tag one", "git branch new", "git config a.b c", "git fetch", "git rebase other", "git notes add -m x",
        "git init", "git commit -qam x 2>/dev/null", "X=1 git -c a.b=c -C . commit -qam x 2>&1 | cat; exit 1",
        "for name in a.txt; do git checkout -- $name; done", "git add -A; echo added", "rm -rf .git",
    ],
)  # fmt: skip
async def test_a_git_command_that_cannot_write_to_git_is_explained(repository: Path, sandbox: Sandbox, command: str):
    answer = await shell(repository, sandbox, command=command)
    assert answer.splitlines()[-1] == INSTEAD
    assert answer.count(CANNOT) == 1


@pytest.mark.parametrize(
    "command",
    [
        "git status --short; exit 1", "git stash list", "git diff", "git log --oneline; exit 3", "git tag",
        "grep 'git stash' a.txt", "cat > a.sh <<END\ngit stash\nEND", "git show HEAD:a.txt | grep three",
        "mkdir -p new && cd new && git init -q && git checkout -q nothing", "git clean -fd",
        "echo no .git here; exit 1",
        "echo \"-fatal: Unable to create '.git/index.lock': Read-only file system\"; exit 1",
    ],
)  # fmt: skip
async def test_a_command_that_fails_for_another_reason_is_not_explained_with_git(
    repository: Path, sandbox: Sandbox, command: str
):
    assert CANNOT not in await shell(repository, sandbox, command=command)


async def test_where_git_can_be_written_nothing_is_explained(repository: Path):
    assert await shell(repository, command="git add a.txt") == "(no output, exit code 0)"
    assert CANNOT not in await shell(repository, command="git stash show; git checkout -q nothing")


async def test_the_way_that_is_named_instead_of_stash_works(repository: Path, sandbox: Sandbox):
    aside = "git diff > /tmp/mine.diff && git apply -R /tmp/mine.diff"
    command = f"{aside} && cat a.txt; git apply /tmp/mine.diff && cat a.txt; git diff a.txt | git apply -R; cat a.txt"
    assert await shell(repository, sandbox, command=command) == "one\ntwo\none\n"
