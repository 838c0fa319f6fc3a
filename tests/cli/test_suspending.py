"""Ctrl-Z suspends runs: the time until they go on counts for no limit and no timeout."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.cli import suspending
from agent.cli.suspending import run_suspendable
from agent.testing import ScriptedServer, says
from agent.testing.received import Received


@pytest.fixture
def stopped_for(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list of how many seconds each next stop of the process pretends to take."""
    each, passed_s = list[float](), [0.0]

    def stop(number: int) -> None:
        assert number == signal.SIGSTOP
        passed_s[0] += each.pop(0)

    monkeypatch.setattr(suspending, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s[0]))
    monkeypatch.setattr(suspending.signal, "raise_signal", stop)
    return each


def test_a_suspended_process_meets_no_timeout_when_it_goes_on(
    stopped_for: list[float], capsys: pytest.CaptureFixture[str]
):
    async def work() -> float:
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(30):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTSTP)
                await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time() - began

    stopped_for += [3_600.0, 600.0]
    assert 0.0 < run_suspendable(work()) < 30.0
    assert capsys.readouterr().err == (
        "\nagent: going on after 3,600 s, which do not count for the limits.\n"
        "\nagent: going on after 600 s, which do not count for the limits.\n"
    )


def test_a_process_that_is_stopped_from_outside_meets_no_timeout_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """SIGSTOP cannot be noticed: the time until SIGCONT, as of a batch system, counted."""
    passed_s = 0.0

    async def work() -> None:
        nonlocal passed_s
        async with asyncio.timeout(30):
            await asyncio.sleep(0.01)
            passed_s = 3_600.0
            os.kill(os.getpid(), signal.SIGCONT)
            await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGCONT)  # twice is harmless, as is one without a stop
            await asyncio.sleep(0.01)

    monkeypatch.setattr(suspending, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s))
    run_suspendable(work())
    assert capsys.readouterr().err == "\nagent: going on after 3,600 s, which do not count for the limits.\n"


def test_the_handler_of_the_program_is_put_back():
    async def work() -> object:
        return signal.getsignal(signal.SIGTSTP)

    before = signal.getsignal(signal.SIGTSTP)
    assert run_suspendable(work()) is not before
    assert signal.getsignal(signal.SIGTSTP) is before


def test_a_run_that_was_suspended_is_not_over_its_limit_of_time(own_machine: None, tmp_path: Path):
    """It ended as `budget`, with the time that it was suspended for."""
    processes: list[subprocess.Popen[str]] = []

    def suspends(_received: Received) -> object:
        processes[0].send_signal(signal.SIGTSTP)
        until = time.monotonic() + 20.0
        while " T " not in Path(f"/proc/{processes[0].pid}/stat").read_text().rpartition(")")[2][:3]:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(3.2)
        processes[0].send_signal(signal.SIGCONT)
        return says("Done.")

    (tmp_path / "task.yaml").write_text("prompt: Go.\nlimits: {wall_s: 3}\n")
    with ScriptedServer([suspends]) as server:
        command = [sys.executable, "-m", "agent", "run", str(tmp_path / "task.yaml"), "--base-url", server.url]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            processes.append(process)
            output, _ = process.communicate(timeout=60.0)
    assert process.returncode == 0, output
    assert "going on after 3 s, which do not count for the limits." in output
