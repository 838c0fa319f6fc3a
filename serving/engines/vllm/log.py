"""Know what the lines of vLLM's log say of a start and of the load; read no file, know no failure.

Read in the source of vLLM 0.32.0 and 0.33.0 (v1/worker/gpu_worker.py, v1/core/kv_cache_utils.py, v1/engine/core.py,
v1/metrics/loggers.py), 2026-11; what a CPU can produce was seen in logs of 0.32.0, what an H200 does in logs of 0.26.0.
"""

import re
from collections.abc import Iterable

from ..log_summary import Opening, StartFact, StartSummary, Telltale, fact_of, summarize, telltale


def read_start_line(line: str) -> StartFact | None:
    """Read one line of vLLM's log; None: it says nothing about how far the start is."""
    return fact_of(line, _PHASES)


def start_summary(lines: Iterable[str]) -> StartSummary | None:
    """Read what a log tells of the memory and the time of a start; None: it tells nothing of one."""
    return summarize(lines, START, "vllm")


READY = re.compile(r"Starting vLLM server on |Application startup complete")
"""The server listens."""

STOPPED = re.compile(r"\[shutdown\] API server: shutdown triggered|^Shutting down")
"""Somebody ends the server; errors that follow are of no account."""

QUOTING = re.compile(r"^(?:Received request|Generated response|Request \S+ (?:details|JSON body))\b")
"""A line that may hold what a user or the model said. Source: entrypoints/serve/utils/request_logger.py."""

BANNER = re.compile(r"█ +version \d\S*$|^vLLM API server version \d")
"""The first words of a start."""

START: tuple[Telltale, ...] = (
    telltale(r"(?:█  version |vLLM API server version )(?P<version>\d\S*)"),
    telltale(r"█  model   (?P<model>\S.*)"),
    telltale(r"Resolved architecture: (?P<architecture>\w+)"),
    telltale(r"Using max model len (?P<max_model_len>\d+)"),
    telltale(r"max_num_batched_tokens=(?P<max_num_batched_tokens>\d+)\.$"),
    telltale(r"Model loading took (?P<weights_gib>[\d.]+) GiB(?: memory)? and (?P<load_s>[\d.]+) seconds", "most"),
    telltale(r"Loading weights took (?P<load_s>[\d.]+) seconds", "most"),
    telltale(r"torch\.compile (?:took|takes) (?P<compile_s>[\d.]+) s in total", "most"),
    telltale(
        r"Desired GPU memory utilization is \((?P<utilization>[\d.]+), (?P<requested_gib>[\d.]+) GiB\)\. Actual usage "
        r"is (?P<consumed_gib>-?[\d.]+) GiB for consumed memory \(weights \+ non-torch\), "
        r"(?P<activation_gib>-?[\d.]+) GiB for peak activation, and (?P<graph_gib>-?[\d.]+) GiB for CUDAGraph memory",
        "most",
    ),
    # 0.26.0.
    telltale(
        r"Desired GPU memory utilization is \((?P<utilization>[\d.]+), (?P<requested_gib>[\d.]+) GiB\)\. Actual usage "
        r"is (?P<weights_gib>[\d.]+) GiB for weight, (?P<activation_gib>-?[\d.]+) GiB for peak activation, "
        r"(?P<non_torch_gib>-?[\d.]+) GiB for non-torch memory, and (?P<graph_gib>-?[\d.]+) GiB for CUDAGraph memory",
        "most",
    ),
    telltale(
        r"CUDA graph pool memory: (?P<graph_gib>[\d.]+) GiB \(actual\), (?P<graph_estimated_gib>[\d.]+) GiB "
        r"\(estimated\)",
        "most",
    ),
    telltale(r"Graph capturing finished in (?P<capture_s>\d+) secs, took (?P<graph_gib>-?[\d.]+) GiB", "most"),
    telltale(r"Available KV cache memory: (?P<available_kv_gib>-?[\d.]+) GiB", "least"),
    telltale(
        r"KV cache size: (?P<kv_tokens>[\d,]+) tokens"
        r"(?:, Maximum concurrency for (?P<max_model_len>[\d,]+) tokens per request: (?P<max_concurrency>[\d.]+)x)?"
    ),
    # Up to 0.26 a line of its own.
    telltale(r"Maximum concurrency for (?P<max_model_len>[\d,]+) tokens per request: (?P<max_concurrency>[\d.]+)x"),
    telltale(r"Auto-fit max_model_len: reduced from \d+ to (?P<max_model_len>\d+)"),
    telltale(r"init engine .* took (?P<init_s>[\d.]+) s(?: \(compilation: (?P<compile_s>[\d.]+) s)?", "most"),
    telltale(r"Starting vLLM server on (?P<ready>)(?P<url>\S+)"),
    telltale(r"(?P<ready>Application startup complete)"),
)
"""Values of a start; the groups are fields of `StartSummary`."""

LOAD: tuple[Telltale, ...] = (
    telltale(
        r"Avg generation throughput: .*Running: (?P<running>\d+) reqs, Waiting: (?P<waiting>\d+) reqs.*?"
        r"KV cache usage: (?P<kv_usage_percent>[\d.]+)%",
        "most",
    ),
    telltale(r"Prefix cache hit rate: (?P<prefix_hit_percent>[\d.]+)%"),
    telltale(r"SpecDecoding metrics: Mean acceptance length: (?P<acceptance_length>[\d.]+)"),
)
"""Values of the load; the groups are fields of `LoadSummary`."""

# (what the line looks like, the phase it opens, what to say). Seen in vLLM 0.32.0 on the CPU, 0.33 by its source.
_PHASES: tuple[Opening, ...] = (
    (re.compile(r"version (?P<version>\d\S*)$"), "importing", "vLLM {version}: reading the settings"),
    (re.compile(r"Resolved architecture: (?P<arch>\w+)"), "importing", "{arch}: starting the engine's process"),
    (re.compile(r"Initializing a V1 LLM engine"), "importing", "starting the worker"),
    (re.compile(r"Starting to load model"), "loading weights", "reading the checkpoint"),
    (
        re.compile(r"Loading safetensors checkpoint shards: +(?P<percent>\d+)% .*?(?P<n>\d+/\d+)"),
        "loading weights",
        "{percent} %, {n} files of the checkpoint read",
    ),
    (re.compile(r"Loading weights took (?P<s>[\d.]+) seconds"), "loading weights", "weights read in {s} s"),
    (re.compile(r"Model loading took (?P<gib>[\d.]+) GiB"), "loading weights", "weights take {gib} GiB"),
    (re.compile(r"torch\.compile (?:took|takes) (?P<s>[\d.]+) s"), "warming up", "compiled in {s} s"),
    (
        re.compile(r"Available KV cache memory: (?P<gib>-?[\d.]+) GiB"),
        "warming up",
        "profiled: {gib} GiB are left for the KV cache",
    ),
    (
        re.compile(r"KV cache size: (?P<tokens>[\d,]+) tokens"),
        "warming up",
        "KV cache holds {tokens} tokens",
    ),
    (
        re.compile(r"Graph capturing finished in (?P<s>\d+) secs"),
        "warming up",
        "CUDA graphs captured in {s} s",
    ),
    (re.compile(r"init engine .* took (?P<s>[\d.]+) s"), "warming up", "engine ready after {s} s, starting the server"),
    (re.compile(r"Starting vLLM server on (?P<url>\S+)"), "warming up", "server starts on {url}"),
)
