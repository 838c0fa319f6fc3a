"""Failures that are cheap to reproduce, with the real vLLM on the CPU: the doctor diagnoses each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serving import Engine, Progress, ServerRecord
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.directories import cache_dir
from serving.doctor import Diagnosis, diagnose, diagnose_http
from serving.engines.command import ServeOptions
from serving.pocket import MODEL_NAME, model_dir
from serving.readiness.install import ensure_installed
from serving.readiness.interpreter import cpu_python
from serving.running.process_group import free_port, identify

if TYPE_CHECKING:
    from conftest import LiveEngine

pytestmark = pytest.mark.engine

_FLAGS = (
    *("--host", "127.0.0.1", "--served-model-name", MODEL_NAME, "--tokenizer-mode", "mistral"),
    *("--config-format", "mistral", "--load-format", "mistral", "--reasoning-parser", "mistral"),
    *("--enable-auto-tool-choice", "--max-num-seqs", "8", "--enforce-eager"),
)
_START_S = 300.0


@pytest.fixture(scope="module")
def python() -> Path:
    path = os.environ.get("TRAMONTANE_ENGINE_PYTHON")
    return Path(path) if path else ensure_installed(cache_dir(), on_detail=lambda _: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir(), tmp_path / "model"))


def serve(python: Path, folder: Path, flags: Sequence[str], *, port: int = 0) -> list[str]:
    """Start an engine that cannot start, wait until it ends, and return its log."""
    port = port or free_port()
    log = folder.parent / "engine.log"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CACHE_ROOT": str(cache_dir() / "vllm")}
    environment["VLLM_CPU_KVCACHE_SPACE"] = "1"
    words = ("-P", "-m", "vllm.entrypoints.cli.main", "serve", str(folder), "--port", str(port), *_FLAGS, *flags)
    with log.open("wb") as out:
        child = subprocess.Popen(
            (str(python), *words), stdout=out, stderr=out, env=environment, cwd=folder.parent, start_new_session=True
        )
    try:
        child.wait(_START_S)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return log.read_text(encoding="utf-8").split("\n")


def ask(base_url: str, **fields: object) -> Diagnosis | None:
    """Send one chat request, and diagnose the response."""
    body = {"model": MODEL_NAME, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}], **fields}
    request = urllib.request.Request(
        f"{base_url}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return diagnose_http(reply.status, reply.read().decode())
    except urllib.error.HTTPError as error:
        return diagnose_http(error.code, error.read().decode())


PARSER = ("--tool-call-parser", "mistral")


def test_an_unknown_flag_is_reported_with_the_nearest_known_flag(python: Path, folder: Path):
    (diagnosis,) = diagnose(serve(python, folder, (*PARSER, "--max-model-length", "4096")))

    assert (diagnosis.symptom, diagnosis.fix) == ("bad_flag", "Did you mean `--max-model-len`?")


def test_an_unknown_parser_is_reported(python: Path, folder: Path):
    (diagnosis,) = diagnose(serve(python, folder, ("--tool-call-parser", "mistrall")))

    assert (diagnosis.symptom, diagnosis.title) == (
        "unknown_tool_parser",
        "vLLM has no tool-call parser mistrall",
    )


def test_a_missing_tokenizer_is_reported(python: Path, folder: Path):
    (folder / "tekken.json").unlink()

    (diagnosis,) = diagnose(serve(python, folder, PARSER))

    assert diagnosis.symptom == "tokenizer_missing"


def test_a_port_in_use_is_reported(python: Path, folder: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (diagnosis,) = diagnose(serve(python, folder, PARSER, port=taken.getsockname()[1]))

    assert diagnosis.symptom == "port_in_use"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """An engine that ran out of memory and was started again with the nearest plan that fits."""

    record: ServerRecord
    restarting: list[str]
    """What was reported of each further start."""
    logs: list[Path]
    """Of each start."""


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fitted]:
    home = tmp_path_factory.mktemp("fitted")
    environ = {**os.environ, "XDG_STATE_HOME": str(home)}
    planned = plan(
        PlanOptions(
            model="pocket", gpus="cpu", max_model_len=8192, max_num_seqs=8, enforce_eager=True,
            kv_cache_memory_bytes=34 * 2**20,
        )
    )  # fmt: skip
    options = ServeOptions(port=free_port(), served_model_name=MODEL_NAME)
    reports: list[Progress] = []
    with Engine(planned, options=options, python=lambda report: cpu_python(environ, report), environ=environ) as engine:
        record = engine.start(reports.append, fit=True)
        yield Fitted(
            record=record,
            restarting=[report.detail for report in reports if report.phase == "restarting"],
            logs=sorted(home.rglob("vllm-*.log")),
        )


def test_too_small_a_cache_is_reported_instead_of_the_general_errors(fitted: Fitted):
    (diagnosis,) = diagnose(fitted.logs[0].read_text(encoding="utf-8").split("\n"))

    assert diagnosis.symptom == "kv_too_small"
    assert diagnosis.fix.startswith(f"Start with `--max-model-len {fitted.record.max_model_len}` or less;")


def test_an_engine_that_runs_out_of_memory_starts_with_the_nearest_plan_that_fits(fitted: Fitted):
    (report,) = fitted.restarting
    assert report.startswith("The engine exited with status 1 while starting. ")
    assert report.endswith(
        f"Retrying with the nearest plan that fits: cap the context at {fitted.record.max_model_len:,} tokens"
    )
    assert 4096 <= fitted.record.max_model_len < 8192
    assert len(fitted.logs) == 2
    assert ask(fitted.record.base_url) is None


def test_wrong_requests_are_reported(engine: LiveEngine):
    asked = [
        ask(engine.base_url),
        ask(engine.base_url, messages=[{"role": "user", "content": "hello " * 9000}]),
        ask(engine.base_url, reasoning_effort="low"),
        ask(engine.base_url, chat_template_kwargs={"reasoning_effort": "high"}),
    ]

    assert [None if one is None else one.symptom for one in asked] == [
        *(None, "context_too_long", "effort", "chat_template"),
    ]


def test_a_killed_worker_is_reported(fitted: Fitted):
    # The last test of this engine.
    os.kill(worker_of(fitted.record.pid), signal.SIGKILL)
    until = time.monotonic() + 60.0
    while identify(fitted.record.pid) is not None:
        assert time.monotonic() < until, "the engine did not end with its worker"
        time.sleep(0.1)

    # The engine may notice the death before or after the worker's exit code is known.
    log = fitted.logs[-1].read_text(encoding="utf-8").split("\n")
    assert [one.symptom for one in diagnose(log)] in (["killed"], ["worker_lost"])


def worker_of(group: int) -> int:
    """Return the process id of the engine's worker, found by its process title."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = (entry / "cmdline").read_bytes()
            if words.startswith(b"VLLM::Worker") and os.getpgid(int(entry.name)) == group:
                return int(entry.name)
    pytest.fail("the engine has no worker")
