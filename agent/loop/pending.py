"""Actions that a run has chosen but not carried out yet; data only, so that a killed run can resume mid-step."""

from __future__ import annotations

from dataclasses import dataclass

from ..journal.events import VerifyEnded
from ..policy.escalation import Move
from ..policy.ladder import Trigger


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordProgress:
    """Report to the ladder that a step produced something new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordFailure:
    """Report a failure to the ladder."""

    trigger: Trigger
    reason: str
    feedback: str = ""
    """Message for the model, sent unless the context is renewed. Empty if the history already contains it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyVerification:
    """Act on the result of the verification: end the run, or report the failure to the ladder."""

    result: VerifyEnded


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeRung:
    """Switch to the rung that the ladder chose."""

    move: Move
    trigger: Trigger | None
    """None if the run comes down after progress."""
    reason: str
    feedback: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RenewContext:
    """Restart the conversation with a summary."""

    trigger: Trigger
    reason: str
    may_restore: bool
    """Whether the workspace is restored too, if a verification of its present files failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SendFeedback:
    """Send a message to the model, as the user."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EndAsStuck:
    """End the run: the ladder has no rung left."""

    trigger: Trigger
    reason: str


PendingAction = (
    RecordProgress | RecordFailure | ApplyVerification | ChangeRung | RenewContext | SendFeedback | EndAsStuck
)
