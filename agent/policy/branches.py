"""Plan the attempts of a rung that branches: how each asks, and on which ladder of its own; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..messages import Effort
from .ladder import Ladder, Rung

Reads = Literal["tried", "nothing"]
"""What a branch reads of the attempts before it: a summary of what was tried, or nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchPlan:
    """How one branch asks."""

    effort: Effort | None
    temperature: float | None
    """None means that of the run."""
    reads: Reads


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    lowest: bool = False
    """Whether it asks with the effort of the ladder's first rung, instead of the rung's own."""
    temperature: float | None = None
    reads: Reads


_TABLE = (
    _Row(reads="nothing"),
    _Row(temperature=0.7, reads="tried"),
    _Row(lowest=True, temperature=0.4, reads="nothing"),
    _Row(temperature=0.4, reads="nothing"),
    _Row(temperature=1.0, reads="tried"),
    _Row(lowest=True, temperature=0.7, reads="tried"),
    _Row(temperature=0.7, reads="nothing"),
    _Row(lowest=True, temperature=1.0, reads="nothing"),
)
"""Attempts that are as unlike each other as can be; from the ninth on, again from the second."""


def plan_branches(ladder: Ladder) -> Sequence[BranchPlan]:
    """Return how each branch of the ladder's last rung asks. Empty if it does not branch."""
    *before, last = ladder.rungs
    if not last.branch:
        return ()
    efforts: Sequence[Effort] = [rung.effort for rung in ladder.rungs if rung.effort is not None]
    own = efforts[-1] if efforts else None
    rows = [
        _TABLE[number if number < len(_TABLE) else 1 + (number - 1) % (len(_TABLE) - 1)]
        for number in range(last.branch)
    ]
    return [
        BranchPlan(effort=before[0].effort if row.lowest else own, temperature=row.temperature, reads=row.reads)
        for row in rows
    ]


def branch_ladder(ladder: Ladder, effort: Effort | None) -> Ladder:
    """Return the ladder of a branch: the run's without the last rung, with one effort on all rungs."""
    rungs: list[Rung] = []
    for rung in ladder.rungs[:-1]:
        kept = replace(rung, effort=None if rung.constrained else effort)
        if kept not in rungs:
            rungs.append(kept)
    return replace(ladder, rungs=tuple(rungs), policy="failures")
