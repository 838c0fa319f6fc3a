"""Estimate prompt sizes and the room for a reply; pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..journal.events import Replied
from ..messages import Usage

# English text and code take 3 to 4 bytes per token with the tekken tokenizer; a small vocabulary may take 2. A high
# estimate costs a /tokenize call near the window, a low estimate costs a refused request.
SAFE_BYTES_PER_TOKEN = 2.0
# Used if the server cannot count: the safe estimate must not end a run whose prompt would have fitted.
LIKELY_BYTES_PER_TOKEN = 3.0
# Text of which little is freed by a fold: repeated words and indentation take more bytes per token than others.
_MOST_BYTES_PER_TOKEN = 5.0
# With fewer tokens left a reply is useless, and the conversation must be shortened first.
MIN_REPLY_TOKENS = 256
# With fewer left, a call that writes a file of usual length is cut off; it is better to restart with a summary.
_USEFUL_REPLY_TOKENS = 2_048
_MIN_RESULT_CHARS = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSize:
    """The last prompt size that the server counted, in tokens and bytes; the base for estimates."""

    counted_tokens: int = 0
    """Prompt tokens of the last request, as the server counted them; 0 before the first count."""
    counted_bytes: int = 0
    """Size of the encoded prompt that `counted_tokens` covers."""

    def estimate(self, wire_bytes: int, *, bytes_per_token: float = SAFE_BYTES_PER_TOKEN) -> int:
        """Return the estimated tokens of a prompt of this many encoded bytes; the default estimate is high."""
        return self.counted_tokens + round(max(0, wire_bytes - self.counted_bytes) / bytes_per_token)

    def less(self, freed_bytes: int) -> PromptSize:
        """Return the size after this many encoded bytes were taken out; a high estimate until the server counts."""
        counted = self.counted_tokens - round(max(0, freed_bytes) / _MOST_BYTES_PER_TOKEN)
        return PromptSize(counted_tokens=max(0, counted), counted_bytes=max(0, self.counted_bytes - freed_bytes))


def min_reply_tokens(window_tokens: int, *, is_new: bool) -> int:
    """Return the room for a reply below which the conversation is restarted with a summary.

    Args:
        window_tokens: of the model.
        is_new: whether the conversation has just begun, so that restarting it would gain nothing.
    """
    least = min(MIN_REPLY_TOKENS, window_tokens // 4)
    return least if is_new else max(least, min(_USEFUL_REPLY_TOKENS, window_tokens // 8))


def result_limit_chars(limit_chars: int, window_tokens: int | None) -> int:
    """Return how long a tool result may be: its own limit, but no more than a tenth of the window."""
    if window_tokens is None:
        return limit_chars
    return min(limit_chars, max(_MIN_RESULT_CHARS, int(window_tokens * LIKELY_BYTES_PER_TOKEN) // 10))


def reply_room(*, prompt_tokens: int, window_tokens: int | None, wanted: int, allowed: int | None) -> int:
    """Return `max_tokens` for a request: `wanted`, limited by the window and by the budget `allowed`; at least 1.

    If the window is the reason for a result below `MIN_REPLY_TOKENS`, the conversation is too long.
    """
    room = wanted if allowed is None else min(wanted, allowed)
    if window_tokens is not None:
        room = min(room, window_tokens - prompt_tokens)
    return max(1, room)


def estimated_usage(replied: Replied, prompt_tokens: int) -> Usage:
    """Return the likely usage of a reply that the server sent none for, so that budgets count it.

    Args:
        replied: the reply.
        prompt_tokens: the high estimate that its request was recorded with.
    """
    reply = replied.reply
    thought = len(reply.reasoning.encode())
    written = thought + len(reply.content.encode())
    written += sum(len(call.name.encode()) + len(call.arguments.encode()) for call in reply.tool_calls)
    return Usage(
        prompt_tokens=round(prompt_tokens * SAFE_BYTES_PER_TOKEN / LIKELY_BYTES_PER_TOKEN),
        completion_tokens=max(1, round(written / LIKELY_BYTES_PER_TOKEN)),
        reasoning_tokens=round(thought / LIKELY_BYTES_PER_TOKEN),
    )
