"""Drive one run from its first request to its outcome; composes the other modules of this package."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Literal, assert_never

from ..errors import ConfigError
from ..journal.events import (
    Noticed,
    Progressed,
    Replied,
    RunEnded,
    Said,
    Status,
    Triggered,
    VerifyEnded,
)
from ..journal.journal import JournalWriteError
from ..messages import AssistantMessage, UserMessage
from ..policy import escalation
from ..policy.ladder import Rung, Trigger
from ..tooling.final_result import FINAL_TOOL
from . import prompts
from .ask import Asker, NoReply
from .branching import run_branches
from .dependencies import RunDependencies
from .folding import fold
from .interpret import Accept, SingleInvalidCall, held_back, interpret
from .pending import (
    ApplyVerification,
    ChangeRung,
    EndAsStuck,
    PendingAction,
    RecordFailure,
    RecordProgress,
    RenewContext,
    RunBranches,
    SendFeedback,
    moved,
)
from .renewal import renew
from .state import RunState
from .tool_calls import run_calls
from .tool_notes import record_tool_notes
from .verify import passes_silently, verify_work
from .watching import CallbackError


class Run:
    """Drives one run. The state changes only through recorded events."""

    def __init__(self, state: RunState, deps: RunDependencies) -> None:
        self._state = state
        self._deps = deps
        self._asker = Asker(state, deps)

    async def drive(self) -> RunEnded:
        """Run until the end and return the last event.

        Failures of model, server, tools and disk end the run instead of raising. Cancellation is recorded as
        `interrupted` and re-raised.
        """
        try:
            record_tool_notes(self._state, self._deps)
            while self._state.ended is None:
                await self._next()
            await asyncio.to_thread(self._deps.sync)
        except (JournalWriteError, CallbackError) as error:
            with suppress(JournalWriteError):
                self._end("error", str(error))
                self._deps.sync()
            assert self._state.ended is not None, "an end with status error is applied even if it cannot be written"
        except asyncio.CancelledError as error:
            if self._state.ended is None:
                with suppress(JournalWriteError, CallbackError):
                    self._end("interrupted", ": ".join(["the run was interrupted", *map(str, error.args)]))
                    self._deps.sync()
            raise
        return self._state.ended

    async def _next(self) -> None:
        state = self._state
        if state.prefix.unrecorded is not None:
            self._deps.record(state.prefix.unrecorded)
        elif state.open_turn is not None:
            if exceeded_limit := await run_calls(state, self._deps):
                await self._end_over_budget(exceeded_limit)
        elif state.pending_action is not None:
            await self._carry_out(state.pending_action)
        elif state.pending_reply is not None:
            await self._interpret(state.pending_reply)
        elif state.final is not None or isinstance(state.history.messages[-1], AssistantMessage):
            await self._conclude()
        else:
            await self._ask()

    # One request and its reply.

    async def _ask(self) -> None:
        if exceeded_limit := self._exceeded_limit():
            await self._end_over_budget(exceeded_limit)
            return
        await self._send(self._state.rung, force_tool=self._state.forced_tool, reask=False)

    async def _send(self, rung: Rung, *, force_tool: str | None, reask: bool) -> Replied | None:
        """Send the history. None means the run ended, its context was renewed, or the server refused a re-ask."""
        answer = await self._asker.ask(rung, force_tool=force_tool, reask=reask)
        if isinstance(answer, Replied):
            return answer
        match answer.cause:
            case "refused" if reask:
                # The server cannot constrain replies; feedback without a constraint still works.
                self._deps.record(Noticed(text=prompts.REASK_REFUSED.format(reason=answer.reason)))
            case "context_full":
                await self._context_full(answer)
            case "wall_s":
                await self._end_over_budget(answer.reason)
            case "error" | "refused":
                self._end("error", answer.reason, cause="endpoint")
            case _:
                assert_never(answer.cause)
        return None

    async def _context_full(self, full: NoReply) -> None:
        is_new = len(self._state.history.messages) <= 2
        may_renew = any(rung.fresh_context for rung in self._state.started.ladder.rungs)
        if (folded := await fold(self._state, self._deps)) is not None:
            self._deps.record(folded)
        elif may_renew and not is_new:
            if self._state.work.summed_up is None and not self._state.profile.trained_texts:
                self._deps.record(await self._asker.sum_up(full.prompt_tokens))
            await self._renew_context(prompts.CONTEXT_FULL, clause=prompts.FILLED)
        elif may_renew and self._state.work.is_tight is False:
            await self._renew_context(prompts.CONTEXT_FULL, clause=prompts.FILLED, is_tight=True)
        else:
            await self._end_over_budget(full.reason)

    # Interpreting the reply.

    async def _interpret(self, pending: Replied) -> None:
        interpretation = interpret(self._state, pending, self._deps.toolbox)
        if isinstance(interpretation, SingleInvalidCall):
            interpretation = await self._reask(interpretation)
            if interpretation is None:
                return
        if isinstance(interpretation, Accept):
            self._accept(interpretation)
        else:
            self._deps.record(interpretation.rejected)

    async def _reask(self, invalid_reply: SingleInvalidCall) -> Accept | None:
        """Return the valid call from a constrained re-ask, or else the invalid call with feedback.

        None means that the re-ask got a reply, that the run ended meanwhile, or that its context was renewed.
        """
        invalid = invalid_reply.invalid
        replied = self._state.reask_reply
        if replied is None:
            decision = escalation.before_feedback(self._state.started.ladder, self._state.position, invalid.trigger)
            if not isinstance(decision.action, escalation.ReAsk) or self._exceeded_limit():
                return invalid_reply.fallback
            self._deps.record(
                Triggered(step=self._state.step, trigger=invalid.trigger, action="reask", reason=invalid.reason)
            )
            tool = invalid.tool.name if invalid.tool else None
            if await self._send(decision.action.rung, force_tool=tool, reask=True):
                return None  # and come back with the reply
            still_pending = self._state.pending_reply is not None and self._state.ended is None
            return invalid_reply.fallback if still_pending else None
        second = interpret(self._state, replied, self._deps.toolbox)
        if isinstance(second, Accept) and second.turn_taken.turn.tool_calls and not second.turn_taken.faults:
            return second
        return invalid_reply.fallback

    def _accept(self, accept: Accept) -> None:
        if (held := held_back(self._state, accept, self._deps.toolbox)) is not None:
            self._deps.record(held)
            return
        for event in accept.events:
            if not isinstance(event, Noticed) or event.text not in self._state.notices:
                self._deps.record(event)
        self._deps.record(accept.turn_taken)

    # Ending a step, an attempt or the run.

    async def _carry_out(self, action: PendingAction) -> None:
        """Carry out one pending action; the event it records replaces or clears the pending action."""
        match action:
            case RecordProgress():
                self._deps.record(Progressed(step=self._state.step))
            case RecordFailure():
                self._record_failure(action.trigger, action.reason)
            case ApplyVerification():
                self._apply_verification(action.result)
            case ChangeRung():
                self._deps.record(moved(action.move, step=self._state.step))
            case RenewContext() | RunBranches() | EndAsStuck():
                if not await self._passes_silently():
                    await self._give_up_attempt(action)
            case SendFeedback():
                self._send_message(action.text, force_tool=self._state.forced_tool)
            case _:
                assert_never(action)

    async def _give_up_attempt(self, action: RenewContext | RunBranches | EndAsStuck) -> None:
        """Go on in another way than in this conversation, or end."""
        match action:
            case RenewContext():
                clause = prompts.RENEWED_BECAUSE[action.trigger].format(reason=action.reason)
                await self._renew_context(action.reason, clause=clause, may_restore=action.may_restore)
            case RunBranches():
                if (end := await run_branches(self._state, self._deps, action)) is not None:
                    self._end(end.status, end.reason, cause=end.cause)
            case EndAsStuck():
                reason = f"the ladder has no rung left after {action.trigger}: {action.reason}"
                self._end("stuck", self._with_work(reason))
            case _:
                assert_never(action)

    async def _conclude(self) -> None:
        if self._deps.wants_result and self._state.final is None:
            self._send_message(prompts.GIVE_FINAL_RESULT, force_tool=FINAL_TOOL)
            return
        if self._deps.verify is None:
            self._end("finished", "the model reported that it is done")
            return
        await verify_work(self._deps.verify, self._state, self._deps, attempt=self._state.verify_attempts + 1)

    async def _passes_silently(self) -> bool:
        """Verify the work before it is given up, without telling the model; a pass ends the run as verified."""
        passes = await passes_silently(self._state, self._deps)
        if passes:
            taken = self._state.branching.taken
            when = "when the run was about to give up" if taken is None else f"for the work of the branch {taken.run}"
            self._end("verified", f"the verification passed {when}")
        return passes

    def _with_work(self, reason: str) -> str:
        return reason if self._deps.snapshot is None else self._state.work.told_after(reason)

    async def _end_over_budget(self, reason: str) -> None:
        if not await self._passes_silently():
            self._end("budget", self._with_work(reason))

    def _apply_verification(self, result: VerifyEnded) -> None:
        attempts = 1 if self._deps.verify is None else self._deps.verify.attempts
        if result.ok:
            self._end("verified", f"the verification passed on attempt {result.attempt}")
        elif result.attempt >= attempts and escalation.can_branch(self._state.started.ladder, self._state.position):
            self._record_failure("verify_failed", f"attempt {result.attempt} failed, the last one", is_last=True)
        elif result.attempt >= attempts:
            printed = f"its output:\n{result.output}" if result.output.strip() else "it printed nothing"
            self._end("verify_failed", f"the verification failed on the last attempt ({result.attempt}); {printed}")
        else:
            self._record_failure("verify_failed", result.say)

    def _record_failure(self, trigger: Trigger, reason: str, *, is_last: bool = False) -> None:
        """Report a failure to the ladder; its decision becomes the next pending action."""
        decision = escalation.failed(self._state.started.ladder, self._state.position, trigger, is_last=is_last)
        action: Literal["stay", "climb", "branch", "stop"] = "branch" if is_last else "stay"
        if isinstance(decision.action, escalation.Move) and not is_last:
            action = "climb"
        elif isinstance(decision.action, escalation.Stop):
            action = "stop"
        self._deps.record(Triggered(step=self._state.step, trigger=trigger, action=action, reason=reason))

    async def _renew_context(
        self, reason: str, *, clause: str, may_restore: bool | None = None, is_tight: bool = False
    ) -> None:
        """Renew the conversation; `may_restore` is None if nothing failed."""
        try:
            event = await renew(
                self._state, self._deps, reason=reason, clause=clause, may_restore=may_restore, is_tight=is_tight
            )
        except (OSError, ConfigError) as error:  # a tool may have removed the folder
            self._end("error", f"the workspace cannot be restored: {error}")
            return
        self._deps.record(event)

    def _send_message(self, text: str, *, force_tool: str | None = None) -> None:
        self._deps.record(Said(message=UserMessage(content=text), forces=force_tool))

    def _exceeded_limit(self) -> str:
        """Return which limit is reached, as a reason to end the run. Empty if none is."""
        return str(self._state.budget.exceeded(replace(self._state.spent, wall_s=self._deps.clock())) or "")

    def _end(self, status: Status, reason: str, *, cause: Literal["", "endpoint"] = "") -> None:
        spent = replace(self._state.spent, wall_s=round(self._deps.clock(), 3))
        answer, output = self._state.answer, self._state.final
        self._deps.record(
            RunEnded(status=status, reason=reason, answer=answer, output=output, spent=spent, cause=cause)
        )
