"""The limits of a run, as the user sets them; budget.py counts against them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from pydantic import ConfigDict

from ..choices import check_number
from ..errors import ConfigError
from ..keywords import checked_keywords


@checked_keywords(
    elsewhere={
        "max_steps": "The number of requests is `steps`.",
        "max_turns": "The number of requests is `steps`.",
        "request_limit": "The number of requests is `steps`.",
        "max_tokens": "The tokens of a run are `tokens`.",
        "timeout": "The seconds are `wall_s`.",
        "timeout_s": "The seconds are `wall_s`.",
    }
)
@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of one run, checked before each request (`tool_calls`: before calls). None means no limit.

    Attributes:
        steps: Requests whose reply was used; a constrained re-ask counts as one.
        tool_calls: Executed calls; checked before the calls of a reply are run: all of them or none.
        tokens: Prompt and output tokens of all requests together, including cached tokens.
        output_tokens: Generated tokens of all requests together, including reasoning.
        reasoning_tokens: Generated reasoning tokens of all requests together, as the server reports them; no effect if
            it does not.
        wall_s: Seconds since the start of the run, including those of requests in the engine's queue. Waits for a
            server that is away or full, and the time that `agent run` is suspended, do not count. A resumed run
            continues the count.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    steps: int | None = 60
    tool_calls: int | None = 200
    tokens: int | None = None
    output_tokens: int | None = 200_000
    reasoning_tokens: int | None = 100_000
    wall_s: float | None = 1800.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and value < 0:
                check_positive(value, key=f"limits.{limit.name}")


NO_LIMITS = Limits(steps=None, tool_calls=None, tokens=None, output_tokens=None, reasoning_tokens=None, wall_s=None)


def check_positive(value: float | None, *, key: str) -> None:
    """Check that the value is None or above 0.

    Raises:
        ConfigError: it is 0 or less, or no number.
    """
    check_number(value, key=key)
    if value is not None and value <= 0:
        msg = f"`{key}` must be more than 0, got {value:g}. Give a larger number."
        raise ConfigError(msg, key=key)
