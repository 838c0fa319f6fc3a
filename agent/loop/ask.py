"""Ask the model: fit the reply into window and budget, retry what may succeed later, and record request and reply."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Literal

from tenacity import RetryCallState

from ..errors import EndpointError, EndpointRejected
from ..journal.events import Noticed, Replied, Requested, Retried, SummedUp
from ..messages import Reply, UserMessage
from ..model.control_tokens import unescape_control_tokens
from ..model.refusals import overflow
from ..model.retry import is_journaled, retrying
from ..model.wire import encode_message
from ..parsing.thoughts import split_thoughts
from ..policy import escalation
from ..policy.budget import output_left
from ..policy.ladder import Rung
from ..tooling.redaction import redacted_reply
from . import prompts
from .dependencies import RunDependencies
from .send import Order, Sender
from .state import RunState
from .window import LIKELY_BYTES_PER_TOKEN, SAFE_BYTES_PER_TOKEN, min_reply_tokens, reply_room

# Of a summary that the model writes: 400 words take some 600 tokens; thinking before it, a few times that.
_SUMMARY_TOKENS = 1_000
_SUMMARY_THOUGHT_TOKENS = 3_000
_LEAST_SUMMARY_TOKENS = 300
_SUM_UP_TOKENS = 200
"""Of the message that asks for it, and what a chat template adds."""
_SUMMARY_S = 180.0
"""How long it is waited for; without it the conversation is renewed all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoReply:
    """Why a request got no reply."""

    cause: Literal["context_full", "wall_s", "refused", "error"]
    """`refused` means the server does not accept this kind of request, and a retry would not help."""
    reason: str
    prompt_tokens: int = 0
    """Of the prompt that was too long; perhaps estimated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Room:
    """How much a request asks for, and what it was computed with."""

    max_tokens: int
    prompt_tokens: int
    source: Literal["engine", "estimate"]


class Asker:
    """Asks on behalf of one run."""

    def __init__(self, state: RunState, deps: RunDependencies) -> None:
        self._state = state
        self._deps = deps
        self._sender = Sender(state, deps)
        self._can_count = state.profile.surface.counts_tokens
        """False once the server has turned out to have no /tokenize."""

    async def ask(self, rung: Rung, *, force_tool: str | None, reask: bool) -> Replied | NoReply:
        """Send the history with the settings of a rung. Failures of the server are returned, not raised.

        Args:
            rung: The current rung.
            force_tool: Tool that must be called. None means no tool is forced, or in a re-ask that any must be called.
            reask: Whether this repeats the last request with a constraint.
        """
        self._sender.recall()
        surface = self._state.profile.surface
        if force_tool is not None and not self._sender.can_force and not reask:
            force_tool = None  # a message asks for the call anyway
        if reask and not (surface.required and surface.tool_choice if force_tool is None else self._sender.can_force):
            return NoReply(cause="refused", reason="the server supports no way to constrain it")
        found = await self._room(rung)
        if isinstance(found, NoReply):
            return found
        room = found.max_tokens
        order = Order(rung=rung, max_tokens=room, force_tool=force_tool, reask=reask)
        step = self._state.step + 1
        began = self._deps.clock()
        at = escalation.current_index(self._state.started.ladder, self._state.position)
        self._deps.record(
            Requested(
                step=step,
                rung=at,
                effort=rung.effort,
                constrained=force_tool if force_tool is not None else "" if reask else None,
                max_tokens=room,
                prompt_tokens=found.prompt_tokens,
                source=found.source,
                wall_s=round(began, 3),
                reask=reask,
                digest=self._state.history.digest(),
            )
        )
        try:
            reply = await self._ask_with_retries(order, step)
        except TimeoutError:
            limit = self._state.budget.lowest("wall_s", replace(self._state.spent, wall_s=self._deps.clock()))
            assert limit is not None, "only this limit ends a request"
            return NoReply(cause="wall_s", reason=f"{limit.name} was reached during a request")
        except EndpointError as error:
            return self._no_reply(error, room)
        if reply.usage is None and prompts.NO_USAGE not in self._state.notices:
            self._deps.record(Noticed(text=prompts.NO_USAGE))
        replied = Replied(
            step=step,
            rung=at,
            reply=redacted_reply(unescape_control_tokens(reply), self._deps.context.redacted),
            max_tokens=room,
            wire_bytes=self._state.history.wire_bytes,
            elapsed_s=round(self._deps.clock() - began, 4),
            reask=reask,
        )
        self._deps.record(replied)
        return replied

    async def sum_up(self, prompt_tokens: int) -> SummedUp:
        """Ask for a summary of the conversation in one bounded request, without the last turn if that does not fit.

        `prompt_tokens` is the size of the whole conversation. The request goes on from the last prompt, so the engine
        reads little. It does not forbid calls: some servers leave the tools out of the prompt then, and would read all
        of it again. Failures are returned, not raised.
        """
        state, began = self._state, self._deps.clock()
        fitting = self._fitting_summary(prompt_tokens)
        if fitting is None:
            return SummedUp(step=state.step, text="", why_not="there is no room for it")
        end, room = fitting
        wanted = prompts.SUM_UP + (prompts.NOTES_ARE_KEPT if state.work.notes else "")
        ask = encode_message(UserMessage(content=wanted), with_reasoning=False)
        request = self._sender.request(Order(rung=state.rung, max_tokens=room), end=end, then=(ask,))
        left_s = _SUMMARY_S if (limit := self._wall_s_left()) is None else min(_SUMMARY_S, limit)
        try:
            async with asyncio.timeout(left_s):
                reply = await self._deps.connection.ask(request)
        except TimeoutError:
            return SummedUp(step=state.step, text="", why_not=f"no reply came in {left_s:.0f} s", elapsed_s=left_s)
        except EndpointError as error:
            return SummedUp(step=state.step, text="", why_not=str(error))
        reply = redacted_reply(unescape_control_tokens(reply), self._deps.context.redacted)
        text = split_thoughts(reply.content).rest.strip()
        if text and reply.finish_reason == "length":
            text += " ... (cut off here)"
        return SummedUp(
            step=state.step,
            text=text,
            why_not="" if text else "the reply holds no text",
            usage=reply.usage,
            elapsed_s=round(self._deps.clock() - began, 4),
        )

    def _fitting_summary(self, prompt_tokens: int) -> tuple[int, int] | None:
        """Return with how many messages a summary is asked for, and its room in tokens. None if there is none."""
        state, history = self._state, self._state.history
        effort, allowed = state.effort, output_left(state.budget.limits, state.spent)
        wanted = _SUMMARY_TOKENS if effort in {None, "none"} else _SUMMARY_TOKENS + _SUMMARY_THOUGHT_TOKENS
        wanted = wanted if allowed is None else min(wanted, allowed)
        window, turns = state.started.window_tokens, history.turns()
        last = turns[-1][0] if turns else len(history.messages)
        if window is None:
            return last, wanted
        # The last prompt, which got a reply, has room for about that; results of any length have come since.
        for end, taken in ((len(history.messages), prompt_tokens), (last, state.size.counted_tokens)):
            room = min(wanted, window - taken - _SUM_UP_TOKENS)
            if taken and room >= min(wanted, _LEAST_SUMMARY_TOKENS):
                return end, room
        return None

    async def _ask_with_retries(self, order: Order, step: int) -> Reply:
        loop = asyncio.get_running_loop()

        async def wait(seconds: float) -> None:
            deadline.reschedule(None)  # a server that is away or full is waited for beyond the limit of the run's time
            await self._deps.clock.wait(seconds)
            left_s = self._wall_s_left()
            deadline.reschedule(None if left_s is None else loop.time() + left_s)

        def record_retry(call: RetryCallState) -> None:
            if not is_journaled(call.attempt_number):
                return
            error = call.outcome.exception() if call.outcome is not None else None
            wait_s = round(call.upcoming_sleep, 3)
            self._deps.record(Retried(step=step, attempt=call.attempt_number, wait_s=wait_s, reason=str(error)))

        async with asyncio.timeout(self._wall_s_left()) as deadline:
            policy = retrying(
                patience_s=self._deps.patience_s,
                first_wait_s=self._deps.first_wait_s,
                clock=loop.time,
                sleep=wait,
                before_sleep=record_retry,
            )
            return await policy(self._sender.send, order)

    def _wall_s_left(self) -> float | None:
        """Return the seconds that the limits leave. None means any number."""
        limit = self._state.budget.limits.wall_s
        return None if limit is None else max(0.0, limit - self._deps.clock())

    def _no_reply(self, error: EndpointError, room: int) -> NoReply:
        found = overflow(error, max_tokens=room)
        if found is not None:
            estimate = self._estimate(LIKELY_BYTES_PER_TOKEN)
            if found.prompt_tokens:
                return self._context_full(found.prompt_tokens, is_counted=True)
            return self._context_full(estimate, is_counted=False, refusal=str(error))
        is_refused = isinstance(error, EndpointRejected) and error.status in {400, 422}
        return NoReply(cause="refused" if is_refused else "error", reason=str(error))

    def _context_full(self, prompt_tokens: int, *, is_counted: bool, refusal: str = "") -> NoReply:
        """Return why the conversation is too long; `refusal` is the server's, if it does not count the prompt."""
        window = self._state.started.window_tokens
        about = "" if is_counted else "about "
        of = ", of a window that the server does not report" if window is None else f" of {window:,}"
        said = f": {refusal}" if refusal else ""
        reason = f"{prompts.CONTEXT_FULL} (the prompt has {about}{prompt_tokens:,} tokens{of}){said}"
        return NoReply(cause="context_full", reason=reason, prompt_tokens=prompt_tokens)

    def _estimate(self, bytes_per_token: float) -> int:
        """Return the estimated tokens of the prompt, with fewer bytes per token than were counted so far."""
        size, tools = self._state.size, len(self._deps.toolbox.definitions)
        per_token = size.bytes_per_token(tools, most=bytes_per_token)
        is_counted = size.counted_tokens > 0
        return size.estimate(self._state.history.wire_bytes + (0 if is_counted else tools), bytes_per_token=per_token)

    async def _room(self, rung: Rung) -> _Room | NoReply:
        """Return the room for the next reply; NoReply if the conversation leaves no room for a reply."""
        state = self._state
        window = state.started.window_tokens
        wanted = min(state.reply_tokens, state.profile.surface.reply_tokens or state.reply_tokens)
        allowed = output_left(state.budget.limits, state.spent)
        high = self._estimate(SAFE_BYTES_PER_TOKEN)
        if window is None or high + wanted <= window:
            room = reply_room(prompt_tokens=high, window_tokens=window, wanted=wanted, allowed=allowed)
            return _Room(max_tokens=room, prompt_tokens=high, source="estimate")
        is_new = state.profile.trained_texts or len(state.history.messages) <= 2
        least = min_reply_tokens(window, is_new=is_new)
        # Count exactly only near the window: it costs a request, and the server tokenizes the whole prompt.
        counted = await self._count(rung) if self._can_count else None
        likely = self._estimate(LIKELY_BYTES_PER_TOKEN) if counted is None else counted
        if window - likely < least:
            return self._context_full(likely, is_counted=counted is not None)
        room = reply_room(prompt_tokens=likely, window_tokens=window, wanted=wanted, allowed=allowed)
        if counted is None:
            return _Room(max_tokens=room, prompt_tokens=high, source="estimate")
        return _Room(max_tokens=room, prompt_tokens=counted, source="engine")

    async def _count(self, rung: Rung) -> int | None:
        """Return the exact number of prompt tokens. None if the server did not count them."""
        try:
            counted = await self._deps.connection.count(self._sender.request(Order(rung=rung, max_tokens=1)))
        except EndpointError:
            return None  # the chat request will meet the same failure, and is retried
        if counted is None:
            self._can_count = False
            return None
        return len(counted.tokens)
