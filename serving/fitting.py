"""Find the nearest plan that fits after a start that ran out of memory; pure: reads no log, starts nothing."""

import re
from dataclasses import replace

from .capacity.advice import SHORTEST_USEFUL
from .capacity.planner import decide
from .capacity.planning import Change, Plan
from .doctor.records import Diagnosis
from .startfacts import StartSummary

OUT_OF_MEMORY = frozenset(
    {
        "kv_too_small",
        "no_kv",
        "no_fit",
        "load_oom",
        "warm_oom",
        "torch_oom",
        "sglang_no_memory",
        "sglang_graphs",
    }
)
"""Symptoms that a smaller configuration mends."""

# vLLM 0.33.0, v1/core/kv_cache_utils.py, read 2026-11.
_LONGEST = re.compile(r"the estimated maximum model length is (\d+)")


def nearest_fit(plan: Plan, diagnosis: Diagnosis, summary: StartSummary | None) -> Change | None:
    """Say by what the user would lose least.

    Args:
        plan: what was started.
        diagnosis: of what it died.
        summary: what the engine measured before it died; it counts more than what was planned. None: nothing.

    Returns:
        None: it did not run out of memory, or nothing that is known mends it.
    """
    if diagnosis.symptom not in OUT_OF_MEMORY:
        return None
    longest = _LONGEST.search(diagnosis.evidence)
    tokens = _whole_blocks(int(longest[1]), plan) if longest else 0
    capped = _capped(plan, tokens) if tokens else None
    if tokens >= min(SHORTEST_USEFUL, plan.request.max_model_len // 2):
        return capped
    if summary is None or summary.available_kv_gib is None:
        # It did not come to a measurement. Then it needs more than was thought likely.
        other = plan.activation_bytes.high
    else:
        # Printed with two decimals: half of the last one less is there for certain.
        other = plan.requested_bytes - plan.weights_bytes - int((summary.available_kv_gib - 0.005) * 2**30)
    changes = decide(replace(plan.request, other_bytes=other), lambda _: None).changes
    if not changes:
        return capped
    # What was found here is no wish of the user: the next start measures anew.
    return replace(changes[0], request=replace(changes[0].request, other_bytes=plan.request.other_bytes))


def _capped(plan: Plan, tokens: int) -> Change:
    return Change(
        request=replace(plan.request, max_model_len=tokens),
        what=f"cap the context at {tokens:,} tokens",
        option=f"--context {tokens}",
    )


def _whole_blocks(tokens: int, plan: Plan) -> int:
    return tokens // plan.request.block_size * plan.request.block_size
