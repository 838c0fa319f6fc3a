"""The escalation ladder as a pure state machine: takes a trigger or progress, returns how to ask next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .ladder import CALL_TRIGGERS, Ladder, Rung, Trigger

_NO_COUNTS: Mapping[Trigger, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """The position of a run on its ladder."""

    rung: int = 0
    """Index into `Ladder.rungs`, from 0; never a constrained rung, which lasts for one request only."""
    counts: Mapping[Trigger, int] = field(default_factory=lambda: _NO_COUNTS)
    """Failures of each kind since the last progress or climb."""
    good_steps: int = 0
    """Steps with progress since the run reached this rung or last failed."""
    effort_switches: int = 0
    reasks: int = 0
    pinned: bool = False
    """True if the run never comes down again. A failed verification proved the lower rungs too weak, and a context is
    not discarded twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stay:
    """Ask again on the same rung, with the feedback in the history."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReAsk:
    """Repeat the last request, constrained to the broken call's schema, before anything enters the history."""

    rung: Rung


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """Ask on another rung from now on."""

    to: int
    rung: Rung
    switches_effort: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """The ladder is exhausted: the run is stuck."""

    trigger: Trigger


Action = Stay | ReAsk | Move | Stop


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The next position and what to do."""

    position: Position
    action: Action


def current(ladder: Ladder, position: Position) -> Rung:
    """Return the rung of the next request."""
    return ladder.rungs[position.rung]


def before_feedback(ladder: Ladder, position: Position, trigger: Trigger) -> Decision:
    """Decide about a reply that holds nothing but one broken call: `ReAsk` if the ladder allows it, else `Stay`.

    It does not count as a failure yet; `failed` counts it if the re-ask does not help.
    """
    rung = _reask_rung(ladder, position)
    if trigger not in CALL_TRIGGERS or rung is None or position.reasks >= ladder.max_reasks:
        return Decision(position=position, action=Stay())
    return Decision(position=replace(position, reasks=position.reasks + 1), action=ReAsk(rung=rung))


def failed(ladder: Ladder, position: Position, trigger: Trigger) -> Decision:
    """Count one failure; climb when its threshold is reached, stop at the top.

    At the top a failed verification does not stop the run: `Verify.attempts` limits the submissions.
    """
    counts = {**position.counts, trigger: position.counts.get(trigger, 0) + 1}
    counted = replace(position, counts=MappingProxyType(counts), good_steps=0)
    threshold = ladder.triggers.get(trigger)
    if threshold is None or counts[trigger] < threshold:
        return Decision(position=counted, action=Stay())
    above = [index for index in range(position.rung + 1, len(ladder.rungs)) if not ladder.rungs[index].constrained]
    if not above:
        return Decision(position=counted, action=Stay() if trigger == "verify_failed" else Stop(trigger=trigger))
    pinned = position.pinned or trigger == "verify_failed" or ladder.rungs[above[0]].fresh_context
    return _move(ladder, replace(counted, pinned=pinned), above[0])


def progressed(ladder: Ladder, position: Position) -> Decision:
    """Count one step with progress; come down when the effort has been held long enough."""
    # Work between two verifications is progress but no proof: only a passed verification would clear that count.
    counts = {trigger: count for trigger, count in position.counts.items() if trigger == "verify_failed"}
    good = replace(position, counts=MappingProxyType(counts), good_steps=position.good_steps + 1)
    may_come_down = (
        position.rung > 0
        and not position.pinned
        and good.good_steps >= ladder.hold_steps
        and position.effort_switches < ladder.max_effort_switches
    )
    return _move(ladder, good, 0) if may_come_down else Decision(position=good, action=Stay())


def _move(ladder: Ladder, position: Position, to: int) -> Decision:
    switches = ladder.rungs[to].effort != ladder.rungs[position.rung].effort
    counts = {trigger: count for trigger, count in position.counts.items() if trigger == "verify_failed"}
    if to > position.rung:
        counts = {}
    moved = replace(
        position,
        rung=to,
        counts=MappingProxyType(counts),
        good_steps=0,
        effort_switches=position.effort_switches + switches,
    )
    return Decision(position=moved, action=Move(to=to, rung=ladder.rungs[to], switches_effort=switches))


def _reask_rung(ladder: Ladder, position: Position) -> Rung | None:
    """Return the constrained rung right above or, once the run is past it, the current rung made constrained."""
    here, above = ladder.rungs[position.rung], position.rung + 1
    if above < len(ladder.rungs) and ladder.rungs[above].constrained:
        # Another effort for one request would empty the prefix cache, so only a rung that sets an effort changes it.
        return replace(ladder.rungs[above], effort=ladder.rungs[above].effort or here.effort, fresh_context=False)
    if any(rung.constrained for rung in ladder.rungs[:above]):
        return replace(here, constrained=True, fresh_context=False)
    return None
