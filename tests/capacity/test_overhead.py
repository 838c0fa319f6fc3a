"""The estimate of activation, buffers and graphs against real starts on an H200, with its error in KV tokens.

The logs are from vLLM 0.26.0 with dummy weights of the true shapes, 2026-11-23; their first line is the command. Those
on ports other than 8000 were started together, with two lines added to vLLM's worker to make each wait for its turn on
the GPU; the others ran vLLM as released. vLLM 0.26 does not reserve the null block in its check, 0.32 does.
"""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from serving.capacity.catalogue import draft_for
from serving.capacity.hardware import GIB, Gpu, GpuSet
from serving.capacity.planner import find_model, plan
from serving.capacity.sizing import Plan, PlanOptions

LOGS = Path(__file__).parents[1] / "data" / "engine_logs" / "cuda"
# As PyTorch reported the card; the catalogue has 139.81 GiB.
H200 = Gpu(
    name="h200",
    title="NVIDIA H200",
    memory_bytes=150_109_880_320,
    bandwidth_bytes_s=4.8e12,
    compute_capability=(9, 0),
)
MODELS = {
    "medium-3.5-128b": find_model("Mistral-Medium-3.5-128B"),
    "small-24b": find_model("Mistral-Small-3.2-24B-Instruct-2506"),
}


def flags(log: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--gpu-memory-utilization", type=float)
    for name in ("--max-model-len", "--max-num-seqs", "--max-num-batched-tokens"):
        parser.add_argument(name, type=int)
    for name in ("--language-model-only", "--enforce-eager"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--kv-cache-dtype", default="auto")
    parser.add_argument("--speculative-config")
    words = shlex.split(log.splitlines()[0])
    return parser.parse_known_args(words[words.index("serve") + 1 :])[0]


def planned(log: str) -> Plan:
    given = flags(log)
    model = MODELS[given.model]
    return plan(
        PlanOptions(
            model=model,
            gpus=GpuSet(gpu=H200, count=1, measured=True),
            max_model_len=given.max_model_len or model.max_position,
            max_num_seqs=given.max_num_seqs,
            max_num_batched_tokens=given.max_num_batched_tokens,
            gpu_memory_utilization=given.gpu_memory_utilization,
            language_model_only=given.language_model_only,
            enforce_eager=given.enforce_eager,
            kv_cache_dtype=given.kv_cache_dtype,
            draft=draft_for(model) if given.speculative_config else None,
        )
    )


def available_bytes(log: str) -> float:
    found = re.search(r"Available KV cache memory: (-?[\d.]+) GiB", log)
    assert found
    return float(found[1]) * GIB


# (log, tokens that the engine printed or could have printed, how many more the plan has; negative means fewer)
ERRORS = [
    ("bf16_16384_eager", 466_368, 272),
    ("bf16_2048_eager", 486_256, 275),
    ("bf16_8192_eager", 477_744, 262),
    ("bf16_8192_eager_vision", 472_880, 280),
    ("bf16_8192", 477_456, -1_416),
    ("bf16_8192_v1_runner", 475_824, 216),
    ("fp8_16384_eager", 36_112, 30),
    ("fp8_2048_eager", 45_888, 29),
    ("fp8_8192_eager", 41_696, 32),
    ("fp8_8192_eager_1024_seqs", 41_696, 32),
    ("fp8_8192_eager_eagle", 31_168, 29),
    ("fp8_8192_eager_kv_fp8", 83_408, 47),
    ("fp8_8192_eager_vision", 33_520, 152),
    # A first start, which compiles; with the second model runner vLLM 0.26 does not count the future graphs.
    ("fp8_8192_first_compile_v1_runner", 34_896, 118),
    ("fp8_8192_first_compile", 36_960, -1_946),
    # The same with the compiled graphs in vLLM's cache: 16 % more than the plan, which is for the first start.
    ("fp8_8192", 41_792, -6_778),
    # Refused by the engine, which printed no tokens; these are calculated from the bytes that it printed.
    ("fp8_too_long", 20_882, 23),
    ("fp8_too_long_vision", 6_464, 139),
    ("fp8_nothing_left", -34_675, 20),
]


@pytest.mark.parametrize(("name", "tokens", "error"), ERRORS)
def test_the_plan_is_off_by_this_many_tokens(name: str, tokens: int, error: int):
    log = (LOGS / f"{name}.log").read_text(encoding="utf-8")
    found = planned(log)
    assert round(available_bytes(log) / found.kv_bytes_per_token) == pytest.approx(tokens, abs=64)
    assert round(found.kv_bytes / found.kv_bytes_per_token) - tokens == pytest.approx(error, abs=32)


@pytest.mark.parametrize("name", [name for name, _, _ in ERRORS])
def test_the_memory_that_the_engine_had_left_is_within_the_range(name: str):
    log = (LOGS / f"{name}.log").read_text(encoding="utf-8")
    found = planned(log)
    estimate = found.activation_bytes
    left = available_bytes(log)
    assert (
        found.kv_bytes - (estimate.high - estimate.likely) <= left <= found.kv_bytes + (estimate.likely - estimate.low)
    )


def test_every_log_is_compared():
    assert sorted(name for name, _, _ in ERRORS) == sorted(path.stem for path in LOGS.glob("*.log"))


@pytest.mark.parametrize("name", [path.stem for path in sorted(LOGS.glob("*.log"))])
def test_the_tokens_follow_exactly_from_the_bytes_that_are_left(name: str):
    """The engine prints the bytes to a hundredth of a GiB, so its tokens lie within what these bytes can hold."""
    log = (LOGS / f"{name}.log").read_text(encoding="utf-8")
    printed = re.search(r"GPU KV cache size: ([\d,]+) tokens", log)
    if printed is None:
        assert "GPU KV cache size" not in log
        return
    tokens = int(printed[1].replace(",", ""))
    page = planned(log).kv_bytes_per_token * 16
    least, most = ((available_bytes(log) + half * GIB / 100) // page * 16 for half in (-0.5, 0.5))
    assert least <= tokens <= most
