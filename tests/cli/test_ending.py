"""Signals end `agent run` between two steps: with a reason, a way to go on, and within 8 s."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.cli import ending, main
from agent.cli.ending import ending_on_signals
from agent.journal.runs import runs_folder
from agent.messages import Reply
from agent.testing import ScriptedServer, calls, faults, says
from agent.testing.faults import Fault
from agent.testing.received import Received

TASK = "prompt: Go.\nworkspace: {path: work, create: true}\n"
SLOW = '''\
import os, signal, time
from agent import tool


@tool
def wait() -> str:
    """Wait for a signal, and longer."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20.0)
    return "Waited."
'''

pytestmark = pytest.mark.usefixtures("own_machine")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    path = tmp_path / "task.yaml"
    path.write_text(TASK)
    return path


def signalled(answer: Reply | Fault, number: int = signal.SIGTERM) -> Callable[[Received], Reply | Fault]:
    """Return an answer that sends this process a signal first."""

    def respond(_received: Received) -> Reply | Fault:
        os.kill(os.getpid(), number)
        return answer

    return respond


@contextmanager
def handled(number: int, handler: signal.Handlers) -> Generator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def last_events() -> list[dict[str, Any]]:
    """Return the last event of each run."""
    journals = runs_folder(os.environ).glob("*/journal.jsonl")
    return [json.loads(path.read_text().splitlines()[-1]) for path in journals]


def run_name() -> str:
    (journal,) = runs_folder(os.environ).glob("*/journal.jsonl")
    return journal.parent.name


@pytest.mark.parametrize(
    ("answers", "more"),
    [
        ([signalled(faults.stall(says("A long text."))), says("Done.")], ""),
        ([signalled(faults.http_error(503, headers={"Retry-After": "60"})), says("Done.")], ""),
        ([calls(("wait", {})), says("Done.")], "tools: ['./slow.py:wait']\n"),
    ],
    ids=["in a reply", "in a back-off", "in a call"],
)
def test_a_run_that_is_asked_to_end_says_so_and_how_to_go_on(
    task: Path, capsys: pytest.CaptureFixture[str], answers: list[Any], more: str
):
    """Its journal said "the run was interrupted", and nothing on the terminal said how to go on."""
    task.write_text(TASK + more)
    with ScriptedServer(answers) as server:
        assert main(["run", str(task), "--base-url", server.url]) == 130
        command = f"agent run --resume {run_name()} --base-url {server.url}"
        assert capsys.readouterr().err == f"\nInterrupted. Go on with:\n  {command}\n"
        (ended,) = last_events()
        reason = "the run was interrupted: it was asked to end (SIGTERM)"
        assert (ended["status"], ended["reason"]) == ("interrupted", reason)
        assert main(command.split()[1:]) == 0


def test_a_verification_ends_with_the_run(task: Path):
    task.write_text(TASK + "verify: touch begun; sleep 20\n")
    begun = task.parent / "work" / "begun"

    def end() -> None:
        while not begun.exists():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    with ScriptedServer([says("Done.")]) as server:
        assert main(["run", str(task), "--base-url", server.url]) == 130
    assert [event["status"] for event in last_events()] == ["interrupted"]


def test_a_background_job_of_a_script_can_be_asked_to_end(task: Path):
    """Shells start those with SIGINT ignored, and SIGTERM was then ignored too."""
    answers = [signalled(faults.slow(says("Done."), delay_s=1.0))]
    with ScriptedServer(answers) as server, handled(signal.SIGINT, signal.SIG_IGN):
        assert main(["run", str(task), "--base-url", server.url]) == 130


def test_a_run_under_nohup_outlives_its_terminal(task: Path):
    """It ended with 130."""
    answers = [signalled(says("Done."), signal.SIGHUP)]
    with ScriptedServer(answers) as server, handled(signal.SIGHUP, signal.SIG_IGN):
        assert main(["run", str(task), "--base-url", server.url]) == 0


def test_all_runs_of_a_folder_end_with_the_reason(task: Path, capsys: pytest.CaptureFixture[str]):
    for name in "abc":
        folder = task.parent / "tasks" / name
        folder.mkdir(parents=True)
        (folder / "task.yaml").write_text(TASK)
    both = threading.Barrier(2)

    def respond(_received: Received) -> Fault:
        threading.Thread(target=end, daemon=True).start()
        return faults.stall(says("A long text."))

    def end() -> None:
        if both.wait() == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    with ScriptedServer([respond, respond]) as server:
        assert main(["run", str(task.parent / "tasks"), "--jobs", "2", "--base-url", server.url]) == 130
    reason = "the run was interrupted: it was asked to end (SIGTERM)"
    assert [event["reason"] for event in last_events()] == [reason, reason]
    printed = capsys.readouterr()
    assert "2 interrupted, 1 not run" in printed.out
    assert re.fullmatch(
        rf"\nInterrupted\. Go on with:(\n  agent run --resume \S+ --base-url {re.escape(server.url)}){{2}}\n",
        printed.err,
    )


def test_a_server_that_stays_away_is_no_dead_end(task: Path, capsys: pytest.CaptureFixture[str]):
    refused = faults.http_error(401, "no key")
    with ScriptedServer([refused]) as server:
        assert main(["run", str(task), "--base-url", server.url]) == 2
    assert capsys.readouterr().err == f"Go on with:\n  agent run --resume {run_name()} --base-url {server.url}\n"


class Exited(BaseException):
    """Raised instead of the end of the process."""


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is written before the process would end at once."""
    written = list[str]()

    def end(code: int) -> None:
        raise Exited(code)

    def write(_descriptor: int, data: bytes) -> None:
        written.append(data.decode())

    monkeypatch.setattr(ending, "os", SimpleNamespace(write=write, _exit=end))
    return written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(exits: list[str], monkeypatch: pytest.MonkeyPatch, number: int):
    """A tool that swallowed its cancellation kept the process alive through any number of them."""
    monkeypatch.setattr(ending, "_SAME_S", 0.0)
    with ending_on_signals(ends_process=False):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Exited, match="130"):
            signal.raise_signal(number)
    assert exits == ["\nEnded at once, by a second signal.\n"]


def test_a_signal_that_is_sent_twice_is_one(exits: list[str]):
    """`timeout` and closed terminals do that."""
    with ending_on_signals(ends_process=False):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
    assert exits == []


@pytest.mark.parametrize("is_over", [False, True], ids=["in the command", "in threads after it"])
def test_what_does_not_end_is_ended(exits: list[str], monkeypatch: pytest.MonkeyPatch, is_over: bool):
    """A tool with a pool of threads kept an ended process alive, since the interpreter waits for pools."""
    ended = threading.Event()
    monkeypatch.setattr(ending, "_CLEAN_S", 0.2)

    def end(_code: int) -> None:
        ended.set()

    monkeypatch.setattr(ending.os, "_exit", end)
    with ending_on_signals(ends_process=is_over):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert is_over or ended.wait(10.0)
    assert ended.wait(10.0)
    assert exits == ["\nEnded at once, because something did not end within 0 s.\n"]
