"""Test starting and stopping an engine, with a small fake server; no process may be left running."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import Engine, EngineError, Progress, current_server, pocket_engine, stop_server
from serving.capacity.calibration import calibration_path, lookup
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.directories import state_dir
from serving.engines import engine_command
from serving.engines.command import ServeOptions
from serving.running.death import EngineDied
from serving.running.postmortem import read_summary
from serving.running.process_group import free_port, identify, is_alive, spawn, stop_group
from serving.running.record import read_record
from serving.running.watchdog import Watchdog

FAKE = Path(__file__).parents[1] / "data" / "fake_engine.py"


@pytest.fixture
def engine_python(tmp_path: Path) -> Path:
    program = tmp_path / "python"
    # A shell script drops -P and -m, since a `#!` line takes only one argument.
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    program.chmod(0o755)
    return program


def an_environ(tmp_path: Path, python: Path, mode: str = "") -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TRAMONTANE_ENGINE_PYTHON": str(python),
        "PIDS": str(tmp_path / "pids"),
        "MODE": mode,
    }


def left_running(tmp_path: Path) -> list[int]:
    written = tmp_path / "pids"  # Missing if the engine was stopped at once.
    pids = [int(word) for word in written.read_text().split()] if written.exists() else []
    return [pid for pid in pids if identify(pid) is not None]


def test_start_returns_a_server_that_answers_and_stop_leaves_no_process(tmp_path: Path, engine_python: Path):
    reports: list[Progress] = []

    with pocket_engine(environ=an_environ(tmp_path, engine_python)) as engine:
        record = engine.start(reports.append)
        with urllib.request.urlopen(record.base_url.removesuffix("/v1") + "/health") as reply:
            assert reply.status == 200
        assert len(left_running(tmp_path)) == 2

    assert left_running(tmp_path) == []
    assert "Starting to load model" in Path(record.log).read_text()
    assert (record.model, record.engine, record.max_model_len) == ("pocket", "vllm", 8192)
    assert [(report.phase, report.detail) for report in reports if report.phase != "loading weights"] == [
        ("importing", "starting Python and the engine; no output for about 10 s"),
        ("first answer", "the server is listening; requesting one token"),
        ("ready", f"pocket answers at {record.base_url}"),
    ]
    assert [report.elapsed_s for report in reports] == sorted(report.elapsed_s for report in reports)


def test_a_kept_server_is_found_and_stopped_through_its_record(tmp_path: Path, engine_python: Path):
    state = tmp_path / "state" / "tramontane"
    engine = pocket_engine(environ=an_environ(tmp_path, engine_python))
    with engine:
        record = engine.start(keep=True)

    assert current_server(state) == record
    assert identify(record.supervisor_pid) is not None
    with pytest.raises(EngineError) as caught:
        pocket_engine(environ=an_environ(tmp_path, engine_python)).start(keep=True)
    assert str(caught.value) == (
        f"A server is already running here: 'pocket' at {record.base_url}, process {record.pid}, ready.\n"
        "Now:   Use it, or stop it first: agent serve stop."
    )
    assert stop_server(record, state) is True
    assert read_record(state) is None
    assert identify(record.supervisor_pid) is None
    assert left_running(tmp_path) == []


def test_an_engine_is_not_started_twice(tmp_path: Path, engine_python: Path):
    with pocket_engine(environ=an_environ(tmp_path, engine_python)) as engine:
        record = engine.start()
        with pytest.raises(EngineError) as caught:
            engine.start()
    assert str(caught.value) == (
        f"This engine is already running: 'pocket' at {record.base_url}.\nNow:   Use it, or stop it first."
    )


def test_an_engine_that_exits_while_starting_is_reported_with_cause_and_log(tmp_path: Path, engine_python: Path):
    engine = pocket_engine(environ=an_environ(tmp_path, engine_python, "dies"))

    with pytest.raises(EngineDied) as caught:
        engine.start()

    (log,) = (tmp_path / "state" / "tramontane" / "logs").iterdir()
    assert caught.value.diagnosis is not None
    assert caught.value.diagnosis.symptom == "kv_too_small"
    assert str(caught.value) == (
        "The engine exited with status 1 while starting.\n"
        f"Cause: {caught.value.diagnosis.cause}\n"
        f"       {caught.value.diagnosis.evidence}\n"
        f"Log:   {log}\n"
        f"Now:   {caught.value.diagnosis.fix}"
    )
    assert left_running(tmp_path) == []


def test_an_engine_that_refuses_the_first_request_is_not_ready(tmp_path: Path, engine_python: Path):
    engine = pocket_engine(environ=an_environ(tmp_path, engine_python, "refuses"))

    with pytest.raises(EngineError) as caught:
        engine.start()

    assert json.loads(caught.value.cause) == {
        "asked": {"model": "pocket", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1},
        "error": "no force_tool_names",
    }
    assert left_running(tmp_path) == []


def test_an_engine_that_dies_in_the_middle_of_its_first_answer_is_reported_as_dead(tmp_path: Path, engine_python: Path):
    engine = pocket_engine(environ=an_environ(tmp_path, engine_python, "cuts"))

    with pytest.raises(EngineDied) as caught:
        engine.start()

    assert caught.value.cause == "IncompleteRead(1 bytes read, 99 more expected)"
    assert left_running(tmp_path) == []


def test_another_server_on_the_port_is_not_mistaken_for_the_engine(tmp_path: Path, engine_python: Path):
    environ = an_environ(tmp_path, engine_python)
    with pocket_engine(environ=environ) as first:
        url = first.start().base_url
        with pytest.raises(EngineError) as caught:
            pocket_engine(int(url.removesuffix("/v1").rpartition(":")[2]), environ=environ).start()
        assert len(left_running(tmp_path)) == 2

    assert str(caught.value) == (
        f"Cannot start the engine: another server already answers at {url.removesuffix('/v1')}/health.\n"
        "Now:   Use that server, stop it, or choose another port."
    )


def test_versions_known_to_break_are_refused_before_anything_starts(tmp_path: Path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"vllm": "0.32.0", "mistral_common": "1.13.1", "transformers": "5.19.0"}\'\n')
    python.chmod(0o755)

    with pytest.raises(EngineError) as caught:
        pocket_engine(environ=an_environ(tmp_path, python)).start()

    assert caught.value.what == (
        "vLLM 0.32.0 with mistral_common 1.13.1: the server would start, but reject every chat request."
    )
    assert caught.value.do == f'{python} -m pip install "mistral_common>=1.11.6,<1.13"'
    assert not (tmp_path / "state").exists()


def test_a_key_from_the_environment_that_requests_would_not_send_is_refused(tmp_path: Path, engine_python: Path):
    environ = {**an_environ(tmp_path, engine_python), "VLLM_API_KEY": "s3cr3t"}

    with pytest.raises(EngineError) as caught:
        pocket_engine(environ=environ).start()

    assert str(caught.value) == (
        "Cannot start the engine: VLLM_API_KEY is set, and no key file is given.\n"
        "Cause: vLLM would require that key in every request, and the requests would not send it.\n"
        "Now:   Unset VLLM_API_KEY, or write the key to a file and pass it: --api-key-file FILE, or "
        "ServeOptions(api_key_file=...)."
    )
    assert not (tmp_path / "state").exists()


def test_a_server_runs_even_if_its_figures_cannot_be_saved(tmp_path: Path, engine_python: Path):
    output = tmp_path / "output"
    output.write_text(
        "(APIServer pid=1) INFO 11-23 15:47:18 [api_utils.py:347]  █  version 0.32.0\n"
        "(EngineCore pid=2) INFO 11-23 15:47:18 [kv_cache_utils.py:1] GPU KV cache size: 16,384 tokens, "
        "Maximum concurrency for 8,192 tokens per request: 2.00x\n"
    )
    engine_python.write_text(f'#!/bin/sh\n[ "$2" = -c ] || cat {output}\nexec {sys.executable} {FAKE} "$@"\n')
    calibration_path(tmp_path / "state" / "tramontane").mkdir(parents=True)

    planned = plan(PlanOptions(model="mistralai/Mistral-Medium-3.5-128B", gpus="h200:4", max_model_len=8192))
    with Engine(planned, python=engine_python, environ=an_environ(tmp_path, engine_python)) as engine:
        summary = read_summary("vllm", Path(engine.start().log))
        assert summary is not None
        assert (summary.version, summary.kv_tokens) == ("0.32.0", 16_384)
        assert len(left_running(tmp_path)) == 2


def test_a_first_and_a_later_start_are_recorded_as_what_they_were(tmp_path: Path, engine_python: Path):
    """The second start was planned with the figures of the first, which compiled and had 12 % less for its cache."""
    output, state = tmp_path / "output", tmp_path / "state" / "tramontane"
    engine_python.write_text(f'#!/bin/sh\n[ "$2" = -c ] || cat {output}\nexec {sys.executable} {FAKE} "$@"\n')
    planned = plan(PlanOptions(gpus="h200:4", max_model_len=8192))
    compiles = "Compiling a graph for compile range (1, 16384) takes 13.61 s"
    finds = "Directly load the compiled graph(s) for compile range (1, 16384) from the cache, took 4.4 s"
    found: list[tuple[bool | None, int]] = []
    for line, tokens in ((compiles, "900,000"), (finds, "1,000,000")):
        output.write_text(
            "(APIServer pid=1) INFO 11-23 15:47:18 [api_utils.py:347]  █  version 0.32.0\n"
            f"(EngineCore pid=2) INFO 11-23 15:47:18 [backends.py:393] {line}\n"
            f"(EngineCore pid=2) INFO 11-23 15:47:18 [kv_cache_utils.py:1] GPU KV cache size: {tokens} tokens\n"
        )
        with Engine(planned, python=engine_python, environ=an_environ(tmp_path, engine_python)) as engine:
            engine.start()
        start = lookup(planned.request, state)
        assert start is not None
        found.append((start.compiled, start.other_bytes))
    (first, more), (second, less) = found
    assert (first, second) == (False, True)
    assert more > less


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch):
    def no_such_user(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", no_such_user)
    with pytest.raises(EngineError) as caught:
        state_dir({"XDG_STATE_HOME": "relative"})
    assert str(caught.value) == (
        "Cannot find a home folder: HOME is not set, and this user has none.\n"
        "Now:   Set HOME, or set XDG_STATE_HOME to a folder that you can write to."
    )


def test_a_start_without_output_fails_after_the_time_limit(tmp_path: Path, engine_python: Path):
    engine = pocket_engine(environ=an_environ(tmp_path, engine_python, "silent"))

    with pytest.raises(EngineError) as caught:
        engine.start(silence_s=0.0)

    assert caught.value.what.startswith("The engine wrote no output for 0 s while starting; its last phase was '")
    assert left_running(tmp_path) == []


def test_an_interrupt_during_the_start_leaves_no_orphan(tmp_path: Path, engine_python: Path):
    def interrupt(progress: Progress) -> None:
        if progress.phase == "loading weights":
            raise KeyboardInterrupt

    engine = pocket_engine(environ=an_environ(tmp_path, engine_python, "silent"))

    with pytest.raises(KeyboardInterrupt):
        engine.start(interrupt)

    assert engine.record is None
    assert left_running(tmp_path) == []


def test_an_engine_that_died_later_keeps_its_log(tmp_path: Path, engine_python: Path):
    engine = pocket_engine(environ=an_environ(tmp_path, engine_python))
    record = engine.start()
    os.kill(record.pid, signal.SIGKILL)
    os.waitid(os.P_PID, record.pid, os.WEXITED | os.WNOWAIT)

    engine.stop()

    assert Path(record.log).exists()
    assert left_running(tmp_path) == []


def test_a_python_that_is_not_a_file_is_reported_before_anything_starts(tmp_path: Path):
    with pytest.raises(EngineError) as caught:
        pocket_engine(environ=an_environ(tmp_path, tmp_path / "missing")).start()

    assert str(caught.value) == (
        f"Cannot start the engine: TRAMONTANE_ENGINE_PYTHON is '{tmp_path}/missing', which is not a file.\n"
        "Now:   Set it to the path of a Python that has the engine, or unset it to search for one."
    )


def test_a_program_that_cannot_be_executed_is_reported(tmp_path: Path):
    (tmp_path / "python").write_text("not executable")

    with pytest.raises(EngineError) as caught:
        pocket_engine(environ=an_environ(tmp_path, tmp_path / "python")).start()

    assert caught.value.what == f"Cannot read the package versions of '{tmp_path}/python'."
    assert not (tmp_path / "state").exists()


def test_the_engine_is_installed_before_it_is_started_and_both_are_reported(tmp_path: Path, engine_python: Path):
    reports: list[Progress] = []

    def find_python(report: Callable[[str], None]) -> Path:
        report("Make an empty environment")
        return engine_python

    options = ServeOptions(port=free_port(), served_model_name="tiny")
    command = engine_command(plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=4096)), options)
    with Engine(command, python=find_python, environ=an_environ(tmp_path, engine_python)) as engine:
        record = engine.start(reports.append)

    assert (reports[0].phase, reports[0].detail) == ("installing", "Make an empty environment")
    assert (record.model, record.max_model_len) == ("tiny", 4096)


def test_an_engine_stops_with_the_process_that_started_it_even_if_that_is_killed(tmp_path: Path):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom serving.running.process_group import identify, spawn\n"
        "from serving.running.watchdog import Watchdog\n"
        f"child = spawn(['sleep', '30'], environment={{'PATH': os.environ['PATH']}}, folder=Path({str(tmp_path)!r}), "
        f"log=Path({str(tmp_path / 'log')!r}))\n"
        "dog = Watchdog(identify(child.pid), 'm')\nprint(child.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    found = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    child = identify(int(found.stdout))
    deadline = time.monotonic() + 20
    while child is not None and is_alive(child) and time.monotonic() < deadline:
        os.sched_yield()
    assert child is None or not is_alive(child)


def test_a_dismissed_watchdog_stops_nothing(tmp_path: Path):
    child = spawn(["sleep", "30"], environment={"PATH": os.environ["PATH"]}, folder=tmp_path, log=tmp_path / "log")
    process = identify(child.pid)
    assert process is not None
    Watchdog(process, "m").dismiss()
    assert is_alive(process)
    assert stop_group(process, reap=child)
