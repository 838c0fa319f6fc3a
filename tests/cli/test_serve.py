"""Test `agent serve` end to end, with a small fake engine."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.cli import main
from agent.cli.progress import ProgressLine
from agent.cli.serve import add_arguments
from agent.cli.serve_status import LoadLine
from serving import ServerRecord, current_server
from serving.progress import Progress
from serving.running.marks import new_mark
from serving.running.process_group import free_port, identify
from serving.running.record import read_record, write_record

if TYPE_CHECKING:
    from conftest import StartMarked

FAKE = Path(__file__).parents[1] / "data" / "fake_engine.py"
NO_SERVER = "No server is recorded on this machine. Start one: agent serve, or without a GPU: agent serve pocket\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home folder, and a fake engine."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    program.chmod(0o755)
    settings = {
        "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PIDS": str(tmp_path / "pids"),
        "TRAMONTANE_ENGINE_PYTHON": str(program), "MODE": "",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("AGENT_DEBUG", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    main(["serve", "stop"])
    assert left_running(tmp_path) == []


def pocket() -> list[str]:
    """Return the command with a free port: other programs on this machine may use the default one."""
    return ["serve", "pocket", "--port", str(free_port())]


def state(home: Path) -> Path:
    return home / "state" / "tramontane"


def left_running(home: Path) -> list[int]:
    written = home / "pids"
    pids = [int(word) for word in written.read_text().split()] if written.exists() else []
    return [pid for pid in pids if identify(pid) is not None]


def until(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        os.sched_yield()
    assert condition()


def recorded(home: Path) -> ServerRecord:
    record = read_record(state(home))
    assert record is not None
    return record


def test_a_kept_server_is_started_and_status_logs_and_stop_work(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*pocket(), "--keep"]) == 0
    record = recorded(home)
    started = capsys.readouterr()
    assert started.out == (
        f"pocket answers at {record.base_url} (process {record.pid}, log {record.log}).\n"
        "`agent run` finds it automatically. It is restarted if it dies; stop it with: agent serve stop\n"
    )
    assert re.sub(r"^ +[\d.]+ s +", "", started.err, flags=re.M).splitlines() == [
        "importing: starting Python and the engine; no output for about 10 s",
        "loading weights: reading the checkpoint",
        "first answer: the server is listening; requesting one token",
        f"ready: pocket answers at {record.base_url}",
    ]

    assert main(["serve", "status"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"pocket at {record.base_url}: ready since \d{{4}}-\d\d-\d\d [\d:]{{8}} \(0:00:\d\d\)", first)
    assert rest == [
        "  2 requests running, 1 waiting, KV cache 25% used",
        f"  process {record.pid}, supervisor {record.supervisor_pid}, log {record.log}",
    ]

    assert main(["serve", "logs", "-n", "1"]) == 0
    assert "Starting to load model /m...\n" in capsys.readouterr().out

    assert main([*pocket(), "--keep"]) == 2
    assert capsys.readouterr().err == (
        f"agent: Cannot start pocket: a server is already running here, 'pocket' at {record.base_url} (ready).\n"
        "Now:   Use it, or stop it first: agent serve stop.\n"
    )
    assert main(["serve", "stop"]) == 0
    assert capsys.readouterr().out == f"Stopped pocket at {record.base_url}.\n"
    assert left_running(home) == []
    assert main(["serve", "status"]) == 1
    assert main(["serve", "stop"]) == 0
    assert capsys.readouterr().out == NO_SERVER * 2


@pytest.fixture
def no_nohup() -> Iterator[None]:
    """Restore the default SIGHUP handling for child processes, since the tests may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("no_nohup")
def test_in_the_foreground_it_serves_until_a_signal_and_leaves_no_process(home: Path):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with subprocess.Popen([sys.executable, "-m", "agent", *pocket()], stderr=subprocess.PIPE, text=True) as serving:
            assert serving.stderr is not None
            assert any("Ctrl-C stops it." in line for line in serving.stderr)
            assert (recorded(home).state, recorded(home).supervisor_pid) == ("ready", serving.pid)
            serving.send_signal(number)
            assert serving.wait(timeout=30) == 0
            assert "Traceback" not in serving.stderr.read()
        assert left_running(home) == []
        assert read_record(state(home)) is None


def test_terminating_the_command_that_waits_for_a_kept_server_stops_the_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MODE", "silent")
    with subprocess.Popen(
        [sys.executable, "-m", "agent", *pocket(), "--keep"], stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stderr is not None
        assert any("loading weights" in line for line in waiting.stderr)
        waiting.terminate()
        assert waiting.wait(timeout=60) == 130
    assert left_running(home) == []
    assert read_record(state(home)) is None


def test_the_command_that_waits_for_a_kept_server_reports_that_it_was_stopped(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MODE", "silent")
    with subprocess.Popen(
        [sys.executable, "-m", "agent", *pocket(), "--keep"], stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stderr is not None
        assert any("loading weights" in line for line in waiting.stderr)
        assert main(["serve", "stop"]) == 0
        assert waiting.stderr.read() == (
            "agent: Another process stopped the server.\nNow:   Start again if that was not intended.\n"
        )
        assert waiting.wait(timeout=60) == 2


def test_a_start_that_runs_out_of_memory_prints_the_command_that_fits(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("MODE", "small")
    serve = [*pocket(), "--keep"]
    assert main(serve) == 2
    printed = capsys.readouterr().err
    assert printed[printed.index("agent: ") :].splitlines()[0] == (
        "agent: The engine exited with status 1 while starting."
    )
    (log,) = (state(home) / "logs").iterdir()
    assert f"Log:   {log}\n" in printed
    assert printed.endswith(
        "       The nearest plan that fits: cap the context at 4,096 tokens:\n"
        f"       agent serve pocket --context 4096 --max-num-seqs 8 --enforce-eager --port {serve[3]} --keep\n"
        "       To try it automatically: --fit\n"
    )


def test_with_fit_it_is_started_with_the_nearest_plan(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("MODE", "small")
    assert main([*pocket(), "--keep", "--fit"]) == 0
    assert recorded(home).max_model_len == 4096
    assert "Retrying with the nearest plan that fits: cap the context at 4,096 tokens" in capsys.readouterr().err


def no_gpus(args: argparse.Namespace, environ: object) -> None:
    """Find no GPU, even on a machine with GPUs."""


def test_serving_on_gpus_without_any_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("agent.cli.serve_start.gpus_of", no_gpus)
    assert main(["serve"]) == 2
    printed = capsys.readouterr().err
    assert printed.splitlines()[0] == "agent: Cannot serve Mistral Medium 3.5 128B here: no NVIDIA GPU was found."
    assert printed.endswith(
        "Now:   To try function calling on the CPU with a tiny model: agent serve pocket\n"
        "       To see which GPUs are needed: agent plan --gpus h200:4\n"
    )


def test_a_dry_run_prints_the_command_and_starts_nothing(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "--gpus", "h200:4", "--context", "32k", "--port", "8123", "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("# mistralai/Mistral-Medium-3.5-128B at http://127.0.0.1:8123/v1\n")
    assert "    --max-model-len 32768 " in printed.out
    assert not (home / "pids").exists()
    assert not state(home).exists()


def test_a_dry_run_that_does_not_fit_names_the_command_that_shows_this_very_plan(capsys: pytest.CaptureFixture[str]):
    """It named `agent plan` without the options, which shows another plan."""
    assert main(["serve", "--gpus", "h100:1", "--context", "32k", "--dry-run"]) == 1
    assert capsys.readouterr().err == (
        "This plan does not fit. To see why, and what would fit: agent plan --gpus h100:1 --context 32768 "
        "--engine-version 0.32.0\n"
    )


def test_a_dry_run_of_what_may_not_fit_said_nothing_and_exited_with_0(capsys: pytest.CaptureFixture[str]):
    options = ["--gpus", "h100:2", "--context", "8k"]
    assert main(["plan", *options]) == 1
    assert "probably starts" in capsys.readouterr().out
    assert main(["serve", *options, "--dry-run"]) == 1
    printed = capsys.readouterr()
    assert "--max-model-len 8192 " in printed.out
    assert printed.err == (
        "This plan may not fit: its estimate is a range. To see why, and what would fit: "
        "agent plan --gpus h100:2 --context 8192 --engine-version 0.32.0\n"
    )


def test_a_python_that_does_not_exist_is_reported(capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "pocket", "--python", "/no/such"]) == 2
    assert capsys.readouterr().err == (
        "agent: Cannot start pocket: --python '/no/such' is not a file.\n"
        "Now:   Give a Python interpreter with the engine installed.\n"
    )


def test_processes_left_by_a_killed_server_are_shown_by_status_and_stopped_by_stop(
    home: Path, capsys: pytest.CaptureFixture[str], start_marked: StartMarked
):
    mark = new_mark()
    worker = start_marked(mark)
    write_record(
        ServerRecord(
            base_url="http://127.0.0.1:1/v1", model="m", engine="vllm", pid=999_999_999, start_ticks=1,
            started_at="2026-11-23T16:00:00+00:00", log="/log", max_model_len=1, supervisor_pid=999_999_998,
            supervisor_start_ticks=1, mark=mark,
        ),
        state(home),
    )  # fmt: skip

    assert main(["serve", "status"]) == 1
    assert capsys.readouterr().out == (
        "m at http://127.0.0.1:1/v1: not running, and neither is its supervisor\n"
        f"  still running: processes {worker.pid} of its engine. Stop them: agent serve stop\n"
        "  log /log\n"
    )
    assert main(["serve", "stop"]) == 0
    assert capsys.readouterr().out == "Stopped m at http://127.0.0.1:1/v1.\n"
    assert worker.wait() == -signal.SIGTERM


def test_a_failed_server_is_shown_with_its_reason_until_it_is_stopped(home: Path, capsys: pytest.CaptureFixture[str]):
    failed = ServerRecord(
        base_url="http://127.0.0.1:1/v1", model="m", engine="vllm", pid=0, start_ticks=0, started_at="", log="/log",
        max_model_len=1, state="failed", detail="It died 6 times.", restarts=5, last_death="It fell.",
    )  # fmt: skip
    write_record(failed, state(home))
    assert main(["serve", "status"]) == 1
    assert capsys.readouterr().out == (
        "m at http://127.0.0.1:1/v1: failed\n"
        "  It died 6 times.\n"
        "  restarts: 5; cause of the last: It fell.\n"
        "  log /log\n"
    )
    assert main(["serve", "stop"]) == 0
    assert capsys.readouterr().out == "m was not running any more.\n"
    assert read_record(state(home)) is None


def test_followed_logs_continue_in_the_log_of_the_next_start_and_end_with_the_server(home: Path):
    assert main([*pocket(), "--keep"]) == 0
    first = recorded(home)
    command = [sys.executable, "-m", "agent", "serve", "logs", "-f", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert "Starting to load model" in following.stdout.readline()
        os.kill(first.pid, signal.SIGKILL)
        assert "Starting to load model" in following.stdout.readline()
        until(lambda: recorded(home).restarts == 1 and recorded(home).state == "ready")
        main(["serve", "stop"])
        assert "Shutting down" in following.stdout.read()
        assert following.wait(timeout=30) == 0


def test_a_server_without_a_log_yet_has_no_log_lines(home: Path, capsys: pytest.CaptureFixture[str]):
    write_record(a_dead_one(log=""), state(home))
    assert main(["serve", "logs", "-f"]) == 0
    assert main(["serve", "status"]) == 1
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out == (
        "m at http://127.0.0.1:1/v1: not running, and neither is its supervisor\n"
        "  no log yet\n"
        "m at http://127.0.0.1:1/v1: not running, and neither is its supervisor\n"
    )


def test_doctor_reports_that_the_recorded_server_is_gone_and_what_its_log_shows(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    log = home / "vllm.log"
    log.write_text("(APIServer pid=1) INFO 11-23 15:47:18 [launcher.py:1] Shutting down\n")
    write_record(a_dead_one(log=str(log)), state(home))

    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        "m at http://127.0.0.1:1/v1: not running, and neither is its supervisor",
        f"{log}: No problems in 1 line.",
    ]
    assert main(["doctor", "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "m at http://127.0.0.1:1/v1: not running, and neither is its supervisor\n"
    assert json.loads(printed.out)["log"] == str(log)


def test_the_load_line_of_a_server_that_reports_no_load_does_not_end_with_a_colon(home: Path):
    me = identify(os.getpid())
    assert me is not None
    silent = replace(a_dead_one(log=""), pid=0, supervisor_pid=me.pid, supervisor_start_ticks=me.start_ticks)
    write_record(silent, state(home))
    assert LoadLine()() == "m at http://127.0.0.1:1/v1: reports no load"


def test_the_status_of_a_server_that_starts_without_a_detail_has_no_empty_line_for_it(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    """It said "now: ", and nothing after it."""
    me = identify(os.getpid())
    assert me is not None
    starting = replace(
        a_dead_one(log=""), state="starting", pid=0, supervisor_pid=me.pid, supervisor_start_ticks=me.start_ticks
    )
    write_record(starting, state(home))
    assert main(["serve", "status"]) == 1
    assert capsys.readouterr().out == (
        f"m at http://127.0.0.1:1/v1: starting\n  no process, supervisor {me.pid}, no log yet\n"
    )


def test_doctor_does_not_probe_a_server_that_is_still_starting(home: Path, capsys: pytest.CaptureFixture[str]):
    me = identify(os.getpid())
    assert me is not None
    starting = replace(
        a_dead_one(log=""), state="starting", pid=0, supervisor_pid=me.pid, supervisor_start_ticks=me.start_ticks
    )
    write_record(starting, state(home))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == "m at http://127.0.0.1:1/v1: starting\n"


def a_dead_one(*, log: str) -> ServerRecord:
    return ServerRecord(
        base_url="http://127.0.0.1:1/v1", model="m", engine="vllm", pid=999_999_999, start_ticks=1,
        started_at="2026-11-23T16:00:00+00:00", log=log, max_model_len=1,
    )  # fmt: skip


def test_an_impossible_port_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "pocket", "--port", "70000"]) == 2
    assert capsys.readouterr().err == (
        "agent: Cannot start pocket: port 70000 on 127.0.0.1 is in use or not permitted.\n"
        "Now:   Choose another one: --port N. Without --port, a free one is chosen.\n"
    )


def test_an_address_of_another_machine_is_refused(home: Path, capsys: pytest.CaptureFixture[str]):
    key = home / "key"
    key.write_text("k\n")
    key.chmod(0o600)
    assert main(["serve", "pocket", "--host", "192.0.2.1", "--api-key-file", str(key)]) == 2  # RFC 5737
    assert capsys.readouterr().err == (
        "agent: Cannot start pocket: port 8000 on 192.0.2.1 is in use or not permitted.\n"
        "Now:   Choose another one: --port N. Without --port, a free one is chosen.\n"
    )


def test_a_run_finds_the_key_of_the_recorded_server(home: Path):
    from agent.cli.discovery import EndpointRequest, find_endpoint
    from agent.task.parts import TaskModel

    key = home / "key"
    key.write_text("s3cret\n")
    key.chmod(0o600)
    assert main([*pocket(), "--keep", "--api-key-file", str(key)]) == 0
    found = find_endpoint(EndpointRequest(base_url=None, model=None), TaskModel(), os.environ)
    assert found is not None
    assert (found.base_url, found.api_key) == (recorded(home).base_url, "s3cret")
    own = find_endpoint(
        EndpointRequest(base_url=None, model=None), TaskModel(), {**os.environ, "AGENT_API_KEY": "mine"}
    )
    assert own is not None
    assert own.api_key == "mine"
    assert not any("s3cret" in path.read_text() for path in state(home).rglob("*") if path.is_file())


def test_a_restarting_server_is_current_but_a_failed_one_is_not(home: Path):
    me = identify(os.getpid())
    assert me is not None
    record = ServerRecord(
        base_url="http://127.0.0.1:1/v1", model="m", engine="vllm", pid=0, start_ticks=0, started_at="", log="",
        max_model_len=1, supervisor_pid=me.pid, supervisor_start_ticks=me.start_ticks, state="restarting",
    )  # fmt: skip
    write_record(record, state(home))
    assert current_server(state(home)) == record
    write_record(replace(record, state="failed"), state(home))
    assert current_server(state(home)) is None
    write_record(replace(record, supervisor_start_ticks=1), state(home))
    assert current_server(state(home)) is None


def test_the_updating_line_keeps_the_last_line_of_each_phase(monkeypatch: pytest.MonkeyPatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with ProgressLine(lambda: "") as view:
        view.show(Progress(phase="importing", elapsed_s=1.0, detail="a"))
        view.show(Progress(phase="importing", elapsed_s=2.0, detail="b"))
        view.note("Something else.")
        view.show(Progress(phase="ready", elapsed_s=3.0, detail="c"))
    assert re.sub(r"[\d.]+ s", "N", written.getvalue().replace("\r\x1b[2K", "<")).replace("     N", "N") == (
        "<N  importing: a<N  importing: b<Something else.\n\n<N  ready: c\n"
    )


def test_the_help_of_serve_names_the_subcommands():
    parser = argparse.ArgumentParser(prog="agent serve")
    add_arguments(parser)
    assert parser.parse_args(["status"]).model == "status"
    assert "Instead of a model: `agent serve status`, `agent serve stop`, `agent serve logs`." in parser.format_help()
    assert json.dumps(vars(parser.parse_args([]))["model"]) == "null"
