"""Format what it costs to go on with a run on another server, before anything is sent to it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..journal.events import Adapted, Event, Replied, RunStarted
from ..model.profiles import Surface
from ..model.protocol import Served
from .state import RunState
from .window import LIKELY_BYTES_PER_TOKEN, min_reply_tokens

_MIN_READ_TOKENS = 500
"""A shorter prompt says little about how fast an engine reads."""
_LACKS = {
    "strict": "strict tools (calls are checked here all the same)",
    "tool_choice": "tool_choice",
    "required": "a required call",
    "named": "a named call",
    "schema_field": "replies that are constrained to a schema",
    "images": "images",
    "effort": "reasoning effort",
}
"""Fields of `Surface` that a run may rely on, and what is missing without them."""


def told_before_moving(
    state: RunState, served: Served, base_url: str, surface: Surface, events: Sequence[Event]
) -> tuple[str, ...]:
    """Return what to tell about the server that a run is resumed on. Empty if it is the one before.

    Args:
        state: of the run, still with the server before.
        served: what the server has.
        base_url: of the server.
        surface: what the server is known to support.
        events: of the run so far.
    """
    before, tokens = (
        state.started,
        state.size.estimate(state.history.wire_bytes, bytes_per_token=LIKELY_BYTES_PER_TOKEN),
    )
    if (base_url, served.model) == (before.base_url, before.model):
        return _about_window(state, served.window_tokens, tokens)
    goes_on = f"The run goes on with {served.model} at {base_url}, after {before.model} at {before.base_url}."
    if served.model != before.model:
        goes_on += " If these are not two names of one model, the rest is the work of another model."
    if state.spent.steps:
        goes_on += f" {_about_reading(state, tokens, events)}"
    missed = {field for event in events if isinstance(event, Adapted) for field in event.surface}
    lacks = [what for field, what in _LACKS.items() if not getattr(surface, field) and field not in missed]
    about_lacks = (
        (f"The run goes on without what this server is known not to take: {', '.join(lacks)}.",) if lacks else ()
    )
    return (goes_on, *_about_window(state, served.window_tokens, tokens), *about_lacks)


def prefill_speed(events: Iterable[Event]) -> float | None:
    """Return how many tokens of prompts an engine read in a second, rather too few. None if the replies do not tell.

    The fastest reply stands for how fast the engine writes; what the others took beyond that is reading.
    """
    replies = [
        (usage.prompt_tokens - usage.cached_tokens, usage.completion_tokens, event.elapsed_s)
        for event in events
        if isinstance(event, Replied) and (usage := event.reply.usage) and usage.cached_tokens is not None
    ]
    writing = max((written / took_s for _, written, took_s in replies if took_s > 0), default=0.0)
    if not writing:
        return None
    readings = [(read, took_s - written / writing) for read, written, took_s in replies if read >= _MIN_READ_TOKENS]
    seconds = sum(took_s for _, took_s in readings)
    return sum(read for read, _ in readings) / seconds if seconds > 0.01 else None


def _about_reading(state: RunState, tokens: int, events: Iterable[Event]) -> str:
    counted, speed = state.size.counted_tokens, prefill_speed(events)
    counts = f"{tokens:,} tokens" if tokens == counted else f"about {tokens:,} tokens"
    if counted and tokens != counted:
        counts += f" ({counted:,} by the count of the server before, and what came since)"
    if speed is None:
        return f"It reads the whole conversation again: {counts}."
    return (
        f"It reads the whole conversation again: {counts}, {tokens / speed:,.1f} s if it is as fast as the one before."
    )


def _about_window(state: RunState, window: int | None, tokens: int) -> tuple[str, ...]:
    before: RunStarted = state.started
    if window is None or before.window_tokens is None or window >= before.window_tokens:
        return ()
    smaller = f"The window is smaller: {window:,} tokens instead of {before.window_tokens:,}."
    if tokens + min_reply_tokens(window, is_new=False) <= window:
        return (f"{smaller} The conversation fits, with about {tokens:,}.",)
    if any(rung.fresh_context for rung in before.ladder.rungs):
        then = "the oldest results are folded first, or it is restarted from a summary."
    else:
        then = "the oldest results are folded first; if that is not enough, the run ends as `budget`."
    return (f"{smaller} The conversation has about {tokens:,} and does not fit: {then}",)
