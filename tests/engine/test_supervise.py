"""Test supervision of a real vLLM: restarts, fitting into memory, the API key, and leftover processes."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import Engine, Progress, ServerRecord, stop_server
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.engines.command import ServeOptions
from serving.readiness.interpreter import cpu_python
from serving.running.lock import exclusive_server
from serving.running.marks import find_marked
from serving.running.process_group import free_port, identify
from serving.running.record import find_orphans, read_record

pytestmark = pytest.mark.engine


def until(condition: Callable[[], object], limit_s: float = 400.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert condition()


def an_engine(environ: dict[str, str], *, kv_cache_memory_bytes: int | None = None, key: Path | None = None) -> Engine:
    planned = plan(PlanOptions(
        model="pocket", gpus="cpu", max_model_len=8192, max_num_seqs=8, enforce_eager=True,
        kv_cache_memory_bytes=kv_cache_memory_bytes,
    ))  # fmt: skip
    options = ServeOptions(port=free_port(), served_model_name="pocket", api_key_file=key)
    return Engine(planned, options=options, python=lambda report: cpu_python(environ, report), environ=environ)


def status_of_models(record: ServerRecord, key: str | None) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{record.base_url}/models", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def supervisor_and_watchdog(record: ServerRecord) -> list[int]:
    """Return the PIDs of the supervisor and its watchdog."""
    stats = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    parents = {path.parent.name: stat[1] for path, stat in zip(Path("/proc").glob("[0-9]*/stat"), stats, strict=True)}
    children = [int(pid) for pid, parent in parents.items() if parent == str(record.supervisor_pid)]
    watchdogs = [pid for pid in children if b"serving.running.watchdog" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [record.supervisor_pid, *watchdogs]


def test_a_killed_engine_restarts_and_the_next_start_stops_what_a_killed_supervisor_left(tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("s3cr3t-k3y-0f-th3-t3st\n")
    key.chmod(0o600)
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    state = tmp_path / "tramontane"
    foreign = subprocess.Popen(["sleep", "1000"])
    try:
        first = an_engine(environ, key=key).start(keep=True)
        assert (status_of_models(first, None), status_of_models(first, "s3cr3t-k3y-0f-th3-t3st")) == (401, 200)
        # The API server, its resource tracker, the engine core and the worker.
        assert len(find_marked(first.mark)) >= 3

        os.kill(first.pid, signal.SIGKILL)
        until(lambda: (read_record(state) or first).restarts == 1 and (read_record(state) or first).state == "ready")
        second = read_record(state)
        assert second is not None
        assert (second.last_death, second.pid != first.pid) == ("The engine exited with status -9.", True)
        assert status_of_models(second, "s3cr3t-k3y-0f-th3-t3st") == 200

        for pid in (*supervisor_and_watchdog(second), second.pid):
            os.kill(pid, signal.SIGKILL)
        until(lambda: identify(second.pid) is None)
        orphans = find_orphans(second)
        assert orphans  # Some exit by themselves when their leader is gone, others never do.
        with exclusive_server(state) as stopped:
            assert 1 <= stopped <= len(orphans)
        assert find_marked(second.mark) == ()
        assert foreign.poll() is None

        written = [path for path in state.rglob("*") if path.is_file()]
        assert any("non-default args" in path.read_text() for path in written)
        assert not [path for path in written if "s3cr3t" in path.read_text()]
    finally:
        foreign.kill()
        foreign.wait()
        last = read_record(state)
        if last is not None:
            stop_server(last, state)


def test_an_engine_that_runs_out_of_memory_starts_with_the_nearest_plan_that_fits(tmp_path: Path):
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    reports: list[Progress] = []
    with an_engine(environ, kv_cache_memory_bytes=34 * 2**20) as engine:
        record = engine.start(reports.append, fit=True)
        body = {"model": "pocket", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
        request = urllib.request.Request(
            f"{record.base_url}/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert json.load(reply)["usage"]["completion_tokens"] > 0

    (fitted,) = [report.detail for report in reports if report.phase == "restarting"]
    assert fitted.startswith("The engine exited with status 1 while starting. ")
    assert fitted.endswith(
        f"Retrying with the nearest plan that fits: cap the context at {record.max_model_len:,} tokens"
    )
    assert 4096 <= record.max_model_len < 8192
