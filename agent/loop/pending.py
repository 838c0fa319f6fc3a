"""Actions that a run has chosen but not carried out yet, so that a killed run can resume mid-step; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from ..journal.events import Moved, VerifyEnded
from ..policy.escalation import Decision, Move, ReAsk, Stay, Stop
from ..policy.ladder import Trigger
from . import prompts


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
class RunBranches:
    """Try the task anew, several times at once, and take the first attempt whose verification passes."""

    trigger: Trigger
    reason: str


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
    RecordProgress
    | RecordFailure
    | ApplyVerification
    | ChangeRung
    | RenewContext
    | RunBranches
    | SendFeedback
    | EndAsStuck
)


def after_decision(decision: Decision, trigger: Trigger | None, reason: str, feedback: str) -> PendingAction | None:
    """Return the action that follows from a decision of the ladder. None if there is nothing to do.

    Args:
        decision: of the ladder.
        trigger: the failure that it decided on. None for progress.
        reason: of the failure.
        feedback: for the model. Empty if the history already contains it.
    """
    match decision.action:
        case Move():
            return ChangeRung(move=decision.action, trigger=trigger, reason=reason, feedback=feedback)
        case Stop():
            return EndAsStuck(trigger=decision.action.trigger, reason=reason)
        case Stay() | ReAsk():
            return SendFeedback(text=feedback) if feedback else None
        case _:
            assert_never(decision.action)


def moved(move: Move, *, step: int) -> Moved:
    """Return the event that records a change of the rung."""
    return Moved(
        step=step, rung=move.to, effort=move.rung.effort, switches_effort=move.switches_effort, phase=move.phase
    )


def after_move(change: ChangeRung, *, trained_texts: bool) -> PendingAction | None:
    """Return the action that follows once a run is on another rung. None if there is nothing to do."""
    if change.move.rung.branch and change.trigger is not None:
        return RunBranches(trigger=change.trigger, reason=change.reason)
    if change.move.rung.fresh_context and change.trigger is not None:
        may_restore = change.trigger == "verify_failed" or change.move.rung.restore == "any"
        return RenewContext(trigger=change.trigger, reason=change.reason, may_restore=may_restore)
    text = change.feedback
    if change.trigger is not None and not text and not trained_texts:
        text = prompts.CLIMBED.get(change.trigger, "").format(reason=change.reason)
    return SendFeedback(text=text) if text else None
