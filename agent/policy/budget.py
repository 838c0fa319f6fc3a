"""What a run has spent, and whether a limit is reached; pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ..messages import Usage
from .limits import Limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a run has used so far; the fields that have a limit are named like it."""

    steps: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0
    """Of all requests together, cached ones included."""
    cached_tokens: int = 0
    """Included in `prompt_tokens`; 0 as well when the server does not say."""
    output_tokens: int = 0
    """Reasoning included."""
    reasoning_tokens: int = 0
    wall_s: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and output tokens together."""
        return self.prompt_tokens + self.output_tokens

    def __add__(self, other: Spent) -> Spent:
        return Spent(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})

    def after_reply(self, usage: Usage | None) -> Spent:
        """Return what is spent after one more reply; a reply without usage counts as a step only."""
        usage = usage or Usage()
        return replace(
            self,
            steps=self.steps + 1,
            prompt_tokens=self.prompt_tokens + usage.prompt_tokens,
            cached_tokens=self.cached_tokens + (usage.cached_tokens or 0),
            output_tokens=self.output_tokens + usage.completion_tokens,
            reasoning_tokens=self.reasoning_tokens + usage.reasoning_tokens,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Exceeded:
    """The limit that ended a run."""

    limit: str
    """Name of the field in `Limits`."""
    allowed: float
    used: float
    more: int = 0
    """What the next action would use; 0: not known beforehand."""

    def __str__(self) -> str:
        what = f"does not allow {self.more} more" if self.more else "is reached"
        return (
            f"the limit {self.limit} = {self.allowed:.12g} {what} ({self.used:.12g} used). "
            f"Raise it with `budgets: {{{self.limit}: ...}}`, or set it to null."
        )


def exceeded(limits: Limits, spent: Spent) -> Exceeded | None:
    """Return the first limit that leaves no room for another request; None: go on.

    `tool_calls` is not among them: it is checked when calls are wanted, for the last result deserves an answer.
    """
    for field in fields(limits):
        if field.name == "tool_calls":
            continue
        allowed = getattr(limits, field.name)
        used = getattr(spent, field.name)
        if allowed is not None and used >= allowed:
            return Exceeded(limit=field.name, allowed=allowed, used=round(used, 3))
    return None


def output_left(limits: Limits, spent: Spent) -> int | None:
    """Return how many tokens the next reply may have under the limits; None: as many as the window gives."""
    left = [
        allowed - used
        for allowed, used in ((limits.output_tokens, spent.output_tokens), (limits.tokens, spent.tokens))
        if allowed is not None
    ]
    return max(1, min(left)) if left else None
