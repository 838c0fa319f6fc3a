"""Count what a run has spent and check whether a limit is reached, its own or one that it shares; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

from ..keywords import checked_keywords, unknown_attribute
from ..messages import Usage
from .limits import Limits


@checked_keywords()
@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """Prices of one million tokens, in any currency.

    Attributes:
        prompt: Of prompt tokens.
        output: Of generated tokens, reasoning included.
        cached: Of prompt tokens found in the prefix cache. None means the price of the others.
    """

    prompt: float
    output: float
    cached: float | None = None


_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "input_tokens": "The tokens of all prompts are `prompt_tokens`.",
        "request_tokens": "The tokens of all prompts are `prompt_tokens`.",
        "completion_tokens": "The tokens of all replies are `output_tokens`.",
        "response_tokens": "The tokens of all replies are `output_tokens`.",
        "cache_read_tokens": "Those of the prompts that were in the cache are `cached_tokens`.",
    }
)
"""Attributes that people know from other libraries, and for each what to write here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a run has used so far; a field that has a limit is named like it.

    Attributes:
        steps: Requests whose reply was used.
        tool_calls: Executed calls.
        prompt_tokens: Of all requests together, including cached tokens.
        cached_tokens: Included in `prompt_tokens`; also 0 if the server does not report it.
        output_tokens: Including reasoning.
        reasoning_tokens: Included in `output_tokens`; 0 if the server does not report it.
        wall_s: Seconds since the start, without waits for a server that is away or full.
        estimated_tokens: Of prompts and replies that the server sent no usage for; 0 means all counts are the server's.
    """

    steps: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    wall_s: float = 0.0
    estimated_tokens: int = 0

    if not TYPE_CHECKING:  # a type checker would accept every name

        def __getattr__(self, name: str) -> object:
            raise unknown_attribute(self, name, _ATTRIBUTES)

        def __call__(self) -> object:
            msg = "A usage cannot be called. It is an attribute: write outcome.usage."
            raise TypeError(msg)

    @property
    def requests(self) -> int:
        """Number of requests that got a reply: `steps`."""
        return self.steps

    @property
    def tokens(self) -> int:
        """Prompt and output tokens together."""
        return self.prompt_tokens + self.output_tokens

    @property
    def total_tokens(self) -> int:
        """Prompt and output tokens together: `tokens`."""
        return self.tokens

    def cost(self, prices: Prices) -> float:
        """Return what the tokens cost, in the currency of the prices."""
        uncached = self.prompt_tokens - self.cached_tokens
        cached = prices.prompt if prices.cached is None else prices.cached
        return (uncached * prices.prompt + self.cached_tokens * cached + self.output_tokens * prices.output) / 1e6

    def __add__(self, other: Spent) -> Spent:
        return Spent(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})

    def __sub__(self, other: Spent) -> Spent:
        return Spent(**{field.name: getattr(self, field.name) - getattr(other, field.name) for field in fields(self)})

    def after_delegation(self, other: Spent) -> Spent:
        """Return the amounts after a run of an agent that is a tool: its tokens count, its steps and seconds do not."""
        return self + replace(other, steps=0, tool_calls=0, wall_s=0.0)

    def after_reply(self, usage: Usage | None, *, estimate: Usage | None = None) -> Spent:
        """Return the amounts after one more reply; a reply without usage and estimate counts only as a step."""
        guessed = (estimate if usage is None else None) or Usage()
        usage = usage or guessed
        return replace(
            self,
            steps=self.steps + 1,
            prompt_tokens=self.prompt_tokens + usage.prompt_tokens,
            cached_tokens=self.cached_tokens + (usage.cached_tokens or 0),
            output_tokens=self.output_tokens + usage.completion_tokens,
            reasoning_tokens=self.reasoning_tokens + usage.reasoning_tokens,
            estimated_tokens=self.estimated_tokens + guessed.prompt_tokens + guessed.completion_tokens,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedLimits:
    """Limits that a run shares with others: those of its session, or of the run that called it as a tool."""

    of: Literal["session", "caller"]
    name: str
    """The session, or the run that called it, by name."""
    limits: Limits
    spent: Spent
    """What the others used before this run started or was resumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exceeded:
    """The limit that ended a run."""

    limit: str
    """Name of the field in `Limits`."""
    allowed: float
    used: float
    """With what others used, if the limit is shared."""
    more: int = 0
    """What the next action would use. 0 means not known in advance."""
    shared: SharedLimits | None = None
    """None means that the limit is the run's own."""

    @property
    def name(self) -> str:
        """The limit and its value, and whose it is."""
        value = f"{self.limit} = {self.allowed:.12g}"
        if self.shared is None:
            return f"the limit {value}"
        return (
            f"the session's limit {value}"
            if self.shared.of == "session"
            else f"the limit {value} of the run {self.shared.name!r}, which called this one,"
        )

    def __str__(self) -> str:
        what = f"does not allow {self.more} more" if self.more else "is reached"
        advice = f"Raise `limits.{self.limit}`, or set it to None (null in a task)."
        if self.shared is not None and self.shared.of == "session":
            advice = (
                f"Continue with a higher one: agent.session({self.shared.name!r}, limits=Limits({self.limit}=...))."
            )
        return f"{self.name} {what} ({self.used:.12g} used). {advice}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """All limits of a run."""

    own: Limits
    shared: Sequence[SharedLimits] = ()

    @property
    def limits(self) -> Limits:
        """What the run itself may use: the lowest of its own limits and of what the others left of the shared ones."""
        found = self.own
        for shared in self.shared:
            found = _tighter(found, _left(shared.limits, shared.spent))
        return found

    def exceeded(self, spent: Spent) -> Exceeded | None:
        """Return the first limit that leaves no room for another request; None if there is room.

        `tool_calls` is checked before calls are run instead, so that the model can still answer the last result.
        """
        names = (field.name for field in fields(self.own) if field.name != "tool_calls")
        lowest = (self.lowest(name, spent) for name in names)
        found = next((limit for limit in lowest if limit is not None and limit.used >= limit.allowed), None)
        return found and replace(found, used=round(found.used, 3))

    def lowest(self, name: str, spent: Spent, *, more: int = 0) -> Exceeded | None:
        """Return the limit of this name that leaves the least, reached or not. None if there is none."""
        limits = [(self.own, Spent(), None), *((shared.limits, shared.spent, shared) for shared in self.shared)]
        found = [
            Exceeded(limit=name, allowed=allowed, used=getattr(others + spent, name), more=more, shared=shared)
            for one, others, shared in limits
            if (allowed := getattr(one, name)) is not None
        ]
        return min(found, key=lambda limit: limit.allowed - limit.used, default=None)

    def shared_with(self, spent: Spent, caller: str) -> tuple[SharedLimits, ...]:
        """Return the limits that a run shares which this one calls. `spent`: what this one used of them itself."""
        own = SharedLimits(of="caller", name=caller, limits=self.own, spent=spent)
        return (own, *(replace(shared, spent=shared.spent + spent) for shared in self.shared))


def _left(limits: Limits, spent: Spent) -> Limits:
    left: dict[str, float | None] = {}
    for field in fields(limits):
        allowed = getattr(limits, field.name)
        left[field.name] = None if allowed is None else max(0, allowed - getattr(spent, field.name))
    return Limits(**cast("dict[str, Any]", left))


def _tighter(one: Limits, other: Limits) -> Limits:
    both = {field.name: (getattr(one, field.name), getattr(other, field.name)) for field in fields(one)}
    found = {name: min((limit for limit in pair if limit is not None), default=None) for name, pair in both.items()}
    return Limits(**cast("dict[str, Any]", found))


def output_left(limits: Limits, spent: Spent) -> int | None:
    """Return how many tokens the limits allow the next reply. None means only the context window limits it."""
    left = [
        allowed - used
        for allowed, used in ((limits.output_tokens, spent.output_tokens), (limits.tokens, spent.tokens))
        if allowed is not None
    ]
    return max(1, min(left)) if left else None
