"""The plan's KV tokens match those that a real vLLM prints, for many shapes, block sizes, contexts and budgets.

One process of the engine's interpreter builds one engine core after another, with dummy weights and no server. The
tests compare with the line that vLLM itself prints, and with its error if a context does not fit.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.capacity.planner import plan
from serving.capacity.sizing import Plan, PlanOptions
from serving.directories import cache_dir
from serving.pocket import model_dir
from serving.readiness.install import ensure_installed

pytestmark = pytest.mark.engine

GIB = 2**30

POCKET = {"dim": 192, "n_layers": 5, "n_heads": 6, "n_kv_heads": 6, "head_dim": 32, "hidden_dim": 512}
GROUPED = {"dim": 256, "n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "head_dim": 64, "hidden_dim": 768}
ONE_KV_HEAD = {"dim": 128, "n_layers": 7, "n_heads": 4, "n_kv_heads": 1, "head_dim": 96, "hidden_dim": 256}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One configuration."""

    shape: str
    context: int
    block: int | None = None
    cache_bytes: int | None = None
    """None means that VLLM_CPU_KVCACHE_SPACE sets it, in GiB."""
    space_gib: int | None = None
    eagle: bool = False


CASES = {
    "the pocket model's shape as it is served": Case(shape="pocket", context=8192, space_gib=1),
    "another context of the same shape": Case(shape="pocket", context=2048, cache_bytes=GIB // 4),
    "a context that does not fill its last block": Case(
        shape="pocket", context=1000, block=32, cache_bytes=300_000_000
    ),
    "grouped heads": Case(shape="grouped", context=4096, cache_bytes=GIB // 4),
    "blocks as on a GPU": Case(shape="grouped", context=5000, block=16, cache_bytes=123_456_789),
    "one KV head, an odd head size": Case(shape="one_kv_head", context=7777, block=64, cache_bytes=99_999_999),
    "a draft": Case(shape="grouped", context=4096, cache_bytes=GIB // 4, eagle=True),
    "a draft, and a context that does not fill its last block": Case(
        shape="grouped", context=3001, block=64, cache_bytes=200_000_001, eagle=True
    ),
    # Exactly one full request and the null block, then one byte less.
    "the smallest cache that starts": Case(shape="grouped", context=4096, block=128, cache_bytes=33 * 128 * 2048),
    "a byte less than that": Case(shape="grouped", context=4096, block=128, cache_bytes=33 * 128 * 2048 - 1),
    "far too little": Case(shape="grouped", context=8192, cache_bytes=5_000_000),
}

# Run by the engine's interpreter. EngineCore stays in this process, so it is imported only once.
PROGRAM = """
import gc, json, os, sys
from vllm import LLM
from vllm.distributed import cleanup_dist_env_and_memory
for name, case in json.load(open(sys.argv[1])).items():
    print("CASE", name, flush=True)
    os.environ.update(case["environment"])
    try:
        llm = LLM(**case["arguments"])
        llm.llm_engine.engine_core.shutdown()
        del llm
    except ValueError as error:
        print("REFUSED", str(error).replace(chr(10), " "), flush=True)
    for variable in case["environment"]:
        del os.environ[variable]
    cleanup_dist_env_and_memory()
    gc.collect()
"""


ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "PYTHONNOUSERSITE": "1",
    "PATH": "/usr/bin:/bin",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders without weights, by the name of their shape; `draft` is `grouped` with two layers."""
    root = tmp_path_factory.mktemp("models")
    shapes = {"pocket": POCKET, "grouped": GROUPED, "one_kv_head": ONE_KV_HEAD, "draft": GROUPED | {"n_layers": 2}}
    usual = json.loads((model_dir() / "params.json").read_text())
    for name, shape in shapes.items():
        (root / name).mkdir()
        (root / name / "params.json").write_text(json.dumps(usual | shape))
        shutil.copy(model_dir() / "tekken.json", root / name)
    return {name: root / name for name in shapes}


@pytest.fixture(scope="module")
def output(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines that the engine printed in each case."""
    work = tmp_path_factory.mktemp("work")
    (work / "program.py").write_text(PROGRAM)
    (work / "cases.json").write_text(json.dumps({name: arguments(case, folders) for name, case in CASES.items()}))
    found = subprocess.run(
        [ensure_installed(cache_dir(), on_detail=print), "-P", work / "program.py", work / "cases.json"],
        cwd=work,
        env=ENVIRONMENT | {"VLLM_CACHE_ROOT": str(cache_dir() / "vllm"), "HOME": str(work)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    lines: dict[str, list[str]] = {}
    for line in found.stdout.splitlines():
        if line.startswith("CASE "):
            lines[line.removeprefix("CASE ")] = []
        elif lines:
            lines[next(reversed(lines))].append(line)
    assert found.returncode == 0, found.stdout[-3000:]
    return lines


def arguments(case: Case, folders: dict[str, Path]) -> dict[str, object]:
    draft = {"model": str(folders["draft"]), "num_speculative_tokens": 3, "method": "eagle", "max_model_len": 2048}
    chosen = {
        "model": str(folders[case.shape]),
        "max_model_len": case.context,
        "block_size": case.block,
        "kv_cache_memory_bytes": case.cache_bytes,
        "speculative_config": draft if case.eagle else None,
    }
    usual = {
        "load_format": "dummy",
        "tokenizer_mode": "mistral",
        "config_format": "mistral",
        "enforce_eager": True,
        "max_num_seqs": 8,
        "max_num_batched_tokens": 512,
        "disable_log_stats": True,
    }
    space = {} if case.space_gib is None else {"VLLM_CPU_KVCACHE_SPACE": str(case.space_gib)}
    return {
        "arguments": usual | {key: value for key, value in chosen.items() if value is not None},
        "environment": space,
    }


def planned(case: Case, folders: dict[str, Path]) -> Plan:
    return plan(
        PlanOptions(
            model=str(folders[case.shape]),
            gpus="cpu",
            max_model_len=case.context,
            block_size=case.block,
            kv_cache_memory_bytes=case.cache_bytes or (case.space_gib or 0) * GIB,
            draft=str(folders["draft"]) if case.eagle else None,
        )
    )


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("far", "a byte"))])
def test_the_plan_has_the_tokens_that_the_engine_prints(
    name: str, output: dict[str, list[str]], folders: dict[str, Path]
):
    found = planned(CASES[name], folders)
    printed = re.findall(
        r"KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) .*: ([\d.]+)x", "\n".join(output[name])
    )
    assert printed == [(f"{found.kv_tokens:,}", f"{CASES[name].context:,}", f"{found.concurrency:.2f}")]
    assert found.starts == "yes"


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("far", "a byte"))])
def test_the_plan_refuses_what_the_engine_refuses_and_suggests_the_same_length(
    name: str, output: dict[str, list[str]], folders: dict[str, Path]
):
    found = planned(CASES[name], folders)
    printed = re.findall(r"max seq len \((\d+)\).*estimated maximum model length is (\d+)\.", "\n".join(output[name]))
    assert printed == [(str(CASES[name].context), str(found.longest_max_model_len))]
    assert found.starts == "no"
    assert found.missing_bytes > 0
