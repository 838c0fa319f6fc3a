"""Format the speeds of a plan for people and as JSON; estimates nothing."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.capacity.sizing import Plan
    from serving.capacity.speed_records import Decode, Prompt, Range, Speeds

    from .plan_json import JsonValue


def speed_table(plan: Plan, width: int) -> str:
    """Format the speeds as a table of at most `width` columns; empty if they are not known."""
    speeds = plan.speeds
    if speeds is None or not speeds.decode or plan.starts == "no":
        return ""
    source = f"measured on {speeds.measured}" if speeds.measured else "estimated, with the efficiencies of H200s"
    rows = [("decode, tokens/s", _decode(plan, speeds))]
    if speeds.prompts:
        prompts = (f"{one.tokens // 1000}k: {_span(one.seconds, speeds)}" for one in speeds.prompts)
        rows.append(("prompt, seconds", ", ".join(prompts)))
    if speeds.effort_switch:
        switch = speeds.effort_switch
        price = f"{_span(switch.seconds, speeds)} s after {switch.tokens:,} tokens, which are read again"
        rows.append(("effort switch", price))
    label = max(len(name) for name, _ in rows)
    lines = [
        textwrap.fill(
            text,
            width,
            initial_indent=f"  {name:{label}}  ",
            subsequent_indent=" " * (label + 4),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in rows
    ]
    return "\n".join([f"Speed, {source}", *lines])


def speed_line(plan: Plan) -> str:
    """Format the most important speeds in one sentence; empty if they are not known."""
    speeds = plan.speeds
    if speeds is None or not speeds.decode:
        return ""
    word = "measured" if speeds.measured else "estimated"
    switch = speeds.effort_switch
    price = (
        f"; an effort switch after {switch.tokens:,} tokens takes {_span(switch.seconds, speeds)} s" if switch else ""
    )
    return f"One request decodes {_span(speeds.decode[0].tokens_s, speeds)} tokens/s ({word}){price}."


def speeds_object(speeds: Speeds | None) -> JsonValue:
    """Return the object of the speeds in `agent plan --json`."""
    if speeds is None:
        return None
    draft = speeds.draft
    return {
        "measured": speeds.measured,
        "decode": [
            {"requests": one.requests, "context_tokens": one.context_tokens, "tokens_s": _bounds(one.tokens_s)}
            for one in speeds.decode
        ],
        "prompts": [_prompt_object(one) for one in speeds.prompts],
        "effort_switch": None if speeds.effort_switch is None else _prompt_object(speeds.effort_switch),
        "draft": None if draft is None else {"lost": round(draft.lost, 3), "pays_from": round(draft.pays_from, 2)},
        "eager_share": None if speeds.eager_share is None else round(speeds.eager_share, 2),
    }


def _decode(plan: Plan, speeds: Speeds) -> str:
    parts = [f"{_requests(plan, one)}: {_span(one.tokens_s, speeds)}" for one in speeds.decode]
    return ", ".join(parts)


def _requests(plan: Plan, decode: Decode) -> str:
    if decode.requests > 1:
        return f"{decode.requests} together"
    if decode.context_tokens == plan.request.max_model_len:
        return "1 with a full context"
    return "1 request" if decode.context_tokens <= _SHORT else f"1 with {decode.context_tokens:,} tokens of context"


_SHORT = 256


def _span(found: Range, speeds: Speeds) -> str:
    """Format a measured value as one number, and an estimate as its range."""
    if speeds.measured:
        return _number(found.likely)
    low, high = _number(found.low), _number(found.high)
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{round(value, -1):,.0f}"
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}"


def _prompt_object(prompt: Prompt) -> JsonValue:
    seconds = prompt.seconds
    return {
        "tokens": prompt.tokens,
        "seconds": {
            "low": round(seconds.low, 2),
            "likely": round(seconds.likely, 2),
            "high": round(seconds.high, 2),
        },
    }


def _bounds(found: Range) -> JsonValue:
    return {"low": round(found.low, 1), "likely": round(found.likely, 1), "high": round(found.high, 1)}
