"""Patterns of vLLM's log lines about a start and the load; reads no file and covers no failures.

Source: vLLM 0.32.0 and 0.33.0 (v1/worker/gpu_worker.py, v1/core/kv_cache_utils.py, v1/engine/core.py,
v1/metrics/loggers.py), 2026-11; the CPU lines were also seen in logs of 0.32.0, those of an
H200 in logs of 0.26.0.
"""

import re
from collections.abc import Iterable

from ..log_summary import (
    PhasePattern,
    StartFact,
    StartSummary,
    ValuePattern,
    find_start_fact,
    summarize_start,
    value_pattern,
)


def read_start_line(line: str) -> StartFact | None:
    """Return the progress of a start that one line of vLLM's log shows; None if it shows none."""
    return find_start_fact(line, _PHASES)


def start_summary(lines: Iterable[str]) -> StartSummary | None:
    """Return the memory and timing of a start; None if the log shows no start."""
    return summarize_start(lines, START_VALUES, "vllm")


READY = re.compile(r"Starting vLLM server on |Application startup complete")
"""The server listens."""

STOPPED = re.compile(r"\[shutdown\] API server: shutdown triggered|^Shutting down|^Gracefully stopping http server")
"""The server is being stopped; errors that follow do not count."""

QUOTING = re.compile(r"^(?:Received request|Generated response|Request \S+ (?:details|JSON body))\b")
"""A line that may quote a user or the model. Source: entrypoints/serve/utils/request_logger.py."""

BANNER = re.compile(r"█ +version \d\S*$|^vLLM API server version \d")
"""The first lines of a start."""

START_VALUES: tuple[ValuePattern, ...] = (
    value_pattern(r"(?:█  version |vLLM API server version )(?P<version>\d\S*)"),
    value_pattern(r"█  model   (?P<model>\S.*)"),
    # A draft model's follows.
    value_pattern(r"Resolved architecture: (?P<architecture>\w+)", "first"),
    value_pattern(r"Using max model len (?P<max_model_len>\d+)"),
    value_pattern(r"max_num_batched_tokens=(?P<max_num_batched_tokens>\d+)\.$"),
    value_pattern(r"Model loading took (?P<weights_gib>[\d.]+) GiB(?: memory)? and (?P<load_s>[\d.]+) seconds", "max"),
    value_pattern(r"Loading weights took (?P<load_s>[\d.]+) seconds", "max"),
    value_pattern(r"torch\.compile (?:took|takes) (?P<compile_s>[\d.]+) s in total", "max"),
    value_pattern(r"(?P<compiles>Compiling a graph for compile range)"),
    value_pattern(r"(?P<finds_compiled>Directly load the compiled graph)"),
    value_pattern(
        r"Desired GPU memory utilization is \((?P<utilization>[\d.]+), (?P<requested_gib>[\d.]+) GiB\)\. Actual usage "
        r"is (?P<consumed_gib>-?[\d.]+) GiB for consumed memory \(weights \+ non-torch\), "
        r"(?P<activation_gib>-?[\d.]+) GiB for peak activation, and (?P<graph_gib>-?[\d.]+) GiB for CUDAGraph memory",
        "max",
    ),
    # 0.26.0.
    value_pattern(
        r"Desired GPU memory utilization is \((?P<utilization>[\d.]+), (?P<requested_gib>[\d.]+) GiB\)\. Actual usage "
        r"is (?P<weights_gib>[\d.]+) GiB for weight, (?P<activation_gib>-?[\d.]+) GiB for peak activation, "
        r"(?P<non_torch_gib>-?[\d.]+) GiB for non-torch memory, and (?P<graph_gib>-?[\d.]+) GiB for CUDAGraph memory",
        "max",
    ),
    value_pattern(
        r"CUDA graph pool memory: (?P<graph_gib>[\d.]+) GiB \(actual\), (?P<graph_estimated_gib>[\d.]+) GiB "
        r"\(estimated\)",
        "max",
    ),
    value_pattern(r"Graph capturing finished in (?P<capture_s>\d+) secs, took (?P<graph_gib>-?[\d.]+) GiB", "max"),
    value_pattern(r"Available KV cache memory: (?P<available_kv_gib>-?[\d.]+) GiB", "min"),
    value_pattern(
        r"KV cache size: (?P<kv_tokens>[\d,]+) tokens"
        r"(?:, Maximum concurrency for (?P<max_model_len>[\d,]+) tokens per request: (?P<max_concurrency>[\d.]+)x)?"
    ),
    # Up to 0.26, a separate line.
    value_pattern(
        r"Maximum concurrency for (?P<max_model_len>[\d,]+) tokens per request: (?P<max_concurrency>[\d.]+)x"
    ),
    value_pattern(r"Auto-fit max_model_len: reduced from \d+ to (?P<max_model_len>\d+)"),
    value_pattern(r"init engine .* took (?P<init_s>[\d.]+) s(?: \(compilation: (?P<compile_s>[\d.]+) s)?", "max"),
    value_pattern(r"Starting vLLM server on (?P<ready>)(?P<url>\S+)"),
    value_pattern(r"(?P<ready>Application startup complete)"),
)
"""Values of a start; the groups are fields of `StartSummary`."""

LOAD_VALUES: tuple[ValuePattern, ...] = (
    value_pattern(
        r"Avg generation throughput: .*Running: (?P<running>\d+) reqs, Waiting: (?P<waiting>\d+) reqs.*?"
        r"KV cache usage: (?P<kv_usage_percent>[\d.]+)%",
        "max",
    ),
    value_pattern(r"Prefix cache hit rate: (?P<prefix_hit_percent>[\d.]+)%"),
    value_pattern(r"SpecDecoding metrics: Mean acceptance length: (?P<acceptance_length>[\d.]+)"),
)
"""Values of the load; the groups are fields of `LoadSummary`."""

# Seen in vLLM 0.32.0 on the CPU; for 0.33, read in its source.
_PHASES: tuple[PhasePattern, ...] = (
    (
        re.compile(r"(?:█ +version|vLLM API server version) (?P<version>\d\S*)$"),
        "importing",
        "vLLM {version}: reading the settings",
    ),
    (re.compile(r"Resolved architecture: (?P<arch>\w+)"), "importing", "{arch}: settings read"),
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
