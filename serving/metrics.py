"""Parse the Prometheus text of an engine's /metrics into one record; sends no requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class EngineMetrics:
    """An engine's load and cache figures; None means the engine does not report the value.

    Several engines behind one address (data parallel) are combined: counts are summed; shares use the maximum for
    `kv_usage` and the mean for SGLang's own rates.
    """

    engine: Literal["vllm", "sglang", "unknown"]
    """From the metric names. `unknown` means neither engine's metrics are present, or the text is not in the format."""
    running: int | None = None
    """Requests running now."""
    waiting: int | None = None
    """Requests in the queue now."""
    kv_usage: float | None = None
    """Share of the KV cache in use now, 0 to 1."""
    kv_tokens: int | None = None
    """Tokens that the KV cache holds; vLLM only."""
    preemptions: int | None = None
    """Requests evicted from the KV cache for lack of space since the start; they are recomputed."""
    prompt_tokens: int | None = None
    """Prompt tokens since the start, cached ones included."""
    generation_tokens: int | None = None
    """Tokens generated since the start."""
    prefix_queries: int | None = None
    """Prompt tokens looked up in the prefix cache since the start; vLLM only."""
    prefix_hits: int | None = None
    """Prompt tokens found in the prefix cache since the start; vLLM only."""
    prefix_hit_rate: float | None = None
    """Share of prompt tokens found in the prefix cache, 0 to 1: since the start for vLLM, last batch for SGLang."""
    drafts: int | None = None
    """Times the draft model proposed tokens since the start; None also if no draft model runs; vLLM only."""
    accepted_tokens: int | None = None
    """Proposed tokens accepted since the start; vLLM only."""
    acceptance_length: float | None = None
    """Tokens per forward pass of the model, at least 1; None also before the first draft."""


def parse_metrics(text: str) -> EngineMetrics:
    """Parse the text of /metrics; never raises."""
    values = _values(text)
    if any(name.startswith("vllm:") for name in values):
        return _vllm(values)
    if any(name.startswith("sglang:") for name in values):
        return _sglang(values)
    return EngineMetrics(engine="unknown")


_KV_TOKENS = "tokens of the KV cache"
"""Not the name of a sample: blocks times tokens per block, from the labels of vLLM's cache_config_info."""

# Sample name to its values, one for each set of labels.
_Values = Mapping[str, list[float]]


def _values(text: str) -> _Values:
    from prometheus_client.parser import text_string_to_metric_families  # slow to import: 0.17 s

    values: dict[str, list[float]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found = values.setdefault(sample.name, [])
                if isfinite(sample.value):  # NaN and Inf mean no value
                    found.append(sample.value)
                sizes = sample.labels.get("num_gpu_blocks", ""), sample.labels.get("block_size", "")
                if sample.name == "vllm:cache_config_info" and all(map(str.isdigit, sizes)):  # else it says None
                    values.setdefault(_KV_TOKENS, []).append(float(int(sizes[0]) * int(sizes[1])))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError):
        # The parser raises any of these on text in another format; do not trust what it read before that either.
        return {}
    return values


def _vllm(values: _Values) -> EngineMetrics:
    # Names: vLLM 0.32.0, v1/metrics/loggers.py and v1/spec_decode/metrics.py; the spec_decode ones exist only with a
    # draft model. The mean acceptance length is computed as in vLLM's own log line: 1 + accepted / drafts.
    queries = _sum(values, "vllm:prefix_cache_queries_total")
    hits = _sum(values, "vllm:prefix_cache_hits_total")
    drafts = _sum(values, "vllm:spec_decode_num_drafts_total")
    accepted = _sum(values, "vllm:spec_decode_num_accepted_tokens_total")
    return EngineMetrics(
        engine="vllm",
        running=_sum(values, "vllm:num_requests_running"),
        waiting=_sum(values, "vllm:num_requests_waiting"),
        kv_usage=_highest(values, "vllm:kv_cache_usage_perc"),
        kv_tokens=_sum(values, _KV_TOKENS),
        preemptions=_sum(values, "vllm:num_preemptions_total"),
        prompt_tokens=_sum(values, "vllm:prompt_tokens_total"),
        generation_tokens=_sum(values, "vllm:generation_tokens_total"),
        prefix_queries=queries,
        prefix_hits=hits,
        prefix_hit_rate=hits / queries if queries and hits is not None else None,
        drafts=drafts,
        accepted_tokens=accepted,
        acceptance_length=1 + accepted / drafts if drafts and accepted is not None else None,
    )


def _sglang(values: _Values) -> EngineMetrics:
    # Names: SGLang 0.5.23, read 2026-11. `num_retracted_reqs` is a gauge that counts events; some releases also have a
    # counter.
    retracted = _sum(values, "sglang:num_retracted_requests_total", "sglang:num_retracted_reqs")
    length = _mean(values, "sglang:spec_accept_length")
    return EngineMetrics(
        engine="sglang",
        running=_sum(values, "sglang:num_running_reqs"),
        waiting=_sum(values, "sglang:num_queue_reqs"),
        kv_usage=_highest(values, "sglang:token_usage"),
        preemptions=retracted,
        prompt_tokens=_sum(values, "sglang:prompt_tokens_total"),
        generation_tokens=_sum(values, "sglang:generation_tokens_total"),
        prefix_hit_rate=_mean(values, "sglang:cache_hit_rate"),
        # The gauge is 0 while nothing is drafted; a real length is at least 1.
        acceptance_length=length if length else None,
    )


def _sum(values: _Values, *names: str) -> int | None:
    """Sum the values of the first name that is present."""
    name = next((name for name in names if name in values), "")
    found = values.get(name)
    total = sum(found) if found else None
    return int(total) if total is not None and isfinite(total) else None


def _highest(values: _Values, name: str) -> float | None:
    found = values.get(name)
    return max(found) if found else None


def _mean(values: _Values, name: str) -> float | None:
    found = values.get(name)
    return sum(found) / len(found) if found else None
