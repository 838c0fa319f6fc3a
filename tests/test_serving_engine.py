"""The life of an engine, played by a small server program; nothing of it may be left running."""

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
from serving.engines.vllm import VllmSettings
from serving.process_group import identify, is_alive, spawn, stop_group
from serving.watchdog import Watchdog

# Stands in for a Python that has vLLM: the flags are those of `vllm serve`, the log lines vLLM's.
SERVER = """#!{python}
import json, os, signal, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

flags = dict(zip(sys.argv, sys.argv[1:]))
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
open(os.environ["PIDS"], "w").write(json.dumps([os.getpid(), child.pid]))
mode = os.environ.get("MODE", "")
if mode == "dies":
    print("(EngineCore pid=2) ValueError: To serve at least one request with the model's max seq len (9)")
    print("(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.", flush=True)
    os._exit(1)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif mode == "":
    signal.signal(signal.SIGTERM, lambda *_: (child.kill(), child.wait(), os._exit(0)))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {{}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(400 if mode == "refuses" else 200, {{"asked": body, "error": "no force_tool_names"}})

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


print("(Worker pid=3) INFO 11-23 15:47:18 [cpu_model_runner.py:68] Starting to load model /m...", flush=True)
if mode == "silent":
    signal.pause()
HTTPServer(("127.0.0.1", int(flags["--port"])), Handler).serve_forever()
"""


@pytest.fixture
def engine_python(tmp_path: Path) -> Path:
    program = tmp_path / "python"
    # -P and -m are swallowed by a shell: a `#!` line takes one argument only.
    (tmp_path / "server.py").write_text(SERVER.format(python=sys.executable))
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/server.py "$@"\n')
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
    written = tmp_path / "pids"  # An engine that is stopped at once has not written it yet.
    pids = json.loads(written.read_text()) if written.exists() and written.stat().st_size else []
    return [pid for pid in pids if identify(pid) is not None]


def test_start_returns_a_server_that_answers_and_stop_leaves_nothing(tmp_path: Path, engine_python: Path):
    heard: list[Progress] = []

    with pocket_engine(environ=an_environ(tmp_path, engine_python)) as engine:
        record = engine.start(heard.append)
        with urllib.request.urlopen(record.base_url.removesuffix("/v1") + "/health") as reply:
            assert reply.status == 200
        assert len(left_running(tmp_path)) == 2
        assert Path(record.log).exists()

    assert left_running(tmp_path) == []
    assert not Path(record.log).exists()
    assert (record.model, record.engine, record.max_model_len) == ("pocket", "vllm", 8192)
    assert [(said.phase, said.detail) for said in heard if said.phase != "loading weights"] == [
        ("importing", "starting Python and vLLM, about 10 s without a word"),
        ("first answer", "the server listens; asking for one token"),
        ("ready", f"pocket answers at {record.base_url}"),
    ]
    assert [said.elapsed_s for said in heard] == sorted(said.elapsed_s for said in heard)


def test_a_kept_server_is_found_by_its_record_and_ended_by_it(tmp_path: Path, engine_python: Path):
    state = tmp_path / "state" / "tramontane"
    engine = pocket_engine(environ=an_environ(tmp_path, engine_python))
    with engine:
        record = engine.start(keep=True)

    assert current_server(state) == record
    with pytest.raises(EngineError) as caught:
        pocket_engine(environ=an_environ(tmp_path, engine_python)).start(keep=True)
    assert str(caught.value) == (
        f"A server runs here already: 'pocket' at {record.base_url}, process {record.pid}.\n"
        "Now:   Use that one, or stop it first."
    )
    assert stop_server(record, state) is True
    assert list(state.iterdir()) == []
    assert current_server(state) is None
    engine.stop()  # Reaps the child that this test has, and a command that ended would not have.
    assert left_running(tmp_path) == []


def test_an_engine_that_ends_early_tells_its_cause_and_its_log(tmp_path: Path, engine_python: Path):
    engine = pocket_engine(port=8123, environ=an_environ(tmp_path, engine_python, "dies"))

    with pytest.raises(EngineError) as caught:
        engine.start()

    assert str(caught.value) == (
        "The engine ended during its start with exit status 1.\n"
        "Cause: ValueError: To serve at least one request with the model's max seq len (9)\n"
        f"Log:   {tmp_path}/state/tramontane/vllm-8123.log\n"
        "Now:   Mend the cause and start again; the whole story is in the log."
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


def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path, engine_python: Path):
    engine = pocket_engine(environ=an_environ(tmp_path, engine_python, "silent"))

    with pytest.raises(EngineError) as caught:
        engine.start(deadline_s=0.0)

    assert caught.value.what.startswith("The engine did not answer in time; its last phase was '")
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


def test_a_python_that_is_no_file_is_told_before_anything_starts(tmp_path: Path):
    with pytest.raises(EngineError) as caught:
        pocket_engine(environ=an_environ(tmp_path, tmp_path / "missing")).start()

    assert str(caught.value) == (
        f"Cannot start the engine: TRAMONTANE_ENGINE_PYTHON is '{tmp_path}/missing', which is no file.\n"
        "Now:   Let it name a Python that has vLLM, or unset it: then an environment is made."
    )


def test_a_program_that_cannot_be_run_is_told_as_such(tmp_path: Path):
    (tmp_path / "python").write_text("not executable")

    with pytest.raises(EngineError) as caught:
        pocket_engine(environ=an_environ(tmp_path, tmp_path / "python")).start()

    assert caught.value.what == f"Cannot start the engine: '{tmp_path}/python' cannot be run."


def test_the_engine_is_installed_before_it_is_started_and_both_are_reported(tmp_path: Path, engine_python: Path):
    heard: list[Progress] = []

    def find_python(tell: Callable[[str], None]) -> Path:
        tell("Make an empty environment")
        return engine_python

    settings = VllmSettings(model="m", served_model_name="tiny", max_model_len=4096)
    with Engine(settings, find_python=find_python, environ=an_environ(tmp_path, engine_python)) as engine:
        record = engine.start(heard.append)

    assert (heard[0].phase, heard[0].detail) == ("installing", "Make an empty environment")
    assert (record.model, record.max_model_len) == ("tiny", 4096)


def test_an_engine_ends_with_the_process_that_started_it_even_if_that_is_killed(tmp_path: Path):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom serving.process_group import identify, spawn\n"
        "from serving.watchdog import Watchdog\n"
        f"child = spawn(['sleep', '30'], environment={{'PATH': os.environ['PATH']}}, folder=Path({str(tmp_path)!r}), "
        f"log=Path({str(tmp_path / 'log')!r}))\n"
        "dog = Watchdog(identify(child.pid))\nprint(child.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    found = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    child = identify(int(found.stdout))
    deadline = time.monotonic() + 20
    while child is not None and is_alive(child) and time.monotonic() < deadline:
        os.sched_yield()
    assert child is None or not is_alive(child)


def test_a_watchdog_that_is_dismissed_ends_nothing(tmp_path: Path):
    child = spawn(["sleep", "30"], environment={"PATH": os.environ["PATH"]}, folder=tmp_path, log=tmp_path / "log")
    process = identify(child.pid)
    assert process is not None
    Watchdog(process).dismiss()
    assert is_alive(process)
    assert stop_group(process, reap=child)
