"""Decide whether and when a dead engine is restarted; pure: starts nothing, reads no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, kw_only=True)
class Death:
    """One unexpected end of an engine."""

    ready_s: float
    """How long it had served, seconds; 0 means it died while starting."""
    fatal: bool
    """Whether the same configuration would fail again."""


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How often and after which delays an engine is restarted."""

    max_restarts: int = 5
    """Restarts without a stable period between them; 0 means no restarts."""
    stable_s: float = 600.0
    """Serving this long resets the count of deaths; seconds."""
    first_wait_s: float = 2.0
    """Delay before the first restart; doubles each time. The driver needs a moment to free a dead engine's memory."""
    max_wait_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Restart:
    """Restart the engine after a delay."""

    wait_s: float


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """Do not restart the engine."""

    why: str
    """One sentence to show."""


DEFAULT_POLICY = RestartPolicy()


def decide(deaths: Sequence[Death], policy: RestartPolicy = DEFAULT_POLICY) -> Restart | GiveUp:
    """Decide from the deaths so far.

    Deaths are counted, not rated per minute: a large model takes minutes to start, so an engine that dies at every
    start would never reach a rate limit and would be restarted forever.

    Args:
        deaths: oldest first, at least one.
        policy: limits and delays.
    """
    if deaths[-1].fatal:
        return GiveUp(why="It would fail again with this configuration, so it is not restarted.")
    consecutive = _consecutive_deaths(deaths, policy)
    if consecutive > policy.max_restarts:
        return GiveUp(
            why=f"It died {consecutive} times with less than {policy.stable_s / 60:g} minutes of service in between, "
            "so it is not restarted."
        )
    return Restart(wait_s=min(policy.first_wait_s * 2 ** (consecutive - 1), policy.max_wait_s))


def _consecutive_deaths(deaths: Sequence[Death], policy: RestartPolicy) -> int:
    """Count the most recent deaths without a stable period between them."""
    unstable = len(list(takewhile(lambda death: death.ready_s < policy.stable_s, reversed(deaths))))
    return min(unstable + 1, len(deaths))
