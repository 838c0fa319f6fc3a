"""Estimate prompt sizes and the room for a reply; pure."""

from __future__ import annotations

from dataclasses import dataclass

# English text and code take 3 to 4 bytes per token with the tekken tokenizer; a small vocabulary may take 2. A high
# estimate costs a /tokenize call near the window, a low estimate costs a refused request.
_SAFE_BYTES_PER_TOKEN = 2.0
# Used if the server cannot count: the safe estimate must not end a run whose prompt would have fitted.
LIKELY_BYTES_PER_TOKEN = 3.0
# With fewer tokens left a reply is useless, and the conversation must be shortened first.
MIN_REPLY_TOKENS = 256


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
