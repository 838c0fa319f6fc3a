"""Estimate prompt sizes and reply room, and write the summary for a fresh context; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..messages import AssistantMessage, Message, ToolCall, ToolResult

# English text and code take 3 to 4 bytes per token with the tekken tokenizer; a small vocabulary may take 2. A high
# estimate costs a /tokenize call near the window, a low estimate costs a refused request.
_SAFE_BYTES_PER_TOKEN = 2.0
# Used if the server cannot count: the safe estimate must not end a run whose prompt would have fitted.
LIKELY_BYTES_PER_TOKEN = 3.0
# With fewer tokens left a reply is useless, and the conversation must be shortened first.
MIN_REPLY_TOKENS = 256
_SUMMARY_CALLS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSize:
    """The last prompt size that the server counted, in tokens and bytes; the base for estimates."""

    counted_tokens: int = 0
    """Prompt tokens of the last request, as the server counted them; 0 before the first count."""
    counted_bytes: int = 0
    """Size of the encoded prompt that `counted_tokens` covers."""

    def estimate(self, wire_bytes: int, *, bytes_per_token: float = _SAFE_BYTES_PER_TOKEN) -> int:
        """Return the estimated tokens of a prompt of this many encoded bytes; the default estimate is high."""
        return self.counted_tokens + round(max(0, wire_bytes - self.counted_bytes) / bytes_per_token)


def reply_room(*, prompt_tokens: int, window_tokens: int | None, wanted: int, allowed: int | None) -> int:
    """Return `max_tokens` for a request: `wanted`, limited by the window and by the budget `allowed`; at least 1.

    If the window is the reason for a result below `MIN_REPLY_TOKENS`, the conversation is too long.
    """
    room = wanted if allowed is None else min(wanted, allowed)
    if window_tokens is not None:
        room = min(room, window_tokens - prompt_tokens)
    return max(1, room)


def summary(messages: Iterable[Message], *, reason: str, restored: bool) -> str:
    """Format the calls of the earlier attempt as text for a fresh context, one line per call, newest last."""
    calls: dict[str, ToolCall] = {}
    lines: list[str] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            calls |= {call.id: call for call in message.tool_calls}
        elif isinstance(message, ToolResult) and message.tool_call_id in calls:
            lines.append(_line(calls[message.tool_call_id], message))
    omitted = max(0, len(lines) - _SUMMARY_CALLS)
    shown = lines[-_SUMMARY_CALLS:] or ["- nothing was called"]
    if omitted:
        shown.insert(0, f"- ({omitted} earlier calls are left out)")
    state = (
        "The workspace is back in the state it had at the start."
        if restored
        else "The workspace is as the earlier attempt left it."
    )
    return (
        f"An earlier attempt at this task failed: {reason}\nWhat it tried, in order:\n"
        + "\n".join(shown)
        + f"\n{state} Take another way."
    )


def _line(call: ToolCall, result: ToolResult) -> str:
    arguments = call.arguments if len(call.arguments) <= 160 else f"{call.arguments[:160]}..."
    first = next((line for line in result.content.splitlines() if line.strip()), "")
    return f"- {call.name} {arguments} -> {result.status}: {first[:160]}"
