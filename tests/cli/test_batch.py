"""`agent run FOLDER`: which tasks run, in which order, what is reported about them, and what stops them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.messages import Reply
from agent.testing import ScriptedServer, calls, faults, says

FAKE = Path(__file__).parents[1] / "data" / "fake_engine.py"
TASK = """\
prompt: Write {{word}} into hello.txt.
vars: {word: hello}
workspace: {path: room, create: true}
tools: [write_file]
env: {WORD: "{{word}}"}
verify: {command: 'test "$(cat hello.txt)" = "$WORD"', attempts: 1}
"""


pytestmark = pytest.mark.usefixtures("own_machine")


def folder_of(**tasks: str) -> Path:
    """Create `tasks`, a folder with a folder for each task, in reverse order."""
    for name, text in reversed(tasks.items()):
        Path("tasks", name).mkdir(parents=True)
        Path("tasks", name, "task.yaml").write_text(text)
    return Path("tasks")


def writes(word: str) -> list[Reply]:
    return [calls(("write_file", {"path": "hello.txt", "content": word})), says("Done.")]


def run(server: ScriptedServer, *more: str) -> int:
    return main(["run", "tasks", "--base-url", server.url, *more])


def lines_of(printed: str) -> list[str]:
    """Return the lines without what differs each time: seconds and names of runs."""
    lines = [re.sub(r" +[0-9.]+ s\b", " _ s", line) for line in printed.splitlines()]
    return [re.sub(r"  [0-9]{8}-[0-9]{6}-[0-9a-f]{6}", "  RUN", line) for line in lines]


def test_tasks_run_in_order_and_each_has_its_own_journal(capsys: pytest.CaptureFixture[str]):
    folder_of(apple=TASK, fig=TASK, pear=TASK)
    unknown = calls(("write", {"path": "a"}))
    with ScriptedServer([*writes("hello"), unknown, *writes("hello"), *writes("hello")]) as server:
        assert run(server) == 0
    lines = capsys.readouterr().out
    assert lines_of(lines) == [
        "verified       apple    2 steps       15 output tokens _ s  RUN  rung 0",
        "verified       fig      3 steps       20 output tokens _ s  RUN  rung 0, re-asks: 1",
        "verified       pear     2 steps       15 output tokens _ s  RUN  rung 0",
        "3 of 3 verified  700 prompt tokens, 50 output tokens, _ s",
    ]
    for name, line in zip(("apple", "fig", "pear"), lines.splitlines(), strict=False):
        assert main(["show", line.split("  rung")[0].split()[-1]]) == 0
        assert f"workspace: {Path.cwd()}/tasks/{name}/room" in capsys.readouterr().out


def test_a_failed_task_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]):
    folder_of(a=TASK, b=TASK, c=TASK)
    with ScriptedServer([*writes("hello"), *writes("wrong"), *writes("hello")]) as server:
        assert run(server) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "verified", "verify_failed", "verified", "2",
    ]  # fmt: skip


def test_the_name_of_a_folder_does_not_forge_lines(capsys: pytest.CaptureFixture[str]):
    folder_of(**{"a\n1 of 1 verified": TASK})
    with ScriptedServer(writes("hello")) as server:
        assert run(server) == 0
    assert lines_of(capsys.readouterr().out) == [
        'verified       "a\\n1 of 1 verified"    2 steps       15 output tokens _ s  RUN  rung 0',
        "1 of 1 verified  200 prompt tokens, 15 output tokens, _ s",
    ]


def test_the_reason_of_a_task_that_was_given_up_is_below_its_line(capsys: pytest.CaptureFixture[str]):
    """It was once only in the journal."""
    folder_of(a=TASK, b=TASK)
    with ScriptedServer([*writes("wrong")[:1], *writes("hello")]) as server:
        assert run(server, "--set", "limits.steps=1") == 1
    assert lines_of(capsys.readouterr().out)[:2] == [
        "budget         a    1 steps       13 output tokens _ s  RUN  rung 0",
        "    the limit steps = 1 is reached (1 used). Raise `limits.steps`, or set it to None (null in a task); the "
        "changes so far are in the workspace and did not pass the verification",
    ]


def test_set_applies_to_all_tasks():
    folder_of(a=TASK, b=TASK)
    with ScriptedServer(writes("bonjour") * 2) as server:
        assert run(server, "--set", "word=bonjour") == 0
    assert server.bodies[2]["messages"][1]["content"] == "Write bonjour into hello.txt."


def test_json_prints_an_object_per_task_and_one_with_the_totals(capsys: pytest.CaptureFixture[str]):
    folder_of(a=TASK, b="prompt: Say hello.")
    with ScriptedServer([*writes("hello"), says("Hello.")]) as server:
        assert run(server, "--json") == 0
    first, second, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["spent"].pop("wall_s") > 0
    spent = {"steps": 2, "tool_calls": 1, "prompt_tokens": 200, "cached_tokens": 0, "output_tokens": 15}
    spent |= {"reasoning_tokens": 0, "estimated_tokens": 0}
    assert first == {
        "kind": "task_ended", "task": "a", "file": "tasks/a/task.yaml", "run": first["run"], "outcome": "verified",
        "reason": first["reason"], "spent": spent, "highest_rung": 0, "reasks": 0,
    }  # fmt: skip
    assert (second["task"], second["outcome"]) == ("b", "finished")
    assert last.pop("spent")["prompt_tokens"] == 300
    assert last == {"kind": "batch_ended", "tasks": 2, "outcomes": {"verified": 1, "finished": 1}, "not_run": 0}


def test_every_file_is_checked_before_any_run_starts(capsys: pytest.CaptureFixture[str]):
    folder_of(a=TASK, b=TASK.replace("verify:", "verfy:"), c=TASK.replace("write_file", "wrte_file"))
    with ScriptedServer([]) as server:
        assert run(server) == 2
        assert run(server, "--set", "wrod=x") == 2
        assert server.requests == []
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "agent: tasks/b/task.yaml:6: Unknown key `verfy`. Did you mean `verify`?"
    assert errors[1].startswith("tasks/c/task.yaml: ")
    assert "write_file" in errors[1]
    assert errors[2].startswith("agent: tasks/a/task.yaml: --set wrod=x: The task has no variable or key `wrod`.")


def test_a_folder_without_tasks_is_an_error(capsys: pytest.CaptureFixture[str]):
    Path("tasks", ".git").mkdir(parents=True)
    Path("tasks", ".git", "task.yaml").write_text(TASK)
    assert main(["run", "tasks"]) == 2
    assert capsys.readouterr().err == (
        "agent: No task found in 'tasks': neither task.yaml nor */task.yaml. Give a task file, a folder with a "
        "task.yaml, or a folder of such folders.\n"
    )


def test_a_folder_with_a_task_file_is_one_task(capsys: pytest.CaptureFixture[str]):
    folder_of(a=TASK, b=TASK)
    with ScriptedServer(writes("hello")) as server:
        assert main(["run", "tasks/b", "--base-url", server.url]) == 0
    assert capsys.readouterr().out.startswith("run 2")
    assert Path("tasks/b/room/hello.txt").exists()


MEET = '''\
import asyncio
from pathlib import Path
from agent import ToolContext, tool

@tool
async def meet(context: ToolContext[None]) -> str:
    """Wait until two are here."""
    here = Path(__file__).parents[1]
    (here / f"{context.workspace.name}.here").touch()
    for _ in range(1000):
        if len(list(here.glob("*.here"))) == 2:
            return "met"
        await asyncio.sleep(0.01)
    return "alone"
'''


def test_two_jobs_run_two_tasks_at_once(capsys: pytest.CaptureFixture[str]):
    task = "prompt: Meet.\ntools: ['../../meet.py:meet']\n"
    folder_of(a=task, b=task)
    Path("meet.py").write_text(MEET)
    with ScriptedServer([calls(("meet", {})), calls(("meet", {})), says("Met."), says("Met.")]) as server:
        assert run(server, "--jobs", "2") == 0
    assert [body["messages"][-1]["content"] for body in server.bodies[2:]] == ["met", "met"]
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 of 2 verified, 2 finished  400 prompt tokens, ")


def test_tasks_that_share_a_workspace_do_not_run_at_once(capsys: pytest.CaptureFixture[str]):
    shared = TASK.replace("{path: room, create: true}", "../shared")
    folder_of(a=shared, b=shared.replace("../shared", "../shared/inner"), c=shared)
    Path("tasks/shared/inner").mkdir(parents=True)
    with ScriptedServer(writes("hello") * 6) as server:
        assert run(server, "--jobs", "2") == 2
        assert server.requests == []
        assert run(server) == 0
        assert run(server, "--jobs", "3", "--set", "workspace.copy=true") == 0
    assert capsys.readouterr().err == (
        f"agent: The tasks 'a' and 'b' both work in '{Path.cwd()}/tasks/shared/inner', so they cannot run at the same "
        "time. Run them one after the other, without --jobs, or give each a copy: workspace: {path: ..., copy: true}.\n"
    )


def test_a_run_that_cannot_start_is_reported_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder_of(a=TASK, b=TASK.replace("path: room, create", "path: project, copy"), c=TASK)
    Path("tasks/b/project").mkdir()
    monkeypatch.setenv("AGENT_RUNS_DIR", str(tmp_path / "tasks" / "b" / "project" / "runs"))
    with ScriptedServer(writes("hello") * 2) as server:
        assert run(server) == 2
    printed = capsys.readouterr()
    assert lines_of(printed.out)[1:] == [
        "error          b  not started",
        "verified       c    2 steps       15 output tokens _ s  RUN  rung 0",
        "2 of 3 verified, 1 error  400 prompt tokens, 30 output tokens, _ s",
    ]
    begin = f"agent: tasks/b/task.yaml: The workspace '{tmp_path}/tasks/b/project' cannot be copied: "
    assert printed.err.startswith(begin)
    assert printed.err.count("\n") == 1


def test_the_error_for_an_answer_that_cannot_be_written_says_where_to_find_it(capsys: pytest.CaptureFixture[str]):
    folder_of(a="prompt: Say hello.\noutput: {file: task.yaml/answer.txt}\n", b="prompt: Say hello.\n")
    with ScriptedServer([says("Hello.")] * 3) as server:
        assert run(server) == 2
        assert main(["run", "tasks/a", "--base-url", server.url]) == 2
    printed = capsys.readouterr()
    name = printed.out.splitlines()[0].split("  rung")[0].split()[-1]
    assert [line.split()[0] for line in printed.out.splitlines()[:3]] == ["error", "finished", "0"]
    assert printed.err.splitlines()[0] == (
        f"agent: tasks/a/task.yaml: The answer cannot be written to '{Path.cwd()}/tasks/a/task.yaml/answer.txt': Not a "
        f"directory. It is in the journal: agent show {name} --full. Set `output.file` to another path."
    )


def test_an_unreachable_server_ends_the_batch(capsys: pytest.CaptureFixture[str]):
    folder_of(a=TASK, b=TASK)
    assert main(["run", "tasks", "--base-url", "http://127.0.0.1:9/v1"]) == 2
    printed = capsys.readouterr()
    assert lines_of(printed.out) == ["0 of 2 verified, 2 not run  0 prompt tokens, 0 output tokens, _ s"]
    assert printed.err.startswith("agent: No answer from http://127.0.0.1:9/v1/models: ")


def test_ctrl_c_ends_all_runs_and_reports_how_many_were_not_run():
    folder_of(a=TASK, b=TASK, c=TASK, d=TASK)
    with ScriptedServer([*writes("hello"), faults.stall(), faults.stall()]) as server:
        command = [sys.executable, "-m", "agent", "run", "tasks", "--base-url", server.url]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(server.bodies) < 3 and running.poll() is None:
            os.sched_yield()
        running.send_signal(signal.SIGINT)
        printed, errors = running.communicate(timeout=20)
    name = printed.splitlines()[1].split("  rung")[0].split()[-1]
    command = f"agent run --resume {name} --base-url {server.url}"
    assert (running.returncode, errors) == (130, f"\nInterrupted. Go on with:\n  {command}\n")
    assert lines_of(printed) == [
        "verified       a    2 steps       15 output tokens _ s  RUN  rung 0",
        "interrupted    b    0 steps        0 output tokens _ s  RUN  rung 0",
        "1 of 4 verified, 1 interrupted, 2 not run  200 prompt tokens, 15 output tokens, _ s",
    ]
    with ScriptedServer(writes("hello")) as server:
        assert main(["run", "--resume", "last", "--base-url", server.url]) == 0


def test_resume_and_a_folder_exclude_each_other(capsys: pytest.CaptureFixture[str]):
    folder_of(a=TASK)
    assert main(["run", "tasks", "--resume", "last"]) == 2
    assert capsys.readouterr().err == (
        "agent: --resume continues a run with its own task. Do not give a task file or folder as well.\n"
    )


@pytest.mark.parametrize("jobs", ["0", "-1", "many", "1.5"])
def test_jobs_are_a_number_or_auto(capsys: pytest.CaptureFixture[str], jobs: str):
    folder_of(a=TASK)
    with pytest.raises(SystemExit) as left:
        main(["run", "tasks", "--jobs", jobs])
    assert left.value.code == 2
    assert f"argument --jobs: must be 1 or more, or auto, got '{jobs}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ('vllm:cache_config_info{block_size="16",num_gpu_blocks="512"} 1.0', "jobs: 2, because the KV cache of URL "
         "holds 2 full windows."),
        ('vllm:cache_config_info{block_size="16",num_gpu_blocks="10"} 1.0', "jobs: 1, because the KV cache of URL "
         "holds no full window."),
        ("", "jobs: 1, because URL does not report the size of its KV cache. Give a number with --jobs."),
    ],
)  # fmt: skip
def test_auto_runs_as_many_tasks_at_once_as_the_kv_cache_holds(
    capsys: pytest.CaptureFixture[str], metrics: str, said: str
):
    """16 runs on a KV cache for four found 31 % of their prompts in it; four at a time found 80 %."""
    folder_of(a=TASK)
    text = f"# TYPE vllm:cache_config_info gauge\n{metrics}\n" if metrics else ""
    with ScriptedServer(writes("hello"), window_tokens=4_096, metrics=text) as server:
        assert run(server, "--jobs", "auto") == 0
        assert said.replace("URL", server.url) in capsys.readouterr().err


def test_a_dry_run_shows_each_task_and_sends_the_model_nothing(capsys: pytest.CaptureFixture[str]):
    folder_of(a=TASK, b=TASK)
    with ScriptedServer([]) as server:
        assert run(server, "--dry-run") == 0
        assert server.bodies == []
    printed = capsys.readouterr().out
    assert printed.startswith("== tasks/a/task.yaml\nsystem:\n")
    assert "\n\n== tasks/b/task.yaml\nsystem:\n" in printed


def test_the_pocket_model_is_started_once_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Two different `model` settings become two endpoints of one engine."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    python.chmod(0o755)
    for name, value in {"TRAMONTANE_ENGINE_PYTHON": python, "PIDS": tmp_path / "pids", "MODE": "chats"}.items():
        monkeypatch.setenv(name, str(value))
    folder_of(
        a="prompt: Hi.\nmodel: {name: pocket, stream: false}",
        b="prompt: Hi.\nmodel: {name: pocket, stream: false, profile: generic}",
    )
    assert main(["run", "tasks"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["finished", "finished", "0"]
    started = (tmp_path / "pids").read_text().splitlines()
    assert len(started) == 1
    assert not any(Path("/proc", pid).exists() for pid in started[0].split())
    assert printed.err.splitlines()[-1] == "Stopping the engine."
