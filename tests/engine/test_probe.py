"""Test the probe against a real vLLM: each wrong setup is reported; test_supervise.py has the correct one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.directories import cache_dir
from serving.pocket import MAX_MODEL_LEN, MODEL_NAME, model_dir
from serving.probe import ProbeReport, probe
from serving.readiness.install import ensure_installed
from serving.running.process_group import free_port

pytestmark = pytest.mark.engine

PARSERS = ("--tool-call-parser", "mistral", "--enable-auto-tool-choice", "--reasoning-parser", "mistral")
START_S = 400


@contextmanager
def vllm(*flags: str, environ: Mapping[str, str] | None = None) -> Generator[str]:
    """Start the pocket model with additional flags; yield its base URL, and stop it at the end."""
    python, port = ensure_installed(cache_dir(), on_detail=lambda _: None), free_port("127.0.0.1")
    command = [str(python), "-P", "-m", "vllm.entrypoints.cli.main", "serve", str(model_dir())]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", MODEL_NAME, "--enforce-eager"]
    command += ["--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral"]
    command += ["--max-model-len", str(MAX_MODEL_LEN), "--max-num-seqs", "8", "--enable-prompt-tokens-details"]
    own = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CACHE_ROOT": str(cache_dir() / "vllm"),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONNOUSERSITE": "1",
    }
    process = subprocess.Popen(
        [*command, *flags],
        env={**os.environ, **own, **(environ or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        root = f"http://127.0.0.1:{port}"
        for _ in range(START_S):
            if _is_healthy(root):
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"vLLM exited with {process.wait(1)} while starting")
        yield f"{root}/v1"
    finally:
        # Its workers are in its process group; they exit with it or are killed by the signal.
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_healthy(root: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{root}/health", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def verdicts(report: ProbeReport) -> dict[str, str]:
    return {check.check: check.verdict for check in report.checks}


def of(report: ProbeReport, name: str) -> tuple[str, str]:
    """Return the reason and the fix of a broken check."""
    (check,) = (check for check in report.checks if check.check == name)
    assert check.verdict == "broken", check
    return check.detail, check.fix


def broken(report: ProbeReport) -> set[str]:
    return {name for name, verdict in verdicts(report).items() if verdict == "broken"}


def test_a_missing_tool_parser_is_reported():
    with vllm("--reasoning-parser", "mistral") as url:
        report = probe(url)

    why, fix = of(report, "auto")
    assert why.startswith("the server left the call as text in content ('[TOOL_CALLS]write_file[ARGS]{")
    assert why.endswith("it has no tool parser, or one for another model")
    assert fix == (
        "Start vLLM with --enable-auto-tool-choice and the model's own --tool-call-parser; for Mistral: "
        "--tool-call-parser mistral --tokenizer-mode mistral."
    )
    assert broken(report) == {"auto", "required", "named"}


def test_a_tool_parser_for_another_model_is_reported():
    with vllm("--tool-call-parser", "hermes", "--enable-auto-tool-choice", "--reasoning-parser", "mistral") as url:
        report = probe(url)

    why, fix = of(report, "auto")
    assert why.endswith("its tool parser is for another model")
    assert fix.startswith("Start vLLM with --enable-auto-tool-choice and the model's own --tool-call-parser")


def test_a_missing_reasoning_parser_is_reported():
    with vllm("--tool-call-parser", "mistral", "--enable-auto-tool-choice") as url:
        report = probe(url)

    assert of(report, "reasoning") == (
        "the content contains reasoning ([THINK]): there is no reasoning parser, or one for another model",
        "Start vLLM with the model's own --reasoning-parser; for Mistral: --reasoning-parser mistral.",
    )
    assert broken(report) == {"reasoning"}


def test_a_mistral_common_that_breaks_vllm_is_reported():
    breaking = Path(sys.prefix) / "mistral_common-1.13.1"
    assert breaking.is_dir(), "`make engine` installs it; tests do not download anything"
    with vllm(*PARSERS, environ={"PYTHONPATH": str(breaking)}) as url:
        report = probe(url)

    assert of(report, "chat") == (
        "the installed mistral_common is 1.13 or newer and requires an argument that this vLLM does not pass "
        "(force_tool_names): every chat request fails",
        "In the engine's environment: pip install 'mistral_common>=1.11.6,<1.13'. Then restart vLLM.",
    )
    assert broken(report) == {"chat"}
