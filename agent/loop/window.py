"""Token accounting of the window, and the summary that opens a fresh context; pure, wrong only on the safe side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..messages import AssistantMessage, Message, ToolCall, ToolResult

# English text and code run to 3 to 4 bytes per token with the tekken tokenizer; a small vocabulary may need one token
# for two bytes. Estimating high costs a /tokenize call near the window, estimating low costs a refused request.
_SAFE_BYTES_PER_TOKEN = 2.0
# Where nobody can count exactly, a safe guess must not end a run that would have fitted.
LIKELY_BYTES_PER_TOKEN = 3.0
# Below this there is no room for a useful reply: the conversation has to be shortened first.
MIN_REPLY_TOKENS = 256
_SUMMARY_CALLS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSize:
    """The size of a prompt: the part the server counted, and the bytes added since."""

    counted_tokens: int = 0
    """Prompt of the last request, as the server counted it; 0: nothing yet."""
    counted_bytes: int = 0
    """Size of the wire form that `counted_tokens` covers."""

    def estimate(self, wire_bytes: int, *, bytes_per_token: float = _SAFE_BYTES_PER_TOKEN) -> int:
        """Return the tokens of a prompt of this many bytes on the wire; by default rather too many than too few."""
        return self.counted_tokens + round(max(0, wire_bytes - self.counted_bytes) / bytes_per_token)


def reply_room(*, prompt_tokens: int, window_tokens: int | None, wanted: int, allowed: int | None) -> int:
    """Return `max_tokens` for a request: what is wanted, cut to the window and to the budget.

    A result below `MIN_REPLY_TOKENS` that the window caused means the conversation is too long; at least 1.
    """
    room = wanted if allowed is None else min(wanted, allowed)
    if window_tokens is not None:
        room = min(room, window_tokens - prompt_tokens)
    return max(1, room)


def summary(messages: Iterable[Message], *, reason: str, restored: bool) -> str:
    """Tell a fresh start what was tried, one line per call, the newest last."""
    calls: dict[str, ToolCall] = {}
    lines: list[str] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            calls |= {call.id: call for call in message.tool_calls}
        elif isinstance(message, ToolResult) and message.tool_call_id in calls:
            lines.append(_line(calls[message.tool_call_id], message))
    left_out = max(0, len(lines) - _SUMMARY_CALLS)
    shown = lines[-_SUMMARY_CALLS:] or ["- nothing was called"]
    if left_out:
        shown.insert(0, f"- ({left_out} earlier calls are left out)")
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
