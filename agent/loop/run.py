"""The loop: one run from its first request to its outcome; the only module that knows all the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, assert_never

from ..errors import ConfigError
from ..journal.events import (
    ContextRenewed,
    EffortSwitched,
    Moved,
    Noticed,
    Progressed,
    Replied,
    RunEnded,
    Said,
    Status,
    Triggered,
    VerifyEnded,
    VerifyStarted,
)
from ..journal.journal import JournalWriteError
from ..messages import AssistantMessage, UserMessage
from ..policy import escalation
from ..policy.budget import exceeded
from ..policy.ladder import Rung, Trigger
from ..tooling.final_result import FINAL_TOOL
from ..workspace.workspace import Workspace
from . import prompts
from .ask import Asker
from .dependencies import RunDependencies
from .interpret import Accept, SingleInvalidCall, interpret
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
from .state import RunState
from .tool_calls import run_calls
from .verify import feedback as verify_feedback
from .verify import verify
from .window import summary


class Run:
    """Drives one run; `state` is changed by recorded events only."""

    def __init__(self, state: RunState, deps: RunDependencies) -> None:
        self._state = state
        self._deps = deps
        self._asker = Asker(state, deps)

    async def drive(self) -> RunEnded:
        """Go on until the run has ended, and return its last event.

        Never raises for what a run can meet; cancellation is recorded as `interrupted` and passes through.
        """
        try:
            while self._state.ended is None:
                await self._next()
        except JournalWriteError as error:
            with suppress(JournalWriteError):
                self._end("error", str(error))
            assert self._state.ended is not None, "the last word is taken even when it cannot be kept"
        except asyncio.CancelledError:
            if self._state.ended is None:
                with suppress(JournalWriteError):
                    self._end("interrupted", "the run was interrupted")
            raise
        return self._state.ended

    async def _next(self) -> None:
        state = self._state
        if state.open_turn is not None:
            over = await run_calls(state, self._deps)
            if over:
                self._end("budget", over)
        elif state.pending_action is not None:
            self._carry_out(state.pending_action)
        elif state.pending_reply is not None and state.switch_cost_unknown:
            self._deps.record(_switch_cost(state, state.pending_reply))
        elif state.pending_reply is not None:
            await self._interpret(state.pending_reply)
        elif state.final is not None or isinstance(state.history.messages[-1], AssistantMessage):
            await self._conclude()
        else:
            await self._ask()

    # One request and its reply.

    async def _ask(self) -> None:
        over = self._over_budget()
        if over:
            self._end("budget", over)
            return
        await self._send(self._state.rung, force_tool=self._state.forced_tool, reask=False)

    async def _send(self, rung: Rung, *, force_tool: str | None, reask: bool) -> Replied | None:
        """Send the history; None: the run ended, its context was renewed, or a re-ask was refused."""
        answer = await self._asker.ask(rung, force_tool=force_tool, reask=reask)
        if isinstance(answer, Replied):
            return answer
        match answer.cause:
            case "refused" if reask:
                # A server that knows no way to hold a reply to a schema; the plain way is still open.
                self._deps.record(Noticed(text=prompts.REASK_REFUSED.format(reason=answer.reason)))
            case "context_full":
                self._context_full()
            case "wall_s":
                self._end("budget", answer.reason)
            case "error" | "refused":
                self._end("error", answer.reason)
            case _:
                assert_never(answer.cause)
        return None

    def _context_full(self) -> None:
        ladder = self._state.started.ladder
        has_renewal = any(rung.fresh_context for rung in ladder.rungs)
        just_renewed = len(self._state.history.messages) <= 2
        if not has_renewal or just_renewed:
            window = self._state.started.window_tokens
            self._end("budget", f"{prompts.CONTEXT_FULL} ({window} tokens)")
            return
        self._renew(prompts.CONTEXT_FULL, restore=False)

    # What a reply means.

    async def _interpret(self, pending: Replied) -> None:
        meaning = interpret(self._state, pending, self._deps.toolbox)
        if isinstance(meaning, SingleInvalidCall):
            meaning = await self._reask(meaning)
            if meaning is None:
                return
        if isinstance(meaning, Accept):
            self._take(meaning)
        else:
            self._deps.record(meaning.rejected)

    async def _reask(self, broken: SingleInvalidCall) -> Accept | None:
        """Return what to take: the call as the constrained re-ask gave it, or else the broken one with feedback.

        None: the run ended meanwhile, or its context was renewed.
        """
        invalid = broken.invalid
        replied = self._state.reask_reply
        if replied is None:
            decision = escalation.before_feedback(self._state.started.ladder, self._state.position, invalid.trigger)
            if not isinstance(decision.action, escalation.ReAsk) or self._over_budget():
                return broken.otherwise
            self._deps.record(
                Triggered(step=self._state.step, trigger=invalid.trigger, action="reask", reason=invalid.reason)
            )
            tool = invalid.tool.name if invalid.tool else None
            replied = await self._send(decision.action.rung, force_tool=tool, reask=True)
        if replied is None:
            return broken.otherwise if self._state.pending_reply is not None and self._state.ended is None else None
        second = interpret(self._state, replied, self._deps.toolbox)
        if isinstance(second, Accept) and second.taken.turn.tool_calls and not second.taken.faults:
            return second
        return broken.otherwise

    def _take(self, take: Accept) -> None:
        for event in take.events:
            if not isinstance(event, Noticed) or event.text not in self._state.notices:
                self._deps.record(event)
        self._deps.record(take.taken)

    # The end of a step, of an attempt, of the run.

    def _carry_out(self, action: PendingAction) -> None:
        """Do one thing that was decided; each ends with an event that takes it off."""
        match action:
            case RecordProgress():
                self._deps.record(Progressed(step=self._state.step))
            case RecordFailure():
                self._fail(action.trigger, action.reason)
            case ApplyVerification():
                self._judge_work(action.found)
            case ChangeRung():
                self._move(action.move)
            case RenewContext():
                self._renew(action.reason, restore=True)
            case SendFeedback():
                self._say(action.text)
            case EndAsStuck():
                self._end("stuck", f"nothing on the ladder is left to try after {action.trigger}: {action.reason}")
            case _:
                assert_never(action)

    async def _conclude(self) -> None:
        state = self._state
        if self._deps.wants_result and state.final is None:
            self._say(prompts.GIVE_FINAL_RESULT, forces=FINAL_TOOL)
            return
        wanted = self._deps.verify
        if wanted is None:
            self._end("finished", "the model says that it is done")
            return
        attempt = state.verify_attempts + 1
        self._deps.record(VerifyStarted(attempt=attempt, command=wanted.command))
        found = await verify(
            wanted.command,
            workspace=self._deps.context.workspace,
            env={**self._deps.context.env, **self._deps.verify_env},
            timeout_s=wanted.timeout_s,
            sandbox=self._deps.context.sandbox,
            read=[Path(value) for value in self._deps.verify_env.values() if value.startswith("/")],
        )
        found = replace(found, output=self._deps.context.redacted(found.output))
        self._deps.record(
            VerifyEnded(
                attempt=attempt,
                ok=found.ok,
                exit_code=found.exit_code,
                output=found.output,
                elapsed_s=round(found.elapsed_s, 3),
                say="" if found.ok else verify_feedback(found, attempt=attempt, attempts=wanted.attempts),
            )
        )

    def _judge_work(self, found: VerifyEnded) -> None:
        attempts = 1 if self._deps.verify is None else self._deps.verify.attempts
        if found.ok:
            self._end("verified", f"the verification passed at attempt {found.attempt}")
        elif found.attempt >= attempts:
            self._end(
                "verify_failed", f"the verification failed {found.attempt} times; its last output:\n{found.output}"
            )
        else:
            self._fail("verify_failed", found.say)

    def _fail(self, trigger: Trigger, reason: str) -> None:
        """Tell the ladder of a failure; what it decides is due next."""
        decision = escalation.failed(self._state.started.ladder, self._state.position, trigger)
        action: Literal["stay", "climb", "stop"] = "stay"
        if isinstance(decision.action, escalation.Move):
            action = "climb"
        elif isinstance(decision.action, escalation.Stop):
            action = "stop"
        self._deps.record(Triggered(step=self._state.step, trigger=trigger, action=action, reason=reason))

    def _move(self, move: escalation.Move) -> None:
        self._deps.record(
            Moved(step=self._state.step, rung=move.to, effort=move.rung.effort, switches_effort=move.switches_effort)
        )

    def _renew(self, reason: str, *, restore: bool) -> None:
        restored: tuple[str, ...] = ()
        snapshot = self._deps.snapshot if restore else None
        if snapshot is not None:
            try:
                restored = Workspace(self._deps.context.workspace).restore(snapshot).changed
            except (OSError, ConfigError) as error:  # a tool may have taken the folder itself away
                self._end("error", f"the workspace cannot be put back: {error}")
                return
        told = summary(self._state.history.messages, reason=reason, restored=snapshot is not None)
        prompt = self._state.started.prompt
        fresh = UserMessage(content=f"{prompt.content}\n\n{told}", images=prompt.images)
        self._deps.record(ContextRenewed(step=self._state.step, prompt=fresh, restored=restored))

    def _say(self, text: str, *, forces: str | None = None) -> None:
        self._deps.record(Said(message=UserMessage(content=text), forces=forces))

    def _over_budget(self) -> str:
        spent = replace(self._state.spent, wall_s=self._deps.clock())
        over = exceeded(self._state.limits, spent)
        return "" if over is None else str(over)

    def _end(self, status: Status, reason: str) -> None:
        spent = replace(self._state.spent, wall_s=round(self._deps.clock(), 3))
        self._deps.record(
            RunEnded(status=status, reason=reason, answer=self._state.answer, output=self._state.final, spent=spent)
        )
        self._deps.sync()


def _switch_cost(state: RunState, replied: Replied) -> EffortSwitched:
    usage = replied.reply.usage
    prompt_tokens = usage.prompt_tokens if usage else state.size.estimate(replied.wire_bytes)
    cached = usage.cached_tokens if usage else None
    return EffortSwitched(
        step=replied.step,
        effort=state.effort,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached or 0,
        prefilled_tokens=prompt_tokens - (cached or 0),
        source="estimate" if cached is None else "engine",
    )
