"""Event records of a rung that branches: which attempts began, how each ended, and which one was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from ..policy.branches import BranchPlan
from ..policy.budget import Spent
from .status import Status
from .turn_events import Timed


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """One attempt: a run of its own, in a copy of the workspace as it was at the start."""

    run: str
    """Its name. Its journal is in the folder `branches` of this run's folder."""
    plan: BranchPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchesStarted(Timed):
    """The run is about to try the task anew, several times at once."""

    step: int
    branches: tuple[Branch, ...]
    summary: str
    """What was tried before, for the branches that read it."""
    kind: Literal["branches_started"] = "branches_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchEnded(Timed):
    """A branch has ended; what it used counts in this run's limits."""

    run: str
    status: Status
    """`interrupted` if another branch passed first."""
    reason: str
    steps: int = 0
    spent: Spent
    """Since it was started, or since its last end if it was resumed."""
    journal: str = ""
    """File of its events. Empty if it did not start."""
    cause: Literal["", "endpoint"] = ""
    """`endpoint` if the server failed."""
    kind: Literal["branch_ended"] = "branch_ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchTaken(Timed):
    """The changes of a branch whose verification passed are in the workspace; they are verified there next."""

    run: str
    changed: tuple[str, ...]
    """Paths that it changed."""
    patch: str = ""
    """File in the workspace that holds the changes of this run that were put back before. Empty if there were none."""
    conflicts: tuple[str, ...] = ()
    """Paths that were left alone, because something else changed them meanwhile."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """In a folder that others may use too: signatures of the changed paths, see `agent/workspace/own_changes.py`."""
    answer: str
    """What the branch answered."""
    output: JsonValue = None
    """Its structured result. None if it gave none."""
    kind: Literal["branch_taken"] = "branch_taken"
