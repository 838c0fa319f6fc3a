"""The state of a run as the sum of its events, pure: a resumed run is the same fold over the journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from ..journal.events import (
    CallEnded,
    CallStarted,
    ContextRenewed,
    EffortSwitched,
    Event,
    Moved,
    Noticed,
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
    Triggered,
    TurnTaken,
    VerifyEnded,
    VerifyStarted,
)
from ..messages import AssistantMessage, Effort, ToolResult, UserMessage
from ..model.history import History
from ..model.profiles import Profile
from ..policy import escalation
from ..policy.budget import Spent
from ..policy.ladder import Rung, Trigger
from ..tooling.arguments import JsonObject
from ..tooling.final_result import FINAL_TOOL
from .pending import (
    ApplyVerification,
    ChangeRung,
    EndAsStuck,
    PendingAction,
    RecordFailure,
    RecordProgress,
    RenewContext,
    SendFeedback,
)
from .window import PromptSize


class RunState:
    """Everything the next action of a run depends on."""

    def __init__(self, first: RunStarted, profile: Profile) -> None:
        self.started = first
        self.limits = first.limits
        self.profile = profile
        self.history = History(replay_reasoning=profile.replay_reasoning)
        self.position = escalation.Position()
        self.spent = Spent()
        self.size = PromptSize()
        self.step = 0
        self.pending_reply: Replied | None = None
        """A reply that is not yet taken or refused."""
        self.reask_reply: Replied | None = None
        """What came when `pending_reply` was asked for again, constrained."""
        self.open_turn: TurnTaken | None = None
        """A turn whose calls do not all have results."""
        self.results: dict[str, ToolResult] = {}
        self.begun: set[str] = set()
        """Ids of calls that were started."""
        self.known: set[str] = set()
        """Fingerprints of calls with their results, ever."""
        self.last_fingerprint = ""
        self.stale_steps = 0
        self.failures = 0
        """Invalid calls in a row; the attempt number of the next feedback, less one."""
        self.last_invalid = ""
        self.growth = 0
        """How often the room for a reply was enlarged after a cut."""
        self.reasoned_answers = 0
        self.verify_attempts = 0
        self.final: JsonObject | None = None
        """The structured result. None: it was not given, or a verification has refused it."""
        self.forced_tool: str | None = None
        """What the next reply must call. None: the model is free."""
        self.notices: set[str] = set()
        self.switch_cost_unknown = False
        """True: the effort was switched and its cost is not yet known."""
        self.pending_action: PendingAction | None = None
        """What was decided and is not yet carried out; it comes before the next request."""
        self._prints: dict[str, str] = {}
        self.ended: RunEnded | None = None
        self._open(first.prompt)

    @property
    def reply_tokens(self) -> int:
        """Room wanted for the next reply; four times as much after each reply that was cut."""
        wanted = self.profile.reply_tokens.get(self.effort) or max(self.profile.reply_tokens.values())
        return wanted * 4**self.growth

    @property
    def rung(self) -> Rung:
        """The rung of the next request."""
        return escalation.current(self.started.ladder, self.position)

    @property
    def effort(self) -> Effort | None:
        return self.rung.effort

    @property
    def answer(self) -> str:
        """The model's last words, empty if it said none."""
        texts = [m.content for m in self.history.messages if isinstance(m, AssistantMessage) and m.content.strip()]
        return texts[-1].strip() if texts else ""

    def apply(self, event: Event) -> None:  # noqa: C901, PLR0912, PLR0915 - one flat arm per event of a closed set
        """Add one event."""
        match event:
            case Replied():
                self._replied(event)
            case TurnTaken():
                self._turn_taken(event)
            case CallStarted():
                self.begun.add(event.tool_call_id)
                self.spent = replace(self.spent, tool_calls=self.spent.tool_calls + 1)
            case CallEnded():
                self._call_ended(event)
            case Triggered():
                self._triggered(event)
            case Progressed():
                self._decided(escalation.progressed(self.started.ladder, self.position), "")
            case ContextRenewed():
                self._renewed(event)
            case Said():
                self._said(event)
            case Rejected():
                self._rejected(event)
            case VerifyEnded():
                self.verify_attempts = event.attempt
                self.last_fingerprint = ""  # doing the same once more after a verdict is an answer to it, not a loop
                self.pending_action = ApplyVerification(found=event)
            case Moved():
                self._moved(event)
            case EffortSwitched():
                self.switch_cost_unknown = False
            case Noticed():
                self.notices.add(event.text)
            case Requested():
                self.step = event.step
                self.spent = replace(self.spent, wall_s=event.wall_s)
            case Resumed():
                self._resumed(event)
            case RunEnded():
                self.ended = event
                self.spent = event.spent
            case RunStarted() | Retried() | Repaired() | Rescued() | VerifyStarted():
                pass
            case _:
                assert_never(event)

    def open_ids(self) -> Sequence[str]:
        """Ids of the open turn's calls that still need a result."""
        if self.open_turn is None:
            return ()
        return [call.id for call in self.open_turn.turn.tool_calls if call.id not in self.results]

    def _open(self, prompt: UserMessage) -> None:
        self.history.add_system(self.started.system)
        self.history.add_user(prompt)

    def _replied(self, event: Replied) -> None:
        self.spent = self.spent.after_reply(event.reply.usage)
        self.spent = replace(self.spent, wall_s=self.spent.wall_s + event.elapsed_s)
        if event.reply.usage is not None:
            self.size = PromptSize(counted_tokens=event.reply.usage.prompt_tokens, counted_bytes=event.wire_bytes)
        if event.reask:
            self.reask_reply = event
        else:
            self.pending_reply = event

    def _turn_taken(self, event: TurnTaken) -> None:
        self.pending_reply = self.reask_reply = None
        self.open_turn = event
        self.forced_tool = None
        self.reasoned_answers = 0
        self.failures = self.failures + 1 if event.faults else 0
        self.last_invalid = event.faults[-1].signature if event.faults else ""
        self.results |= {result.tool_call_id: result for result in event.answered}
        self._close_turn()

    def _call_ended(self, event: CallEnded) -> None:
        self.results[event.result.tool_call_id] = event.result
        self._prints[event.result.tool_call_id] = event.fingerprint
        self._close_turn()

    def _close_turn(self) -> None:
        """Once every call has its result, the turn enters the history and is judged."""
        taken = self.open_turn
        if taken is None or self.open_ids():
            return
        self.open_turn = None
        results = [self.results[call.id] for call in taken.turn.tool_calls]
        self.history.add_turn(taken.turn, results, reasoning_field=taken.reasoning_field)
        if not results:
            return
        for call, result in zip(taken.turn.tool_calls, results, strict=True):
            if call.name == FINAL_TOOL and result.status == "ok":
                self.final = json.loads(call.arguments)
        # A call that was never run, or interrupted, has no print: it is like no other.
        prints = [found for result in results if (found := self._prints.get(result.tool_call_id))]
        self.pending_action = self._judge(taken, results, prints)
        self.known |= set(prints)
        self.last_fingerprint = prints[0] if len(prints) == 1 else ""

    def _judge(
        self, taken: TurnTaken, results: Sequence[ToolResult], prints: Sequence[str]
    ) -> RecordFailure | RecordProgress | None:
        progress = any(
            result.status == "ok" and self._prints[result.tool_call_id] not in self.known
            for result in results
            if result.tool_call_id in self._prints
        )
        self.stale_steps = 0 if progress else self.stale_steps + 1
        trigger: Trigger | None = None
        reason = ""
        if taken.faults and not progress:  # a slip beside good work is answered, and no cause to ask harder
            trigger, reason = taken.faults[0].trigger, "a call could not be executed"
        elif len(prints) == 1 and prints[0] == self.last_fingerprint:
            trigger, reason = "repeat", "the same call gave the same result again"
        elif any(result.status in {"error", "timeout"} for result in results):
            trigger, reason = "tool_error", "a tool reported an error"
        elif self.stale_steps >= self.started.ladder.no_progress_steps:
            trigger, reason = "no_progress", f"{self.stale_steps} steps brought nothing new"
        if trigger is not None:
            return RecordFailure(trigger=trigger, reason=reason)
        return RecordProgress() if progress else None

    def _said(self, event: Said) -> None:
        self.pending_action = None
        self.final = None
        self.forced_tool = event.forces
        self.history.add_user(event.message)

    def _triggered(self, event: Triggered) -> None:
        if event.action == "reask":
            self.position = escalation.before_feedback(self.started.ladder, self.position, event.trigger).position
            return
        if event.trigger == "no_progress":
            self.stale_steps = 0
        pending = self.pending_action
        say = pending.say if isinstance(pending, RecordFailure) else ""
        if isinstance(pending, ApplyVerification):
            say = event.reason
        self._decided(escalation.failed(self.started.ladder, self.position, event.trigger), event.reason, say)

    def _decided(self, decision: escalation.Decision, reason: str, say: str = "") -> None:
        """Apply the decision of the ladder and set the action that follows from it."""
        self.position = decision.position
        match decision.action:
            case escalation.Move():
                self.pending_action = ChangeRung(move=decision.action, reason=reason, say=say)
            case escalation.Stop():
                self.pending_action = EndAsStuck(trigger=decision.action.trigger, reason=reason)
            case escalation.Stay() | escalation.ReAsk():
                self.pending_action = SendFeedback(text=say) if say else None
            case _:
                assert_never(decision.action)

    def _moved(self, event: Moved) -> None:
        self.switch_cost_unknown = self.switch_cost_unknown or event.switches_effort
        moving = self.pending_action
        assert isinstance(moving, ChangeRung), "only the ladder moves a run"
        if moving.move.rung.fresh_context:
            self.pending_action = RenewContext(reason=moving.reason)
        else:
            self.pending_action = SendFeedback(text=moving.say) if moving.say else None

    def _rejected(self, event: Rejected) -> None:
        if event.tool:
            return
        self.pending_reply = None
        self.pending_action = RecordFailure(trigger=event.trigger, reason=event.reason, say=event.say)
        self.growth += event.trigger == "truncated" and event.grow
        self.reasoned_answers += event.trigger == "answer_in_reasoning"

    def _resumed(self, event: Resumed) -> None:
        if self.ended is not None and self.ended.status in {"stuck", "verify_failed"}:
            # Whoever resumes a run that had given up wants it tried again: the ladder and the attempts begin anew.
            self.switch_cost_unknown = self.switch_cost_unknown or self.started.ladder.rungs[0].effort != self.effort
            self.position = escalation.Position()
            self.verify_attempts = 0
            self.pending_action = None
        self.limits = event.limits or self.limits
        self.ended = None

    def _renewed(self, event: ContextRenewed) -> None:
        self.pending_reply = self.reask_reply = None
        self.pending_action = None
        self.history.restart()
        self._open(event.prompt)
        self.size = PromptSize()
        self.final = None
        self.forced_tool = None
        self.known = set()
        self.last_fingerprint = ""
        self.stale_steps = 0
