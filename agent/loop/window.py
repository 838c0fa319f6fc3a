"""Estimate prompt sizes and the room for a reply; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..journal.events import Replied, Requested
from ..messages import Effort, Usage
from ..model.profiles import Profile

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
_MIN_RESULT_CHARS = 800
_RESULT_SHARE = 0.1
_TURN_SHARE = 0.4
_NEW_TEXT_SHARE = 0.9
"""New text may be denser than what was counted so far, and chat templates add a few tokens to each message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSize:
    """The last prompt size that the server counted, in tokens and bytes; the base for estimates."""

    counted_tokens: int = 0
    """Prompt tokens of the last request, as the server counted them; 0 before the first count."""
    counted_bytes: int = 0
    """Size of the encoded prompt that `counted_tokens` covers."""
    measured: tuple[int, int] = (0, 0)
    """Both as the server counted them last, whatever was taken out since."""

    @classmethod
    def of(cls, tokens: int, size_bytes: int) -> PromptSize:
        """Return the size that the server has just counted."""
        return cls(counted_tokens=tokens, counted_bytes=size_bytes, measured=(tokens, size_bytes))

    def estimate(self, wire_bytes: int, *, bytes_per_token: float = SAFE_BYTES_PER_TOKEN) -> int:
        """Return the estimated tokens of a prompt of this many encoded bytes; the default estimate is high."""
        return self.counted_tokens + round(max(0, wire_bytes - self.counted_bytes) / bytes_per_token)

    def less(self, freed_bytes: int) -> PromptSize:
        """Return the size after this many encoded bytes were taken out; a high estimate until the server counts."""
        counted = max(0, self.counted_tokens - round(max(0, freed_bytes) / _MOST_BYTES_PER_TOKEN))
        return replace(self, counted_tokens=counted, counted_bytes=max(0, self.counted_bytes - freed_bytes))

    def restarted(self) -> PromptSize:
        """Return the size at the beginning of a new conversation, which nobody has counted."""
        return PromptSize(measured=self.measured)

    def bytes_per_token(self, tools_bytes: int, *, most: float) -> float:
        """Return how many bytes of new text a token is likely to take, or `most` if that is less or nothing is known.

        Args:
            tools_bytes: size of the tools' definitions, which the counted tokens cover too.
            most: such as LIKELY_BYTES_PER_TOKEN.
        """
        tokens, size_bytes = self.measured
        return min(most, _NEW_TEXT_SHARE * (size_bytes + tools_bytes) / tokens) if tokens else most


def wanted_reply_tokens(profile: Profile, effort: Effort | None, *, growths: int, most: int | None) -> int:
    """Return the tokens wanted for a reply: four times as many after each growth, but no more than `most`."""
    wanted = profile.reply_tokens.get(effort) or max(profile.reply_tokens.values())
    grown = wanted * 4**growths
    return grown if most is None else min(grown, most)


def min_reply_tokens(window_tokens: int, *, is_new: bool) -> int:
    """Return the room for a reply below which the conversation is restarted with a summary.

    Args:
        window_tokens: of the model.
        is_new: whether the conversation has just begun, so that restarting it would gain nothing.
    """
    least = min(MIN_REPLY_TOKENS, window_tokens // 4)
    return least if is_new else max(least, min(_USEFUL_REPLY_TOKENS, window_tokens // 8))


def result_limit_chars(
    limit_chars: int, window_tokens: int | None, *, bytes_per_token: float = LIKELY_BYTES_PER_TOKEN, calls: int = 1
) -> int:
    """Return how long a tool result may be: its own limit, but no more than a tenth of the window.

    Args:
        limit_chars: of the tool.
        window_tokens: of the model. None if unknown.
        bytes_per_token: of text like that of this run.
        calls: of the same turn; more than four share four tenths of the window.
    """
    if window_tokens is None:
        return limit_chars
    share = min(_RESULT_SHARE, _TURN_SHARE / max(1, calls))
    return min(limit_chars, max(_MIN_RESULT_CHARS, int(window_tokens * bytes_per_token * share)))


def reply_room(*, prompt_tokens: int, window_tokens: int | None, wanted: int, allowed: int | None) -> int:
    """Return `max_tokens` for a request: `wanted`, limited by the window and by the budget `allowed`; at least 1.

    If the window is the reason for a result below `MIN_REPLY_TOKENS`, the conversation is too long.
    """
    room = wanted if allowed is None else min(wanted, allowed)
    if window_tokens is not None:
        room = min(room, window_tokens - prompt_tokens)
    return max(1, room)


def likely_tokens(requested: Requested) -> int:
    """Return the likely tokens of a prompt, which was recorded with a high estimate or its exact size."""
    if requested.source == "engine":
        return requested.prompt_tokens
    return round(requested.prompt_tokens * SAFE_BYTES_PER_TOKEN / LIKELY_BYTES_PER_TOKEN)


def estimated_usage(replied: Replied, prompt_tokens: int) -> Usage:
    """Return the likely usage of a reply that the server sent none for, so that budgets count it.

    Args:
        replied: the reply.
        prompt_tokens: the likely ones of its request.
    """
    reply = replied.reply
    thought = len(reply.reasoning.encode())
    written = thought + len(reply.content.encode())
    written += sum(len(call.name.encode()) + len(call.arguments.encode()) for call in reply.tool_calls)
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=max(1, round(written / LIKELY_BYTES_PER_TOKEN)),
        reasoning_tokens=round(thought / LIKELY_BYTES_PER_TOKEN),
    )
