"""Read the Prometheus text of an engine's /metrics into one record; asks nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class EngineMetrics:
    """What an engine says of its load and its caches; None: it does not say.

    Several engines behind one address (data parallel) are taken together: counts are added up, and of shares the
    highest is taken for `kv_usage`, the mean for SGLang's own rates.
    """

    engine: Literal["vllm", "sglang", "unknown"]
    """By the names of the metrics. `unknown`: neither's are there, or the text is no Prometheus text."""
    running: int | None = None
    """Requests being worked on now."""
    waiting: int | None = None
    """Requests in the queue now."""
    kv_usage: float | None = None
    """Share of the KV cache in use now, 0 to 1."""
    preemptions: int | None = None
    """Requests thrown out of the KV cache for lack of room since the start, to be computed again."""
    prompt_tokens: int | None = None
    """Prompt tokens since the start, cached ones included."""
    generation_tokens: int | None = None
    """Tokens written since the start."""
    prefix_queries: int | None = None
    """Prompt tokens looked up in the prefix cache since the start; vLLM only."""
    prefix_hits: int | None = None
    """Those of them that were found; vLLM only."""
    prefix_hit_rate: float | None = None
    """Share of prompt tokens found in the prefix cache, 0 to 1: vLLM since the start, SGLang of its last batch."""
    drafts: int | None = None
    """Times the draft model proposed tokens since the start; None also when no draft model runs; vLLM only."""
    accepted_tokens: int | None = None
    """Proposed tokens that were accepted since the start; vLLM only."""
    acceptance_length: float | None = None
    """Tokens per pass of the model, 1 or more; None also before the first draft."""


def parse_metrics(text: str) -> EngineMetrics:
    """Read the text of /metrics; never raises, whatever the text is."""
    values = _values(text)
    if any(name.startswith("vllm:") for name in values):
        return _vllm(values)
    if any(name.startswith("sglang:") for name in values):
        return _sglang(values)
    return EngineMetrics(engine="unknown")


# Name of a sample to its values, one for each set of labels.
_Values = Mapping[str, list[float]]


def _values(text: str) -> _Values:
    from prometheus_client.parser import text_string_to_metric_families  # slow to import: 0.17 s

    values: dict[str, list[float]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found = values.setdefault(sample.name, [])
                if isfinite(sample.value):  # what is no number stands for: nothing to say
                    found.append(sample.value)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError):
        # The parser reports a foreign text in all these ways; what it has read before is not to be trusted either.
        return {}
    return values


def _vllm(values: _Values) -> EngineMetrics:
    # Names: vLLM 0.32.0, v1/metrics/loggers.py and v1/spec_decode/metrics.py; the spec_decode ones exist only with a
    # draft. Mean acceptance length as its own log line computes it: 1 + accepted / drafts.
    queries = _sum(values, "vllm:prefix_cache_queries_total")
    hits = _sum(values, "vllm:prefix_cache_hits_total")
    drafts = _sum(values, "vllm:spec_decode_num_drafts_total")
    accepted = _sum(values, "vllm:spec_decode_num_accepted_tokens_total")
    return EngineMetrics(
        engine="vllm",
        running=_sum(values, "vllm:num_requests_running"),
        waiting=_sum(values, "vllm:num_requests_waiting"),
        kv_usage=_highest(values, "vllm:kv_cache_usage_perc"),
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
    # Names: SGLang 0.5.23, read 2026-11. `num_retracted_reqs` counts events in a gauge; some releases also have the
    # counter beside it.
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
        # The gauge stands at 0 while nothing is drafted; a real length is 1 at the least.
        acceptance_length=length if length else None,
    )


def _sum(values: _Values, *names: str) -> int | None:
    """Add up the first of the names that is there."""
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
