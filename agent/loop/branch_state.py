"""The branches of a run so far, from its events: which began, how each ended, which one was taken; pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..journal.branch_events import Branch, BranchEnded, BranchesStarted, BranchTaken
from ..messages import AssistantMessage, UserMessage
from ..model.history import History
from ..policy.budget import Spent

_TAKEN = (
    "Your attempts did not pass the verification, so their changes were put back. Another attempt, from the start, did "
    "pass: its changes are in the folder now. Read again what you need. This is what it answered."
)
"""What a later turn of a session reads of a run whose work was replaced by that of a branch."""
GOES_ON = frozenset({"budget", "error", "interrupted"})
"""How a branch ends that goes on once the run is resumed."""


class Branching:
    """The branches of a run; updated from its events."""

    def __init__(self) -> None:
        self.started: BranchesStarted | None = None
        """None if the run has not branched."""
        self.ended: dict[str, BranchEnded] = {}
        """The last end of each branch, by its name."""
        self.spent: dict[str, Spent] = {}
        """What each branch used, as far as the run has counted it."""
        self.taken: BranchTaken | None = None

    @property
    def open(self) -> Sequence[Branch]:
        """The branches that have not ended."""
        return [] if self.started is None else [one for one in self.started.branches if one.run not in self.ended]

    @property
    def winner(self) -> BranchEnded | None:
        """The first branch whose verification passed. None if there is none so far."""
        return next((end for end in self.ended.values() if end.status == "verified"), None)

    def apply(self, event: BranchesStarted | BranchEnded, spent: Spent) -> Spent:
        """Update with one event; return what the run has used after it, given what it had used before."""
        if isinstance(event, BranchesStarted):
            self.started, self.ended = event, {}
            return spent
        self.ended[event.run] = event
        self.spent[event.run] = self.spent.get(event.run, Spent()) + event.spent
        return spent.after_delegation(event.spent)

    def resume(self) -> None:
        """Record that the run was resumed: what a limit, an error or the user stopped goes on, unless one passed."""
        if self.winner is None:
            self.ended = {run: end for run, end in self.ended.items() if end.status not in GOES_ON}

    def number(self, run: str) -> int:
        """Return the number of a branch for people, from 1."""
        assert self.started is not None, "only a run that has branched has branches"
        return 1 + [one.run for one in self.started.branches].index(run)


def add_taken(event: BranchTaken, history: History) -> None:
    """Add to the conversation that the work of a branch took the place of the run's own, and what the branch said."""
    history.add_user(UserMessage(content=_TAKEN))
    if event.answer.strip():
        history.add_turn(AssistantMessage(content=event.answer), [])
