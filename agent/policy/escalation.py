"""The escalation ladder as a pure state machine: takes a trigger or progress, returns how to ask next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .ladder import CALL_TRIGGERS, Ladder, Phase, Rung, Trigger

_NO_COUNTS: Mapping[Trigger, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """The position of a run on its ladder."""

    rung: int = 0
    """Index into `Ladder.rungs` that failures led to, from 0; never a constrained rung, which lasts for one request."""
    counts: Mapping[Trigger, int] = field(default_factory=lambda: _NO_COUNTS)
    """Failures of each kind since the last progress or climb."""
    good_steps: int = 0
    """Steps with progress since the run reached this rung or last failed."""
    effort_switches: int = 0
    reasks: int = 0
    pinned: bool = False
    """True if the run never comes down again. A failed verification proved the lower rungs too weak, and a context is
    not discarded twice."""
    phase: Phase = "work"


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
    phase: Phase | None = None
    """The phase that begins. None if failures or progress alone move the run."""


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


def start(ladder: Ladder, *, rung: int = 0) -> Position:
    """Return the position in which a run begins, or tries again after it gave up; never where it would only branch."""
    rung = rung - 1 if ladder.rungs[rung].branch else rung
    return Position(rung=rung, phase="plan" if ladder.has_phases else "work")


def current(ladder: Ladder, position: Position) -> Rung:
    """Return the rung of the next request."""
    return ladder.rungs[current_index(ladder, position)]


def current_index(ladder: Ladder, position: Position) -> int:
    """Return the index of the rung of the next request."""
    return position.rung if position.phase == "work" else max(position.rung, ladder.plan_rung)


def before_feedback(ladder: Ladder, position: Position, trigger: Trigger) -> Decision:
    """Decide about a reply that holds nothing but one broken call: `ReAsk` if the ladder allows it, else `Stay`.

    It does not count as a failure yet; `failed` counts it if the re-ask does not help.
    """
    rung = _reask_rung(ladder, position)
    if trigger not in CALL_TRIGGERS or rung is None or position.reasks >= ladder.max_reasks:
        return Decision(position=position, action=Stay())
    return Decision(position=replace(position, reasks=position.reasks + 1), action=ReAsk(rung=rung))


def failed(ladder: Ladder, position: Position, trigger: Trigger, *, is_last: bool = False) -> Decision:
    """Count one failure; climb when its threshold is reached, stop at the top.

    At the top a failed verification does not stop the run: `Verify.attempts` limits the submissions. After the last of
    them (`is_last`), the run climbs past all others to the rung that branches; `can_branch` says whether there is one.
    """
    if is_last:
        last = len(ladder.rungs) - 1
        return _move(ladder, position, replace(position, rung=last, counts=_NO_COUNTS, pinned=True))
    counts = {**position.counts, trigger: position.counts.get(trigger, 0) + 1}
    counted = replace(position, counts=MappingProxyType(counts), good_steps=0)
    if trigger == "verify_failed" and position.phase == "hand_in":
        counted = replace(counted, phase="plan")
    threshold = ladder.triggers.get(trigger)
    usable = [index for index, rung in enumerate(ladder.rungs) if not rung.constrained]
    above = [index for index in usable if index > position.rung]
    if ladder.policy == "phases":
        above = [index for index in above if ladder.rungs[index].branch]
        threshold = threshold and threshold * (len(usable) - bool(ladder.rungs[-1].branch))
    if threshold is None or counts[trigger] < threshold:
        return Decision(position=counted, action=Stay())
    if not above:
        return Decision(position=counted, action=Stay() if trigger == "verify_failed" else Stop(trigger=trigger))
    pinned = position.pinned or trigger == "verify_failed" or ladder.rungs[above[0]].fresh_context
    return _move(ladder, position, replace(counted, rung=above[0], counts=_NO_COUNTS, pinned=pinned))


def can_branch(ladder: Ladder, position: Position) -> bool:
    """Return whether a rung that branches is above."""
    return position.rung < len(ladder.rungs) - 1 and bool(ladder.rungs[-1].branch)


def progressed(ladder: Ladder, position: Position) -> Decision:
    """Count one step with progress; come down when the effort has been held long enough."""
    # Work between two verifications is progress but no proof: only a passed verification would clear that count.
    counts = {trigger: count for trigger, count in position.counts.items() if trigger == "verify_failed"}
    good = replace(position, counts=MappingProxyType(counts), good_steps=position.good_steps + 1)
    if good.good_steps < ladder.hold_steps or position.effort_switches >= ladder.max_effort_switches:
        return Decision(position=good, action=Stay())
    lower = replace(good, rung=position.rung if position.pinned else 0)
    lower = replace(lower, phase="work") if position.phase == "plan" else lower
    if current_index(ladder, lower) == current_index(ladder, position):
        return Decision(position=good, action=Stay())
    return _move(ladder, position, lower)


def handing_in(ladder: Ladder, position: Position) -> Decision:
    """Decide about a reply that would hand the work in: `Move` if it is to be asked again at another effort."""
    held = replace(position, phase="hand_in" if ladder.has_phases else position.phase)
    if position.phase != "work" or position.effort_switches >= ladder.max_effort_switches:
        return Decision(position=position, action=Stay())
    if current_index(ladder, held) == current_index(ladder, position):
        return Decision(position=position, action=Stay())
    return _move(ladder, position, held)


def _move(ladder: Ladder, before: Position, after: Position) -> Decision:
    to = current_index(ladder, after)
    # On a rung that branches, the run itself asks nothing more.
    switches = not ladder.rungs[to].branch and ladder.rungs[to].effort != current(ladder, before).effort
    moved = replace(after, good_steps=0, effort_switches=before.effort_switches + switches)
    phase = None if after.phase == before.phase else after.phase
    return Decision(position=moved, action=Move(to=to, rung=ladder.rungs[to], switches_effort=switches, phase=phase))


def _reask_rung(ladder: Ladder, position: Position) -> Rung | None:
    """Return the constrained rung right above or, once the run is past it, the current rung made constrained."""
    at = current_index(ladder, position)
    here, above = ladder.rungs[at], at + 1
    if above < len(ladder.rungs) and ladder.rungs[above].constrained:
        # Another effort for one request would empty the prefix cache, so only a rung that sets an effort changes it.
        return replace(ladder.rungs[above], effort=ladder.rungs[above].effort or here.effort, fresh_context=False)
    if any(rung.constrained for rung in ladder.rungs[:above]):
        return replace(here, constrained=True, fresh_context=False)
    return None
