"""The bounds of a run, as the user sets them; what is left of them is counted in budget.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one run, checked before each request (`tool_calls`: before calls); None: no limit of that kind."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    steps: int | None = 60
    """Requests whose reply was used; a constrained re-ask counts as one."""
    tool_calls: int | None = 200
    """Calls that were executed; checked before the calls of a reply are run, all of them or none."""
    tokens: int | None = None
    """Prompt and output tokens of all requests together, cached ones included."""
    output_tokens: int | None = 200_000
    """Generated tokens, reasoning included."""
    reasoning_tokens: int | None = 100_000
    wall_s: float | None = 1800.0
    """Seconds from the start of the run, waiting for the engine included; a resumed run goes on counting."""


def check_positive(value: float | None, *, key: str) -> None:
    """Accept None and numbers above 0.

    Raises:
        ConfigError: for every other number.
    """
    if value is not None and value <= 0:
        msg = f"`{key}` must be more than 0, got {value:g}. Give a larger number."
        raise ConfigError(msg, key=key)
