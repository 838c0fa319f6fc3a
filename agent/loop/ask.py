"""Send the history to the model: fit `max_tokens` into window and budget, retry, fall back where a server refuses."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, replace
from typing import Literal

from tenacity import RetryCallState

from ..errors import EndpointError, EndpointRejected
from ..journal.events import EffortSwitched, Replied, Requested, Retried
from ..messages import RawCall, Reply
from ..model.control_tokens import unescape_control_tokens
from ..model.retry import is_journaled, retrying
from ..model.wire import Request
from ..policy.budget import output_left
from ..policy.ladder import Rung
from ..tooling.redaction import redacted_reply
from .dependencies import RunDependencies
from .grammar_fallback import GrammarFallback
from .state import RunState
from .window import LIKELY_BYTES_PER_TOKEN, min_reply_tokens, reply_room


@dataclass(frozen=True, kw_only=True, slots=True)
class NoReply:
    """Why a request got no reply."""

    cause: Literal["context_full", "wall_s", "refused", "error"]
    """`refused` means the server does not accept this kind of request, and a retry would not help."""
    reason: str


class Asker:
    """Sends the requests of one run, and remembers what the server does not support."""

    def __init__(self, state: RunState, deps: RunDependencies) -> None:
        self._state = state
        self._deps = deps
        self._server = GrammarFallback(state, deps)
        self._can_count = state.profile.surface.counts_tokens
        """False once the server has turned out to have no /tokenize."""
        self._accepts_named_tool = state.profile.surface.named
        """False once the server refused a named tool_choice but accepted the tool's schema instead."""
        self._accepts_images = True
        """False once the server refused an image that a tool returned."""

    async def ask(self, rung: Rung, *, force_tool: str | None, reask: bool) -> Replied | NoReply:
        """Send the history with the settings of a rung. Failures of the server are returned, not raised.

        Args:
            rung: The current rung.
            force_tool: Tool that must be called. None means no tool is forced, or in a re-ask that any must be called.
            reask: Whether this repeats the last request with a constraint.
        """
        if force_tool is not None and not self._can_force and not reask:
            force_tool = None  # a message asks for the call anyway
        if reask and not (self._state.profile.surface.required if force_tool is None else self._can_force):
            return NoReply(cause="refused", reason="the probe found no supported way")
        self._server.recall()
        room = await self._room(rung)
        if room is None:
            return NoReply(cause="context_full", reason="the conversation leaves no room for a reply")
        request = self._request(rung, room, force_tool=force_tool, reask=reask)
        step = self._state.step + 1
        began = self._deps.clock()
        self._deps.record(
            Requested(
                step=step,
                rung=self._state.position.rung,
                effort=rung.effort,
                constrained=force_tool if force_tool is not None else "" if reask else None,
                max_tokens=room,
                prompt_tokens=self._estimate(),
                wall_s=round(began, 3),
                reask=reask,
            )
        )
        try:
            reply = await self._ask_with_retries(request, step)
        except TimeoutError:
            limit = self._state.limits.wall_s
            return NoReply(cause="wall_s", reason=f"the limit wall_s = {limit:g} was reached during a request")
        except EndpointError as error:
            advice = ". Use a model with vision, or remove the images from the task"
            return NoReply(cause=_cause(error), reason=f"{error}{advice if _is_image_error(error) else ''}")
        replied = Replied(
            step=step,
            rung=self._state.position.rung,
            reply=redacted_reply(unescape_control_tokens(reply), self._deps.context.redacted),
            max_tokens=room,
            wire_bytes=self._state.history.wire_bytes,
            elapsed_s=round(self._deps.clock() - began, 4),
            reask=reask,
        )
        self._deps.record(replied)
        return replied

    async def _ask_with_retries(self, request: Request, step: int) -> Reply:
        limit = self._state.limits.wall_s
        left_s = None if limit is None else max(0.0, limit - self._deps.clock())
        patience_s = self._deps.patience_s if left_s is None else min(self._deps.patience_s, left_s)

        def record_retry(call: RetryCallState) -> None:
            if not is_journaled(call.attempt_number):
                return
            error = call.outcome.exception() if call.outcome is not None else None
            wait_s = round(call.upcoming_sleep, 3)
            self._deps.record(Retried(step=step, attempt=call.attempt_number, wait_s=wait_s, reason=str(error)))

        async with asyncio.timeout(left_s):
            policy = retrying(
                patience_s=patience_s,
                first_wait_s=self._deps.first_wait_s,
                sleep=self._deps.sleep,
                before_sleep=record_retry,
            )
            return await policy(self._ask_with_image_fallback, request)

    @property
    def _can_force(self) -> bool:
        return self._accepts_named_tool or self._state.profile.surface.schema_field is not None

    async def _ask_with_image_fallback(self, request: Request) -> Reply:
        if self._accepts_images:
            try:
                return await self._ask_with_schema_fallback(request)
            except EndpointRejected as error:
                # Images of the task itself cannot be dropped.
                if not _is_image_error(error) or self._state.started.prompt.images:
                    raise
            self._accepts_images = False
        without_images = replace(request, messages=self._state.history.wire_without_images())
        return await self._ask_with_schema_fallback(without_images)

    async def _ask_with_schema_fallback(self, request: Request) -> Reply:
        field = self._state.profile.surface.schema_field
        if request.force_tool is None or field is None:
            return await self._server.ask(request)
        if self._accepts_named_tool:
            try:
                return await self._server.ask(request)
            except EndpointRejected as error:
                if error.status != 400 or _is_context_error(error):
                    raise
        # The server refuses a named tool_choice: constrain its text to the tool's schema, and read that as the call.
        # vLLM's mistral parser enforces `structured_outputs.json` at both efforts, since it builds its own grammar for
        # it (0.32.0, tests/engine/test_runs.py); at effort none it does not enforce `choice` and `regex`.
        tool = self._deps.toolbox.get(request.force_tool)
        assert tool is not None, "a forced tool is in the toolbox"
        schema = json.dumps(self._deps.toolbox.sent_parameters(tool.name)).encode()
        constrained = replace(request, force_tool=None, tool_choice="none", json_schema=schema, schema_field=field)
        reply = await self._server.ask(constrained)
        self._accepts_named_tool = False
        return replace(reply, content="", tool_calls=(RawCall(name=tool.name, arguments=reply.content),))

    def _request(self, rung: Rung, room: int, *, force_tool: str | None, reask: bool) -> Request:
        state = self._state
        profile = state.profile
        return Request(
            model=state.started.model,
            messages=state.history.wire,
            tools=self._server.definitions(),
            max_tokens=room,
            effort=rung.effort if profile.takes_effort else None,
            sampling=profile.sampling.get(rung.effort) or profile.sampling[None],
            tool_choice="required" if reask and force_tool is None else "auto",
            force_tool=force_tool,
        )

    def _estimate(self, **options: float) -> int:
        state = self._state
        tools = 0 if state.size.counted_tokens else len(self._deps.toolbox.definitions)
        return state.size.estimate(state.history.wire_bytes + tools, **options)

    async def _room(self, rung: Rung) -> int | None:
        """Return `max_tokens` for the next request. None means the conversation leaves no room for a reply."""
        state = self._state
        window = state.started.window_tokens
        wanted = state.reply_tokens
        allowed = output_left(state.limits, state.spent)
        prompt_tokens = self._estimate()
        if window is not None and prompt_tokens + wanted > window:
            # Count exactly only near the window: it costs a request, and the server tokenizes the whole prompt.
            counted = await self._count(rung) if self._can_count else None
            prompt_tokens = self._estimate(bytes_per_token=LIKELY_BYTES_PER_TOKEN) if counted is None else counted
        room = reply_room(prompt_tokens=prompt_tokens, window_tokens=window, wanted=wanted, allowed=allowed)
        if window is None:
            return room
        is_new = state.profile.trained_texts or len(state.history.messages) <= 2
        return room if window - prompt_tokens >= min_reply_tokens(window, is_new=is_new) else None

    async def _count(self, rung: Rung) -> int | None:
        """Return the exact number of prompt tokens. None if the server did not count them."""
        try:
            counted = await self._deps.connection.count(self._request(rung, 1, force_tool=None, reask=False))
        except EndpointError:
            return None  # the chat request will meet the same failure, and is retried
        if counted is None:
            self._can_count = False
            return None
        return len(counted.tokens)


def switch_cost(state: RunState, replied: Replied) -> EffortSwitched:
    """Return what the first request after an effort switch cost."""
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


def _cause(error: EndpointError) -> Literal["context_full", "refused", "error"]:
    if _is_context_error(error):
        return "context_full"
    return "refused" if isinstance(error, EndpointRejected) and error.status in {400, 422} else "error"


def _is_image_error(error: EndpointError) -> bool:
    # vLLM 0.32: "NAME is not a multimodal model"; if started with an image limit: "At most 0 image(s) may be provided".
    if not isinstance(error, EndpointRejected) or error.status != 400:
        return False
    return re.search(r"not a multimodal model|At most 0 image", error.reason) is not None


def _is_context_error(error: EndpointError) -> bool:
    # vLLM: "This model's maximum context length is N tokens. However, ..." and "max_tokens=... cannot be greater than
    # max_model_len"; SGLang: "... exceeds the model's maximum context length" (vLLM 0.32, SGLang 0.5.23).
    if not isinstance(error, EndpointRejected) or error.status != 400:
        return False
    return re.search(r"context length|max_model_len", error.reason) is not None
