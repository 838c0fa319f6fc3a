"""Decide whether an engine that died is started again, and when; pure: starts nothing, has no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, kw_only=True)
class Death:
    """One end of an engine that nobody asked for."""

    ready_s: float
    """How long it had served, seconds; 0: it died while it started."""
    fatal: bool
    """True: with the same configuration it happens again."""


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How patient a supervisor is."""

    most: int = 5
    """Restarts without a stable time between them; 0: none."""
    stable_s: float = 600.0
    """After so long in service, earlier deaths are forgiven; seconds."""
    first_wait_s: float = 2.0
    """Before the first restart; it doubles with each one. The driver needs a moment to free a dead engine's memory."""
    longest_wait_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Restart:
    """Start it again."""

    wait_s: float


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """Start it no more."""

    why: str
    """One sentence for people."""


DEFAULT_POLICY = RestartPolicy()


def decide(deaths: Sequence[Death], policy: RestartPolicy = DEFAULT_POLICY) -> Restart | GiveUp:
    """Judge by the deaths so far.

    Deaths are counted, not their rate: a large model takes minutes to start, so an engine that dies at each start would
    never reach a number per minute, and would be started for ever.

    Args:
        deaths: in their order, at least one.
        policy: how patient to be.
    """
    if deaths[-1].fatal:
        return GiveUp(why="With this configuration it would die again, so it is not started again.")
    row = _in_a_row(deaths, policy)
    if row > policy.most:
        return GiveUp(
            why=f"It died {row} times, never {policy.stable_s / 60:g} minutes after it was ready: it is not started "
            "again."
        )
    return Restart(wait_s=min(policy.first_wait_s * 2 ** (row - 1), policy.longest_wait_s))


def _in_a_row(deaths: Sequence[Death], policy: RestartPolicy) -> int:
    """Count the last deaths that no stable time parts."""
    unstable = len(list(takewhile(lambda death: death.ready_s < policy.stable_s, reversed(deaths))))
    return min(unstable + 1, len(deaths))
