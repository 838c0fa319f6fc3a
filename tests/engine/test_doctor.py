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
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from serving.directories import cache_dir
from serving.doctor import Diagnosis, diagnose, diagnose_http
from serving.pocket import MODEL_NAME, model_dir
from serving.readiness.install import ensure_installed
from serving.running.process_group import free_port

pytestmark = pytest.mark.engine

_FLAGS = (
    *("--host", "127.0.0.1", "--served-model-name", MODEL_NAME, "--tokenizer-mode", "mistral"),
    *("--config-format", "mistral", "--load-format", "mistral", "--reasoning-parser", "mistral"),
    *("--enable-auto-tool-choice", "--max-num-seqs", "8", "--enforce-eager"),
)
_START_S = 300.0

Act = Callable[[int, subprocess.Popen[bytes]], None]
"""Called with the port and the process of a server that listens."""


@pytest.fixture(scope="module")
def python() -> Path:
    path = os.environ.get("TRAMONTANE_ENGINE_PYTHON")
    return Path(path) if path else ensure_installed(cache_dir(), on_detail=lambda _: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir(), tmp_path / "model"))


def serve(
    python: Path, folder: Path, flags: Sequence[str], *, port: int = 0, act: Act | None = None, kv_gib: str | None = "1"
) -> list[str]:
    """Start the engine, wait until it ends or answers, call `act`, stop it, and return its log."""
    port = port or free_port()
    log = folder.parent / "engine.log"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CACHE_ROOT": str(cache_dir() / "vllm")}
    if kv_gib is not None:
        environment["VLLM_CPU_KVCACHE_SPACE"] = kv_gib
    words = ("-P", "-m", "vllm.entrypoints.cli.main", "serve", str(folder), "--port", str(port), *_FLAGS, *flags)
    with log.open("wb") as out:
        child = subprocess.Popen(
            (str(python), *words), stdout=out, stderr=out, env=environment, cwd=folder.parent, start_new_session=True
        )
    try:
        until = time.monotonic() + _START_S
        while child.poll() is None and time.monotonic() < until and not listens(port):
            time.sleep(0.5)
        if act is not None:
            assert child.poll() is None, log.read_text(encoding="utf-8")[-2000:]
            act(port, child)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
        child.wait(60)
    return log.read_text(encoding="utf-8").split("\n")


def listens(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def ask(port: int, **fields: object) -> Diagnosis | None:
    """Send one chat request, and diagnose the response."""
    body = {"model": MODEL_NAME, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}], **fields}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
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


def test_too_small_a_cache_is_reported_instead_of_the_general_errors(python: Path, folder: Path):
    log = serve(python, folder, (*PARSER, "--max-model-len", "8192", "--kv-cache-memory-bytes", "4M"), kv_gib=None)

    (diagnosis,) = diagnose(log)

    assert diagnosis.symptom == "kv_too_small"
    assert diagnosis.fix.startswith("Start with `--max-model-len 384` or less;")


def test_wrong_requests_and_a_killed_worker_are_reported(python: Path, folder: Path):
    asked: list[Diagnosis | None] = []

    def act(port: int, child: subprocess.Popen[bytes]) -> None:
        asked.append(ask(port))
        asked.append(ask(port, messages=[{"role": "user", "content": "hello " * 9000}]))
        asked.append(ask(port, reasoning_effort="low"))
        asked.append(ask(port, chat_template_kwargs={"reasoning_effort": "high"}))
        os.kill(worker_of(child.pid), signal.SIGKILL)
        child.wait(60)

    log = serve(python, folder, (*PARSER, "--max-model-len", "8192"), act=act)

    assert [None if one is None else one.symptom for one in asked] == [
        *(None, "context_too_long", "effort", "chat_template"),
    ]
    # The engine may notice the death before or after the worker's exit code is known.
    assert [one.symptom for one in diagnose(log)] in (["killed"], ["worker_lost"])


def worker_of(group: int) -> int:
    """Return the process id of the engine's worker, found by its process title."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = (entry / "cmdline").read_bytes()
            if words.startswith(b"VLLM::Worker") and os.getpgid(int(entry.name)) == group:
                return int(entry.name)
    pytest.fail("the engine has no worker")
