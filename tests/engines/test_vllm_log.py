"""vLLM's log lines about a start and the load: recorded on a CPU and an H200, or rendered from the source."""

from pathlib import Path

import pytest

from serving.doctor import read_log
from serving.engines.log_summary import LoadSummary, StartFact, StartSummary
from serving.engines.vllm.log import read_start_line, start_summary

REAL = Path(__file__).parents[1] / "data" / "engine_logs" / "vllm-0.32.0-cpu"

# Rendered from the source of vLLM 0.33.0: v1/worker/gpu_worker.py, v1/worker/gpu/model_runner.py,
# v1/core/kv_cache_utils.py, v1/engine/core.py, compilation/monitor.py. The numbers are made up.
GPU = """\
(APIServer pid=1) INFO 11-23 10:00:00 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.33.0
(APIServer pid=1) INFO 11-23 10:00:00 [api_utils.py:347]   █▄█▀ █     █     █     █  model   /models/medium
(APIServer pid=1) INFO 11-23 10:00:05 [model.py:733] Resolved architecture: PixtralForConditionalGeneration
(APIServer pid=1) INFO 11-23 10:00:05 [model.py:2152] Using max model len 32768
(APIServer pid=1) INFO 11-23 10:00:05 [sched.py:1] Chunked prefill is enabled with max_num_batched_tokens=16384.
(Worker_TP0 pid=3) INFO 11-23 10:01:00 [runner.py:425] Model loading took 31.38 GiB memory and 98.250000 seconds
(Worker_TP1 pid=4) INFO 11-23 10:01:00 [runner.py:425] Model loading took 31.37 GiB memory and 99.500000 seconds
(Worker_TP0 pid=3) INFO 11-23 10:02:00 [monitor.py:20] torch.compile took 41.25 s in total
(Worker_TP0 pid=3) INFO 11-23 10:02:10 [gpu_worker.py:759] Available KV cache memory: 33.10 GiB
(Worker_TP1 pid=4) INFO 11-23 10:02:10 [gpu_worker.py:759] Available KV cache memory: 33.05 GiB
(EngineCore pid=2) INFO 11-23 10:02:11 [kv_cache_utils.py:1147] GPU KV cache size: 393,792 tokens, Maximum concurrency \
for 32,768 tokens per request: 12.02x
(Worker_TP0 pid=3) INFO 11-23 10:02:30 [runner.py:1128] Graph capturing finished in 17 secs, took 0.88 GiB
(Worker_TP0 pid=3) INFO 11-23 10:02:30 [gpu_worker.py:971] CUDA graph pool memory: 0.88 GiB (actual), 0.95 GiB \
(estimated), difference: 0.07 GiB (8.0%).
(Worker_TP0 pid=3) INFO 11-23 10:02:31 [gpu_worker.py:1034] Free memory on device (78.6/79.11 GiB) on startup. Desired \
GPU memory utilization is (0.85, 67.24 GiB). Actual usage is 31.97 GiB for consumed memory (weights + non-torch), \
1.4 GiB for peak activation, and 0.88 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with \
`--kv-cache-memory=1` (1.0 GiB) to fit into requested memory.
(EngineCore pid=2) INFO 11-23 10:02:32 [core.py:397] init engine (profile, create kv cache, warmup model) took 91.30 s \
(compilation: 41.25 s)
(APIServer pid=1) INFO 11-23 10:02:33 [entry.py:140] Starting vLLM server on http://127.0.0.1:8000
(APIServer pid=1) INFO 11-23 10:03:00 [loggers.py:310] Engine 000: Avg prompt throughput: 500.0 tokens/s, Avg \
generation throughput: 900.0 tokens/s, Running: 12 reqs, Waiting: 3 reqs, GPU KV cache usage: 92.5%, Prefix cache hit \
rate: 41.0%
(APIServer pid=1) INFO 11-23 10:03:00 [metrics.py:120] SpecDecoding metrics: Mean acceptance length: 1.72, Accepted \
throughput: 1.00 tokens/s
(APIServer pid=1) INFO 11-23 10:03:10 [loggers.py:310] Engine 000: Avg prompt throughput: 0.0 tokens/s, Avg \
generation throughput: 90.0 tokens/s, Running: 2 reqs, Waiting: 0 reqs, GPU KV cache usage: 12.5%, Prefix cache hit \
rate: 44.0%
"""


def real(case: str) -> list[str]:
    return (REAL / f"{case}.log").read_text(encoding="utf-8").split("\n")


def test_the_summary_of_a_start_on_two_gpus_is_that_of_the_tighter_one():
    assert start_summary(GPU.splitlines()) == StartSummary(
        engine="vllm",
        version="0.33.0",
        model="/models/medium",
        architecture="PixtralForConditionalGeneration",
        max_model_len=32768,
        max_num_batched_tokens=16384,
        utilization=0.85,
        requested_gib=67.24,
        weights_gib=31.38,
        consumed_gib=31.97,
        activation_gib=1.4,
        graph_gib=0.88,
        graph_estimated_gib=0.95,
        available_kv_gib=33.05,
        kv_tokens=393792,
        max_concurrency=12.02,
        load_s=99.5,
        compile_s=41.25,
        capture_s=17.0,
        init_s=91.3,
        url="http://127.0.0.1:8000",
        ready=True,
    )


def test_the_summary_of_a_real_start_on_the_cpu():
    assert start_summary(real("healthy")) == StartSummary(
        engine="vllm",
        version="0.32.0",
        model="/home/user/models/pocket",
        architecture="MistralForCausalLM",
        max_model_len=8192,
        kv_tokens=279552,
        max_concurrency=34.12,
        load_s=0.03,
        init_s=6.36,
        url="http://127.0.0.1:8761",
        ready=True,
    )


def test_the_summary_of_an_auto_fitted_start_has_the_chosen_length():
    summary = start_summary(real("auto_fit"))

    assert summary is not None
    assert (summary.max_model_len, summary.kv_tokens, summary.ready) == (384, 512, True)


def test_a_start_that_failed_is_not_ready():
    summary = start_summary(real("kv_too_small"))

    assert summary is not None
    assert (summary.ready, summary.kv_tokens, summary.url) == (False, None, None)


def test_a_text_without_a_start_has_no_summary():
    assert start_summary(["hello", ""]) is None


def test_the_load_summary_has_peak_counts_and_last_rates():
    assert read_log(GPU).load == LoadSummary(
        running=12, waiting=3, kv_usage_percent=92.5, prefix_hit_percent=44.0, acceptance_length=1.72
    )


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        (
            "Loading safetensors checkpoint shards:  33% Completed | 1/3 [00:10<00:20, 10.00s/it]",
            StartFact(phase="loading weights", detail="33 %, 1/3 files of the checkpoint read"),
        ),
        (
            "(Worker_TP0 pid=3) INFO 11-23 10:02:00 [monitor.py:20] torch.compile took 41.25 s in total",
            StartFact(phase="warming up", detail="compiled in 41.25 s"),
        ),
        (
            "(Worker_TP0 pid=3) INFO 11-23 10:02:10 [gpu_worker.py:759] Available KV cache memory: 33.10 GiB",
            StartFact(phase="warming up", detail="profiled: 33.10 GiB are left for the KV cache"),
        ),
        (
            "(Worker_TP0 pid=3) INFO 11-23 10:02:30 [x.py:1] Graph capturing finished in 17 secs, took 0.88 GiB",
            StartFact(phase="warming up", detail="CUDA graphs captured in 17 s"),
        ),
    ],
)
def test_a_log_line_shows_the_progress_of_a_start_on_a_gpu(line: str, fact: StartFact):
    assert read_start_line(line) == fact


def test_the_summary_of_a_real_start_on_an_h200():
    log = (REAL.parent / "vllm-0.26.0-cuda" / "healthy.log").read_text(encoding="utf-8")

    assert start_summary(log.split("\n")) == StartSummary(
        engine="vllm",
        version="0.26.0",
        model="/home/user/models/medium-3.5-128b",
        architecture="PixtralForConditionalGeneration",
        max_model_len=8192,
        max_num_batched_tokens=8192,
        utilization=0.97,
        requested_gib=135.61,
        weights_gib=119.5,
        non_torch_gib=0.22,
        activation_gib=1.84,
        graph_gib=0.97,
        available_kv_gib=14.03,
        kv_tokens=41792,
        max_concurrency=5.1,
        load_s=12.151719,
        compile_s=25.52,
        compiled=True,
        capture_s=7.0,
        init_s=58.4,
        url="http://0.0.0.0:8000",
        ready=True,
    )
