"""`agent run` as a user starts it, with the real engine: verified, counted, interrupted, killed and resumed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from pydantic import TypeAdapter

from agent.journal.events import CallEnded, CallStarted, Event, Replied, Resumed, RunEnded, RunStarted
from agent.journal.journal import read_journal

if TYPE_CHECKING:
    from conftest import LiveEngine

pytestmark = pytest.mark.engine

EventT = TypeVar("EventT")

EXAMPLE = Path(__file__).parents[2] / "examples" / "first_task"

SLOW_TASK = """\
name: slow
prompt: What is the weather in Paris?
tools: ["./slow.py:get_weather"]
workspace: {path: workspace, create: true}
limits: {steps: 6}
"""

SLOW_TOOL = '''\
"""A tool that hangs until it is allowed to answer."""

import time

from agent import ToolContext, tool


@tool
def get_weather(city: str, context: ToolContext[None]) -> str:
    """Get weather"""
    for _ in range(600):
        if (context.workspace / "go").exists():
            return "18 C"
        time.sleep(0.1)
    return "too late"
'''


class Command:
    """The `agent` command in an environment without other servers and runs."""

    def __init__(self, engine: LiveEngine, folder: Path) -> None:
        self.folder = folder
        self._server = ["--base-url", engine.base_url]
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "AGENT_RUNS_DIR": str(folder / "runs")}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.call("run", *arguments, *self._server)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agent", *arguments],
            cwd=self.folder, env=self._environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "agent", "run", *arguments, *self._server],
            cwd=self.folder, env=self._environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    @property
    def journal(self) -> Path:
        """The journal of the only run."""
        (journal,) = self.folder.glob("runs/*/journal.jsonl")
        return journal


@pytest.fixture
def command(engine: LiveEngine, tmp_path: Path) -> Command:
    shutil.copytree(EXAMPLE, tmp_path / "first_task", ignore=shutil.ignore_patterns("out"))
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "task.yaml").write_text(SLOW_TASK)
    (tmp_path / "slow" / "slow.py").write_text(SLOW_TOOL)
    return Command(engine, tmp_path)


def of_kind(kind: type[EventT], events: Sequence[Event]) -> list[EventT]:
    return [event for event in events if isinstance(event, kind)]


def test_the_first_task_ends_verified(command: Command):
    done = command.run("first_task/task.yaml", "--set", "word=tramontane")
    assert (done.returncode, done.stderr) == (0, "")
    assert "verified" in done.stdout
    assert (command.folder / "first_task/workspace/out/word.txt").read_text().strip() == "tramontane"

    shown = command.call("show", "last")
    assert shown.returncode == 0
    assert "verified" in shown.stdout
    titles, line = command.call("runs").stdout.splitlines()
    assert titles.split()[-3:] == ["status", "task", "model"]
    assert line.split()[-3:] == ["verified", "first-task", "pocket"]


def test_json_lines_equal_the_journal_and_the_dry_run_counts_the_engines_prompt_tokens(command: Command):
    task = ("first_task/task.yaml", "--set", "word=mistral")
    counted = command.run(*task, "--dry-run")
    assert (counted.returncode, counted.stderr) == (0, "")
    assert not (command.folder / "runs").exists()

    done = command.run(*task, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    events = [TypeAdapter[Event](Event).validate_json(line) for line in done.stdout.splitlines()]
    assert tuple(events) == read_journal(command.journal)
    assert isinstance(events[0], RunStarted)
    assert (events[0].model, events[0].window_tokens) == ("pocket", 8192)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "verified"

    usage = of_kind(Replied, events)[0].reply.usage
    assert usage is not None
    found = re.search(r"^tokens: ([\d,]+) of 8,192, counted by ", counted.stdout, re.M)
    assert found is not None
    assert int(found.group(1).replace(",", "")) == usage.prompt_tokens


def wait_for_the_call(run: subprocess.Popen[str]) -> None:
    """Return when the tool is running."""
    assert run.stdout is not None
    for line in run.stdout:
        if '"kind":"call_started"' in line:
            return
    pytest.fail(f"The run ended without a call: {run.communicate()}")


def test_ctrl_c_during_a_call_ends_as_interrupted_with_a_complete_journal(command: Command):
    with command.start("slow/task.yaml", "--json") as run:
        wait_for_the_call(run)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=20)
    assert run.returncode == 130
    assert "Traceback" not in errors
    ended = read_journal(command.journal)[-1]
    assert isinstance(ended, RunEnded)
    assert ended.status == "interrupted"
    assert command.journal.read_bytes().endswith(b"}\n")


def test_a_killed_run_resumes_and_reports_the_unfinished_call_to_the_model(command: Command):
    with command.start("slow/task.yaml", "--json") as run:
        wait_for_the_call(run)
        run.kill()
    assert run.returncode == -signal.SIGKILL
    (begun,) = of_kind(CallStarted, read_journal(command.journal))
    (command.folder / "slow/workspace/go").touch()

    done = command.run("--resume", "last")
    assert (done.returncode, done.stderr) == (0, "")
    events = read_journal(command.journal)
    assert len(of_kind(Resumed, events)) == 1
    results = {event.result.tool_call_id: event.result for event in of_kind(CallEnded, events)}
    assert results[begun.tool_call_id].status == "interrupted"
    # It was not run again; if the model requested it again, that is another call.
    assert [event.tool_call_id for event in of_kind(CallStarted, events)].count(begun.tool_call_id) == 1
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "finished"
