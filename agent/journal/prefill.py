"""Account for the prompt tokens that the engine read in a run: new ones, and those it read again, by reason; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ..messages import Usage
from .events import Event, PrefixChanged, Replied, SummedUp

Reason = Literal["effort", "fold", "renewal", "server", "resume", "unknown", "summary", "lost"]
"""As `PrefixChanged.because` names them; `summary` is what a request for a summary makes the engine read, and `lost` is
what it had read and did not find in its cache: the part of a last block, or what had to leave it."""


@dataclass(kw_only=True)
class Prefill:
    """Tokens of the prompts of one run, by the engine's own count."""

    requests: int = 0
    """With a count of cached tokens."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    new_tokens: int = 0
    """Read for the first time: the first prompt, results, messages, and replies that became part of a prompt."""
    again: Counter[Reason] = field(default_factory=Counter[Reason])
    """Tokens read after a change of the prefix; of several reasons, the first has them all. Engines keep whole blocks,
    so up to a block of each prompt is `lost` as well."""
    times: Counter[Reason] = field(default_factory=Counter[Reason])

    @property
    def read_tokens(self) -> int:
        """Tokens that the engine did not have in its cache."""
        return self.prompt_tokens - self.cached_tokens

    @property
    def hit_rate(self) -> float:
        """Share of the prompt tokens that were in the cache; 0 without any prompt."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    def __str__(self) -> str:
        """Return one line for people. Empty if the server does not report cached tokens."""
        if not self.requests:
            return ""
        parts = [f"{tokens:,} {_AFTER[reason].format(self.times[reason])}" for reason, tokens in self.again.items()]
        again = f"; again: {', '.join(parts)}" if parts else ""
        return (
            f"the engine read {self.read_tokens:,} of {self.prompt_tokens:,} prompt tokens "
            f"({self.hit_rate:.0%} were in its cache): {self.new_tokens:,} new{again}"
        )


_AFTER: dict[Reason, str] = {
    "effort": "after effort switches ({})",
    "fold": "after folds ({})",
    "renewal": "after renewals ({})",
    "server": "after changes that the server asked for ({})",
    "resume": "after resumes ({})",
    "unknown": "for an unknown reason ({})",
    "summary": "for summaries ({})",
    "lost": "not found in its cache, which keeps whole blocks ({})",
}


def prefill(events: Iterable[Event]) -> Prefill:
    """Return the account of a run's events."""
    found = Prefill()
    before = 0
    counted: tuple[int, int] | None = None
    """New tokens and others of the last reply, until it is known whether its prefix had changed."""
    for event in events:
        if isinstance(event, PrefixChanged) and counted is not None:
            reason: Reason = event.because[0]
            found.again[reason] += sum(counted)
            found.times[reason] += 1
            counted = None
        elif isinstance(event, SummedUp):
            read = _add(found, event.usage)
            if read is not None:
                found.again["summary"] += read
                found.times["summary"] += 1
        elif isinstance(event, Replied):
            _settle(found, counted)
            counted, usage = None, event.reply.usage
            read = _add(found, usage)
            if usage is None or read is None:
                continue
            new = min(read, max(0, usage.prompt_tokens - before))
            counted, before = (new, read - new), usage.prompt_tokens
    _settle(found, counted)
    return found


def _add(found: Prefill, usage: Usage | None) -> int | None:
    """Count a request; return the tokens that were not in the cache. None if the server did not report that."""
    if usage is None or usage.cached_tokens is None:
        return None
    found.requests += 1
    found.prompt_tokens += usage.prompt_tokens
    found.cached_tokens += usage.cached_tokens
    return usage.prompt_tokens - usage.cached_tokens


def _settle(found: Prefill, counted: tuple[int, int] | None) -> None:
    """Add a prompt whose prefix had not changed."""
    if counted is None:
        return
    found.new_tokens += counted[0]
    if counted[1]:
        found.again["lost"] += counted[1]
        found.times["lost"] += 1
