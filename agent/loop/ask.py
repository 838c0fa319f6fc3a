"""Send the history once: fit the reply into window and budget, retry what is worth it, fall back when refused."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, replace
from typing import Literal

from tenacity import RetryCallState

from ..errors import EndpointError, EndpointRejected
from ..journal.events import Replied, Requested, Retried
from ..messages import RawCall, Reply
from ..model.control_tokens import unescape_control_tokens
from ..model.retry import retrying
from ..model.wire import Request
from ..policy.budget import output_left
from ..policy.ladder import Rung
from .dependencies import RunDependencies
from .state import RunState
from .window import LIKELY_BYTES_PER_TOKEN, MIN_REPLY_TOKENS, reply_room


@dataclass(frozen=True, kw_only=True, slots=True)
class NoReply:
    """Why there is none."""

    cause: Literal["context_full", "wall_s", "refused", "error"]
    """`refused`: the server does not take this kind of request, and will not when asked again."""
    reason: str


class Asker:
    """Sends the requests of one run."""

    def __init__(self, state: RunState, deps: RunDependencies) -> None:
        self._state = state
        self._deps = deps
        self._can_count = state.profile.surface.counts_tokens
        """False once the server has shown that it has no /tokenize."""
        self._can_name = state.profile.surface.named
        """False once the server has refused to be told a tool by its name, and took the tool's schema instead."""
        self._sees = True
        """False once the server has refused a picture that a tool returned."""

    async def ask(self, rung: Rung, *, force_tool: str | None, reask: bool) -> Replied | NoReply:
        """Send the history on a rung.

        Args:
            rung: how to ask.
            force_tool: the tool that must be called. None: the model is free, or, in a re-ask, must call some tool.
            reask: the last request again, constrained.

        Never raises for what the server does.
        """
        if force_tool is not None and not self._can_force and not reask:
            force_tool = None  # the model was asked for it in words as well
        if reask and not (self._state.profile.surface.required if force_tool is None else self._can_force):
            return NoReply(cause="refused", reason="a probe of it found that it takes none")
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
            reply = await self._patiently(request, step)
        except TimeoutError:
            limit = self._state.limits.wall_s
            return NoReply(cause="wall_s", reason=f"the limit wall_s = {limit:g} ran out during a request")
        except EndpointError as error:
            advice = ". Ask a model that sees, or take the pictures out of the task"
            return NoReply(cause=_cause(error), reason=f"{error}{advice if _is_about_pictures(error) else ''}")
        replied = Replied(
            step=step,
            rung=self._state.position.rung,
            reply=unescape_control_tokens(reply),
            max_tokens=room,
            wire_bytes=self._state.history.wire_bytes,
            elapsed_s=round(self._deps.clock() - began, 4),
            reask=reask,
        )
        self._deps.record(replied)
        return replied

    async def _patiently(self, request: Request, step: int) -> Reply:
        limit = self._state.limits.wall_s
        left_s = None if limit is None else max(0.0, limit - self._deps.clock())
        patience_s = self._deps.patience_s if left_s is None else min(self._deps.patience_s, left_s)

        def tell(call: RetryCallState) -> None:
            error = call.outcome.exception() if call.outcome is not None else None
            wait_s = round(call.upcoming_sleep, 3)
            self._deps.record(Retried(step=step, attempt=call.attempt_number, wait_s=wait_s, reason=str(error)))

        async with asyncio.timeout(left_s):
            policy = retrying(
                patience_s=patience_s,
                first_wait_s=self._deps.first_wait_s,
                sleep=self._deps.sleep,
                before_sleep=tell,
            )
            return await policy(self._seen, request)

    @property
    def _can_force(self) -> bool:
        return self._can_name or self._state.profile.surface.schema_field is not None

    async def _seen(self, request: Request) -> Reply:
        if self._sees:
            try:
                return await self._once(request)
            except EndpointRejected as error:
                # What the task itself shows, it needs.
                if not _is_about_pictures(error) or self._state.started.prompt.images:
                    raise
            self._sees = False
        return await self._once(replace(request, messages=self._state.history.wire_without_pictures()))

    async def _once(self, request: Request) -> Reply:
        field = self._state.profile.surface.schema_field
        if request.force_tool is None or field is None:
            return await self._deps.connection.ask(request)
        if self._can_name:
            try:
                return await self._deps.connection.ask(request)
            except EndpointRejected as error:
                if error.status != 400 or _is_context_error(error):
                    raise
        # This server refuses a named tool_choice: hold its text to the tool's schema instead, and read it as the call.
        # vLLM's mistral parser does hold `structured_outputs.json` at either effort, since it builds a grammar of its
        # own for it (0.32.0, tests/engine_runs.py); of `choice` and `regex` it does not at effort none.
        tool = self._deps.toolbox.get(request.force_tool)
        assert tool is not None, "only tools of the toolbox are forced"
        schema = json.dumps(tool.parameters).encode()
        held = replace(request, force_tool=None, tool_choice="none", json_schema=schema, schema_field=field)
        reply = await self._deps.connection.ask(held)
        self._can_name = False
        return replace(reply, content="", tool_calls=(RawCall(name=tool.name, arguments=reply.content),))

    def _request(self, rung: Rung, room: int, *, force_tool: str | None, reask: bool) -> Request:
        state = self._state
        profile = state.profile
        toolbox = self._deps.toolbox
        return Request(
            model=state.started.model,
            messages=state.history.wire,
            tools=toolbox.definitions if profile.surface.strict else toolbox.loose_definitions,
            max_tokens=room,
            effort=rung.effort if profile.takes_effort else None,
            sampling=profile.sampling.get(rung.effort) or profile.sampling[None],
            tool_choice="required" if reask and force_tool is None else "auto",
            force_tool=force_tool,
        )

    def _estimate(self, **how: float) -> int:
        state = self._state
        tools = 0 if state.size.counted_tokens else len(self._deps.toolbox.definitions)
        return state.size.estimate(state.history.wire_bytes + tools, **how)

    async def _room(self, rung: Rung) -> int | None:
        """Return `max_tokens` for the next request; None: the conversation leaves no room for a reply."""
        state = self._state
        window = state.started.window_tokens
        wanted = state.reply_tokens
        allowed = output_left(state.limits, state.spent)
        prompt_tokens = self._estimate()
        if window is not None and prompt_tokens + wanted > window:
            # Only near the window is the exact number worth a request: it costs the server a pass over everything.
            counted = await self._count(rung) if self._can_count else None
            prompt_tokens = self._estimate(bytes_per_token=LIKELY_BYTES_PER_TOKEN) if counted is None else counted
        room = reply_room(prompt_tokens=prompt_tokens, window_tokens=window, wanted=wanted, allowed=allowed)
        left = window is None or window - prompt_tokens >= min(MIN_REPLY_TOKENS, window // 4)
        return room if left else None

    async def _count(self, rung: Rung) -> int | None:
        """Return the exact size of the prompt; None: nobody knows."""
        try:
            counted = await self._deps.connection.count(self._request(rung, 1, force_tool=None, reask=False))
        except EndpointError:
            return None  # the request itself will meet the same trouble, and has the patience for it
        if counted is None:
            self._can_count = False
            return None
        return len(counted.tokens)


def _cause(error: EndpointError) -> Literal["context_full", "refused", "error"]:
    if _is_context_error(error):
        return "context_full"
    return "refused" if isinstance(error, EndpointRejected) and error.status in {400, 422} else "error"


def _is_about_pictures(error: EndpointError) -> bool:
    # vLLM 0.32: "NAME is not a multimodal model", or started with a limit: "At most 0 image(s) may be provided".
    if not isinstance(error, EndpointRejected) or error.status != 400:
        return False
    return re.search(r"not a multimodal model|At most 0 image", error.reason) is not None


def _is_context_error(error: EndpointError) -> bool:
    # vLLM: "This model's maximum context length is N tokens. However, ..." and "max_tokens=... cannot be greater than
    # max_model_len"; SGLang: "... exceeds the model's maximum context length" (vLLM 0.32, SGLang 0.5.23).
    if not isinstance(error, EndpointRejected) or error.status != 400:
        return False
    return re.search(r"context length|max_model_len", error.reason) is not None
