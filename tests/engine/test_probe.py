"""Test the probe against a real vLLM: a correct setup passes, and each wrong setup is reported."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from serving.directories import cache_dir
from serving.pocket import MAX_MODEL_LEN, MODEL_NAME, model_dir
from serving.probe import TITLES, ProbeReport, probe, read_cache
from serving.readiness.install import ensure_installed
from serving.running.process_group import free_port

pytestmark = pytest.mark.engine

PARSERS = ("--tool-call-parser", "mistral", "--enable-auto-tool-choice", "--reasoning-parser", "mistral")
KEY = "a-key-of-this-test"
START_S = 400
ONE = b"\x80\x3f"
"""1.0 in bfloat16."""


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


def test_a_correct_setup_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("KEY_OF_THIS_TEST", KEY)
    with vllm(*PARSERS, environ={"VLLM_API_KEY": KEY}) as url:
        assert main(["doctor", "--url", url, "--api-key-env", "KEY_OF_THIS_TEST"]) == 0
        report = read_cache(url, tmp_path / "tramontane")

    assert f"\n{len(TITLES) - 1} works, 1 not offered; " in capsys.readouterr().out
    assert report is not None

    assert verdicts(report) == {**dict.fromkeys(TITLES, "works"), "speculative": "not_offered"}
    assert (report.kind, report.version, report.model) == ("vllm", "0.32.0", MODEL_NAME)
    assert report.window_tokens == MAX_MODEL_LEN
    found = report.capabilities
    assert (found.reasoning_field, found.structured_outputs_field) == ("reasoning", "structured_outputs")
    assert (found.strict_works, found.named_works, found.required_works, found.stream_ok) == (True, True, True, True)
    assert (found.effort_accepted, found.reasoning_replayed, found.tokenizer) == (True, True, True)
    assert found.cached_tokens_reported is True


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


def test_the_acceptance_of_a_draft_is_read(tmp_path: Path):
    write_draft(tmp_path)
    draft = {"model": str(tmp_path), "num_speculative_tokens": 3, "method": "eagle", "max_model_len": 4096}
    with vllm(*PARSERS, "--speculative-config", json.dumps(draft)) as url:
        report = probe(url)

    (found,) = (check for check in report.checks if check.check == "speculative")
    assert re.match(r"acceptance length 1\.\d\d over [1-9]\d+ drafts", found.detail)
    assert broken(report) <= {"speculative"}  # an untrained draft may have no token accepted


def write_draft(folder: Path) -> None:
    """Write an EAGLE draft for the pocket model that proposes the model's last token again."""
    params: dict[str, Any] = json.loads((model_dir() / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | {"n_layers": 1}))
    shutil.copy(model_dir() / "tekken.json", folder)
    dim, hidden, heads = params["dim"], params["hidden_dim"], params["n_heads"] * params["head_dim"]
    layer = "layers.0."
    shapes = {f"{layer}attention.{name}.weight": (heads, dim) for name in ("wq", "wk", "wv")}
    shapes |= {f"{layer}attention.wo.weight": (dim, heads), f"{layer}feed_forward.w2.weight": (dim, hidden)}
    shapes |= {f"{layer}feed_forward.{name}.weight": (hidden, dim) for name in ("w1", "w3")}
    tensors = {name: (shape, bytes(2 * shape[0] * shape[1])) for name, shape in shapes.items()}
    for name in (f"{layer}attention_norm.weight", f"{layer}ffn_norm.weight", "norm.weight"):
        tensors[name] = ((dim,), ONE * dim)
    # The first half of its input is the embedding of the last token; the second is the model's hidden state, passed on.
    rows = [bytes(2 * (dim + at)) + ONE + bytes(2 * (dim - at - 1)) for at in range(dim)]
    tensors["eagle_linear.weight"] = ((dim, 2 * dim), b"".join(rows))
    header: dict[str, Any] = {}
    at = 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header).encode()
    weights = b"".join(data for _, data in tensors.values())
    (folder / "consolidated.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + weights)
