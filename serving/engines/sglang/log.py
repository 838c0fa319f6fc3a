"""Patterns of SGLang's log lines about a start, the load and failures; reads no file and explains nothing.

Source: SGLang 0.5.23 (managers/scheduler.py, model_executor/model_runner.py, pool_configurator.py,
managers/tokenizer_manager.py, entrypoints/engine.py, observability), 2026-11. None of it was seen running.
"""

import re
from collections.abc import Iterable

from ..log_patterns import LogPattern, pattern
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
    """Return the progress of a start that one line of SGLang's log shows; None if it shows none."""
    return find_start_fact(line, _PHASES)


def start_summary(lines: Iterable[str]) -> StartSummary | None:
    """Return the memory and timing of a start; None if the log shows no start."""
    return summarize_start(lines, START_VALUES, "sglang")


READY = re.compile(r"The server is fired up and ready to roll!")
"""The server listens."""

STOPPED = re.compile(r"^Shutting down|Gracefully exiting|^SIGTERM received")
"""The server is being stopped; errors that follow do not count."""

QUOTING = re.compile(r"^(?:Receive(?: OpenAI)?|Finish): obj=")
"""A line that may quote a user or the model. Source: utils/request_logger.py."""

BANNER = re.compile(r"server_args=ServerArgs\(")
"""The first lines of a start."""

START_VALUES: tuple[ValuePattern, ...] = (
    value_pattern(r"server_args=ServerArgs\(.*model_path='(?P<model>[^']+)'"),
    # SGLang writes GB but counts in GiB: get_available_gpu_memory divides by 1 << 30.
    value_pattern(r"Load weight end\. elapsed=(?P<load_s>[\d.]+) s", "max"),
    value_pattern(r"Load weight end\. .*?type=(?P<architecture>\w+)"),
    value_pattern(r"Load weight end\. .*mem usage=(?P<weights_gib>[\d.]+) GB", "max"),
    value_pattern(r"max_total_num_tokens=(?P<kv_tokens>\d+), chunked_prefill_size=(?P<max_num_batched_tokens>-?\d+)"),
    value_pattern(r"max_total_num_tokens=.*context_len=(?P<max_model_len>\d+)"),
    value_pattern(r"Capture .* end\. .*elapsed=(?P<capture_s>[\d.]+) s, mem usage=(?P<graph_gib>-?[\d.]+) GB", "max"),
    value_pattern(r"Uvicorn running on (?P<url>http\S+)"),
    value_pattern(r"(?P<ready>The server is fired up and ready to roll!)"),
)
"""Values of a start; the groups are fields of `StartSummary`."""

LOAD_VALUES: tuple[ValuePattern, ...] = (
    value_pattern(r"(?:Decode|Prefill) batch.*#running-req: (?P<running>\d+)", "max"),
    value_pattern(r"(?:Decode|Prefill) batch.*#queue-req: (?P<waiting>\d+)", "max"),
    value_pattern(r"accept len: (?P<acceptance_length>[\d.]+), accept rate: "),
)
"""Values of the load; the groups are fields of `LoadSummary`."""

_PHASES: tuple[PhasePattern, ...] = (
    (re.compile(r"server_args=ServerArgs\("), "importing", "SGLang: reading the settings"),
    (
        re.compile(r"Load weight begin\. avail mem=(?P<gb>[\d.]+) GB"),
        "loading weights",
        "reading the checkpoint, {gb} GB are free",
    ),
    (
        re.compile(r"Load weight end\. elapsed=(?P<s>[\d.]+) s.*mem usage=(?P<gb>[\d.]+) GB"),
        "loading weights",
        "weights read in {s} s, they take {gb} GB",
    ),
    (
        re.compile(r"Memory pool end\. avail mem=(?P<gb>[\d.]+) GB"),
        "warming up",
        "KV cache allocated, {gb} GB are free",
    ),
    (re.compile(r"max_total_num_tokens=(?P<tokens>\d+),"), "warming up", "KV cache holds {tokens} tokens"),
    (re.compile(r"The server is fired up and ready to roll!"), "warming up", "server starts"),
)

LOG_PATTERNS: tuple[LogPattern, ...] = (
    pattern(
        "sglang_no_memory",
        r"Not enough memory\. Please try to increase --mem-fraction-static\."
        r"(?: Current value: (?:self\.server_args\.)?mem_fraction_static=(?P<fraction>[\d.]+))?",
    ),
    pattern("sglang_graphs", r"(?i:capture (?:piecewise )?cuda graph failed): (?P<why>.+)"),
    pattern("sglang_retract", r"KV cache pool is full\. Retract requests\. #retracted_reqs: (?P<n>\d+)"),
    pattern("sglang_batch_oom", r"(?P<which>Prefill|Decode) out of memory\. Try to lower your batch size"),
    pattern("sglang_unbalanced", r"The memory capacity is unbalanced\. Some GPUs may be occupied by other processes"),
    pattern(
        "len_too_great",
        r"context_length \((?P<len>\d+)\) is greater than the derived context_length \((?P<max>\d+)\)",
    ),
    pattern("other_rank_failed", r"TP rank (?P<rank>\d+) could finish the model loading, but there are other ranks"),
    pattern(
        "package_too_old",
        r"\b(?P<package>[\w-]{1,60})'? is installed with version (?P<have>\S+), which is less than the minimum "
        r"required version (?P<least>\d[\w.]*\w)",
    ),
    pattern("sglang_watchdog", r"(?i:watchdog timeout) \(.*watchdog_timeout=(?P<s>\d+)"),
    pattern("sglang_unhealthy", r"couldn't get a response from (?P<who>\w+) for last (?P<s>\d+) seconds"),
    pattern(
        "context_too_long",
        r"The input \((?P<n>\d+) (?P<unit>tokens)\) is longer than the model's context length \((?P<max>\d+) tokens\)",
    ),
    pattern(
        "context_too_long",
        r"exceeds the model's maximum context length of (?P<max>\d+) tokens\. You requested a total of (?P<n>\d+) "
        r"(?P<unit>tokens)",
    ),
    pattern("sglang_draft_dtype", r"'str' object has no attribute 'get_quant_method'"),
    pattern("killed", r"Rank (?P<who>\d+) scheduler died during initialization \(exit code: -9\)"),
    pattern("crashed", r"Rank (?P<who>\d+) scheduler died during initialization \(exit code: (?P<code>-(?!9\b)\d+)\)"),
    # 0.4 and 0.5: two lines, the second without the rank.
    pattern("killed", r"^Exit code: -9$"),
    pattern("crashed", r"^(?P<who>)Exit code: (?P<code>-(?!9\b|15\b|3\b)\d+)$"),
    pattern("worker_lost", r"(?P<who>Rank \d+ scheduler) is dead\. Please check if there are relevant logs"),
    pattern("bad_flag", r"error: unrecognized arguments: (?P<arguments>(?P<flag>\S+).*)"),
    pattern("bad_value", r"error: argument (?P<flag>--\S+): (?P<why>.+)"),
    pattern("port_in_use", r"Port is already in use\."),
)

DEATH = re.compile(
    # "proces": up to 0.3.
    r"Received sigquit from a child proces|SIGQUIT received|scheduler died during initialization|"
    r"hit an exception|scheduler is dead|^Exit code: |Initialization failed\. Please see the error|"
    r"Failed to initialize scheduler"
)
"""A line that reports only that the engine ended; the reason is above it."""

FLAGS = (
    *("--model-path", "--tokenizer-path", "--host", "--port", "--api-key", "--served-model-name", "--context-length"),
    *("--tp-size", "--dp-size", "--pp-size", "--dtype", "--quantization", "--kv-cache-dtype", "--load-format"),
    *("--mem-fraction-static", "--max-running-requests", "--max-total-tokens", "--chunked-prefill-size", "--page-size"),
    *("--tool-call-parser", "--reasoning-parser", "--chat-template", "--enable-metrics", "--log-level"),
    *(
        "--speculative-algorithm",
        "--speculative-draft-model-path",
        "--speculative-num-steps",
        "--speculative-eagle-topk",
    ),
    *("--speculative-num-draft-tokens", "--cuda-graph-max-bs-decode", "--trust-remote-code", "--enable-torch-compile"),
)
"""Flags in common use, for suggesting the nearest. Source: server_args.py of SGLang 0.5.23."""
