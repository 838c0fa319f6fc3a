"""Find the nearest plan that fits after a start that ran out of memory; pure: reads no log, starts nothing."""

from dataclasses import replace

from .advice import SHORTEST_USEFUL
from .planner import decide
from .sizing import Change, Plan

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
"""The doctor's names of the symptoms that a smaller configuration fixes."""


def nearest_fit(
    plan: Plan, *, symptom: str, longest_tokens: int | None, available_kv_gib: float | None
) -> Change | None:
    """Return the smallest change that makes the plan fit.

    Args:
        plan: what was started.
        symptom: the doctor's name for what ended the start.
        longest_tokens: the longest context that fits according to the engine. None if it printed none.
        available_kv_gib: GiB for the KV cache per GPU, as the engine measured it; overrides the planned value. None if
            the start ended before the measurement.

    Returns:
        None if it did not run out of memory, or if no known change fixes it.
    """
    if symptom not in OUT_OF_MEMORY:
        return None
    tokens = _whole_blocks(longest_tokens or 0, plan)
    capped = _capped(plan, tokens) if tokens else None
    if tokens >= min(SHORTEST_USEFUL, plan.request.max_model_len // 2):
        return capped
    if available_kv_gib is None:
        # Without a measurement, assume the high end of the estimate.
        other = plan.activation_bytes.high
    else:
        # Printed with two decimals, so the true value may be up to 0.005 smaller.
        other = plan.requested_bytes - plan.weights_bytes - int((available_kv_gib - 0.005) * 2**30)
    changes = decide(replace(plan.request, other_bytes=other), lambda _: None).changes
    if not changes:
        return capped
    # This value was measured, not requested by the user: the next start measures again.
    return replace(changes[0], request=replace(changes[0].request, other_bytes=plan.request.other_bytes))


def _capped(plan: Plan, tokens: int) -> Change:
    return Change(
        request=replace(plan.request, max_model_len=tokens),
        what=f"cap the context at {tokens:,} tokens",
        option=f"--context {tokens}",
    )


def _whole_blocks(tokens: int, plan: Plan) -> int:
    return tokens // plan.request.block_size * plan.request.block_size
