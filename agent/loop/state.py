"""Compute the state of a run from its events, pure; a run is resumed by applying the events of its journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from ..journal.events import (
    Adapted,
    BranchEnded,
    BranchesStarted,
    BranchTaken,
    CallEnded,
    CallStarted,
    ContextRenewed,
    Delegated,
    Event,
    FilesChanged,
    Folded,
    HandInHeld,
    Loosened,
    Moved,
    Noticed,
    PrefixChanged,
    Progressed,
    Rejected,
    Repaired,
    Replied,
    Requested,
    Rescued,
    Resumed,
    Retried,
    RunEnded,
    RunStarted,
    Said,
    SummedUp,
    Triggered,
    TurnTaken,
    VerifyEnded,
    VerifyStarted,
)
from ..messages import Effort, ToolResult
from ..model.history import History
from ..model.profiles import Profile
from ..policy import escalation
from ..policy.budget import Budget, Spent
from ..policy.ladder import Rung, Trigger
from ..tooling.arguments import JsonObject
from ..tooling.final_result import FINAL_TOOL
from . import prompts
from .adaptation import adapted, resumed_on
from .branch_state import Branching, add_taken
from .pending import ApplyVerification, ChangeRung, PendingAction, RecordFailure, after_decision, after_move
from .prefix import Prefix
from .window import PromptSize, estimated_usage, likely_tokens, wanted_reply_tokens
from .work import Work


class RunState:
    """Everything that the next action of a run depends on."""

    def __init__(self, first: RunStarted, profile: Profile) -> None:
        self.started = first
        self.budget = Budget(own=first.limits, shared=first.shared_limits)
        self.profile, self._surface = profile, profile.surface
        self.history = History(replay_reasoning=profile.replay_reasoning)
        self.position = escalation.start(first.ladder, rung=first.rung)
        self.spent, self.size = Spent(), PromptSize()
        self.step = self.estimated_tokens = 0
        self.pending_reply: Replied | None = None
        """A reply that is not accepted or rejected yet."""
        self.reask_reply: Replied | None = None
        """Reply to the constrained re-ask for `pending_reply`."""
        self.open_turn: TurnTaken | None = None
        """A turn with calls that have no result yet."""
        self.results: dict[str, ToolResult] = {}
        self.started_calls: set[str] = set()
        """Ids of the calls that were started."""
        self.failures = 0
        """Consecutive turns with an invalid call; feedback gives this number plus one as the attempt."""
        self.last_invalid = self.last_failure = ""
        self.reply_growths = 0
        """How often `max_tokens` was raised after a truncated reply."""
        self.answers_in_reasoning = self.verify_attempts = 0
        self.final: JsonObject | None = None
        """The structured result. None if none was given, or the verification failed for it."""
        self.forced_tool: str | None = None
        """The tool that the next reply must call. None means no tool is forced."""
        self.notices: set[str] = set()
        self.loose_tools: frozenset[str] = frozenset()  # whose grammar the server does not compile
        self.prefix = Prefix()
        self.work = Work(trained_texts=profile.trained_texts)
        self.branching = Branching()
        self.pending_action: PendingAction | None = None
        """The action to carry out before the next request."""
        self.ended: RunEnded | None = None
        self.earlier_messages = self.history.start(first.system, first.history, first.prompt)
        """How many messages of the history are not of this run."""

    @property
    def reply_tokens(self) -> int:
        """Tokens wanted for the next reply."""
        most = self.started.model_settings.max_tokens
        return wanted_reply_tokens(self.profile, self.effort, growths=self.reply_growths, most=most)

    @property
    def rung(self) -> Rung:
        """The rung of the next request."""
        return escalation.current(self.started.ladder, self.position)

    @property
    def effort(self) -> Effort | None:
        return self.rung.effort

    @property
    def answer(self) -> str:
        """The model's last text, or empty."""
        return self.history.last_text(after=self.earlier_messages)

    def apply(self, event: Event) -> None:  # noqa: C901, PLR0912, PLR0915 - one flat case per event class
        """Update the state with one event."""
        self.prefix.apply(event, self.history, self.profile)
        match event:
            case Replied():
                self._replied(event)
            case HandInHeld():
                self.pending_reply = self.reask_reply = None
                self._apply_decision(escalation.handing_in(self.started.ladder, self.position))
            case TurnTaken():
                self._turn_taken(event)
            case CallStarted():
                self.started_calls.add(event.tool_call_id)
                self.work.start_call(event)
                self.spent = replace(self.spent, tool_calls=self.spent.tool_calls + 1)
            case CallEnded():
                self._call_ended(event)
            case Triggered():
                self._triggered(event)
            case Progressed():
                self._apply_decision(escalation.progressed(self.started.ladder, self.position))
            case ContextRenewed():
                self._renewed(event)
            case SummedUp():
                self.work.summed_up = event
                self.spent = self.spent.after_reply(event.usage) if event.usage else self.spent
            case Folded():
                self._folded(event)
            case Said():
                self._said(event)
            case Rejected():
                self._rejected(event)
            case FilesChanged():
                self.work.change_files(event)
            case VerifyEnded():
                self._verified(event)
            case Moved():
                self._moved()
            case Noticed():
                self.notices.add(event.text)
            case Loosened():
                self.loose_tools |= frozenset(event.tools)
                self.notices.add(event.notice)
            case Adapted():
                self.profile, self.started = adapted(self.profile, self.started, event)
                self.notices.add(event.notice)
            case Delegated():
                self.spent = self.spent.after_delegation(event.spent)
            case BranchesStarted() | BranchEnded():
                self.spent = self.branching.apply(event, self.spent)
            case BranchTaken():
                self.branching.taken = event
                self.work.take_branch(event)
                self.final = event.output if isinstance(event.output, dict) else None
                add_taken(event, self.history)
            case Requested():
                self.step, self.estimated_tokens = event.step, likely_tokens(event)
                self.spent = replace(self.spent, wall_s=event.wall_s)
            case Resumed():
                self._resumed(event)
            case RunEnded():
                self.ended, self.spent = event, event.spent
            case RunStarted() | Retried() | PrefixChanged() | Repaired() | Rescued() | VerifyStarted():
                pass
            case _:
                assert_never(event)

    def open_ids(self) -> Sequence[str]:
        """Return the ids of the open turn's calls that have no result yet."""
        calls = self.open_turn.turn.tool_calls if self.open_turn is not None else ()
        return [call.id for call in calls if call.id not in self.results]

    def _replied(self, event: Replied) -> None:
        self.spent = self.spent.after_reply(event.reply.usage, estimate=estimated_usage(event, self.estimated_tokens))
        self.spent = replace(self.spent, wall_s=self.spent.wall_s + event.elapsed_s)
        if event.reply.usage is not None:
            self.size = PromptSize.of(event.reply.usage.prompt_tokens, event.wire_bytes)
        if event.reask:
            self.reask_reply = event
        else:
            self.pending_reply, self.reask_reply = event, None

    def _turn_taken(self, event: TurnTaken) -> None:
        self.pending_reply = self.reask_reply = None
        self.open_turn = event
        self.work.start_turn()
        self.forced_tool, self.last_failure = None, ""
        self.answers_in_reasoning = 0
        self.failures = self.failures + 1 if event.faults else 0
        self.last_invalid = event.faults[-1].signature if event.faults else ""
        self.results |= {result.tool_call_id: result for result in event.answered}
        self._close_turn()

    def _call_ended(self, event: CallEnded) -> None:
        self.results[event.result.tool_call_id] = event.result
        self.work.end_call(event)
        self._close_turn()

    def _close_turn(self) -> None:
        """Once every call has its result, add the turn to the history and set the action that follows from it."""
        turn_taken = self.open_turn
        if turn_taken is None or self.open_ids():
            return
        self.open_turn = None
        results = [self.results[call.id] for call in turn_taken.turn.tool_calls]
        self.history.add_turn(turn_taken.turn, results)
        if not results:
            return
        for call, result in zip(turn_taken.turn.tool_calls, results, strict=True):
            if call.name == FINAL_TOOL and result.status == "ok":
                self.final = json.loads(call.arguments)
        self.pending_action = self.work.end_turn(turn_taken, results, self.started.ladder)

    def _verified(self, event: VerifyEnded) -> None:
        self.work.end_verification(event, answer=self.answer)
        if event.attempt:
            self.verify_attempts = event.attempt
            self.pending_action = ApplyVerification(result=event)

    def _said(self, event: Said) -> None:
        self.pending_action = self.final = None
        self.forced_tool = event.forces
        self.history.add_user(event.message)

    def _triggered(self, event: Triggered) -> None:
        self.last_failure = event.reason
        if event.action == "reask":
            self.position = escalation.before_feedback(self.started.ladder, self.position, event.trigger).position
            return
        if event.trigger == "no_progress":
            self.work.stale_steps = 0
        pending = self.pending_action
        feedback = pending.feedback if isinstance(pending, RecordFailure) else ""
        feedback = event.reason if isinstance(pending, ApplyVerification) else feedback
        ladder, is_last = self.started.ladder, event.action == "branch"
        decision = escalation.failed(ladder, self.position, event.trigger, is_last=is_last)
        self._apply_decision(decision, event.trigger, event.reason, feedback)

    def _apply_decision(
        self, decision: escalation.Decision, trigger: Trigger | None = None, reason: str = "", feedback: str = ""
    ) -> None:
        """Apply a decision of the ladder and set the action that follows from it."""
        self.position = decision.position
        self.pending_action = after_decision(decision, trigger, reason, feedback)

    def _moved(self) -> None:
        assert isinstance(self.pending_action, ChangeRung), "only a pending ChangeRung may change the rung"
        self.pending_action = after_move(self.pending_action, trained_texts=self.profile.trained_texts)

    def _rejected(self, event: Rejected) -> None:
        if event.tool:
            return
        self.pending_reply = None
        self.pending_action = RecordFailure(trigger=event.trigger, reason=event.reason, feedback=event.say)
        self.reply_growths += event.trigger == "truncated" and event.grow
        self.answers_in_reasoning += event.trigger == "answer_in_reasoning"

    def _resumed(self, event: Resumed) -> None:
        if self.ended is not None and self.ended.status in {"stuck", "verify_failed"}:
            # Resuming a run that gave up means trying again, so the ladder and the verification attempts start over.
            self.position, self.branching = escalation.start(self.started.ladder), Branching()
            self.pending_action, self.verify_attempts = None, 0
        self.branching.resume()
        if event.model and event.base_url != self.started.base_url:  # what one server refused, another may take
            self.profile, self.loose_tools = replace(self.profile, surface=self._surface), frozenset()
        self.started = resumed_on(self.started, event)
        self.budget, self.ended = Budget(own=event.limits or self.budget.own, shared=event.shared_limits), None

    def _folded(self, event: Folded) -> None:
        self.size = self.size.less(self.history.fold(event.lines, prompts.FOLDED_IMAGES, event.reasoning_before))
        self.work.fold(event.lines.keys())

    def _renewed(self, event: ContextRenewed) -> None:
        self.pending_reply = self.reask_reply = self.pending_action = None
        self.history.restart()
        self.earlier_messages = self.history.start(self.started.system, (), event.prompt)
        self.size = self.size.restarted()
        self.final = self.forced_tool = None
        self.work.start_conversation(event)
