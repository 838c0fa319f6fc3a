"""Find the nearest plan that fits after a start that ran out of memory; starts nothing."""

import re
from collections.abc import Sequence
from dataclasses import replace

from .planner import decide
from .planning import Change, Plan

OUT_OF_MEMORY = frozenset({"kv_too_small", "no_kv", "no_fit", "load_oom", "warm_oom", "torch_oom"})
"""Symptoms that a smaller configuration mends."""

# vLLM 0.33.0, v1/core/kv_cache_utils.py and v1/worker/gpu_worker.py, read 2026-11.
_LONGEST = re.compile(r"the estimated maximum model length is (\d+)")
_AVAILABLE = re.compile(r"Available KV cache memory: (-?[\d.]+) GiB")


def nearest_fit(plan: Plan, symptom: str, lines: Sequence[str]) -> Change | None:
    """Say what the user would lose least by.

    Args:
        plan: what was started.
        symptom: of what it died.
        lines: the log of that start: what the engine measured there counts more than what was planned.

    Returns:
        None: it did not run out of memory, or nothing that is known mends it.
    """
    if symptom not in OUT_OF_MEMORY:
        return None
    longest = _first(_LONGEST, lines)
    if longest is not None and _whole_blocks(int(longest), plan):
        return _capped(plan, _whole_blocks(int(longest), plan))
    available = _first(_AVAILABLE, lines)
    if available is None:
        # It did not come to a measurement. Then it needs more than was thought likely.
        other = plan.activation_bytes.high
    else:
        other = plan.requested_bytes - plan.weights_bytes - int(float(available) * 2**30)
    request = replace(plan.request, other_bytes=max(0, other))
    found = decide(request, lambda _: None).changes or plan.changes
    return replace(found[0], request=replace(found[0].request, other_bytes=plan.request.other_bytes)) if found else None


def _capped(plan: Plan, tokens: int) -> Change:
    return Change(
        request=replace(plan.request, max_model_len=tokens),
        what=f"cap the context at {tokens:,} tokens",
        option=f"--context {tokens}",
    )


def _whole_blocks(tokens: int, plan: Plan) -> int:
    return tokens // plan.request.block_size * plan.request.block_size


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> str | None:
    return next((found[1] for line in lines if (found := pattern.search(line))), None)
