"""Send a request of a run; where the server refuses or ignores a part, change it, say so once and remember it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ..errors import EndpointError, EndpointRejected, EndpointUnreadable
from ..journal.events import Adapted, Noticed
from ..messages import RawCall, Reply, UserMessage
from ..model.memory import memory_of
from ..model.profiles import NO_SAMPLING, Surface
from ..model.refusals import Overflow, may_be_a_field, names_images, overflow, refused_field
from ..model.wire import Request, ToolChoice, with_system_in_user_message
from ..parsing.reply import Answer, read
from ..parsing.thoughts import split_thoughts
from ..policy.ladder import Rung
from .adaptation import OPTIONAL_FIELDS, Change, change_for, next_schema_field, notice_of
from .dependencies import RunDependencies
from .grammar_fallback import GrammarFallback
from .state import RunState
from .window import MIN_REPLY_TOKENS, min_reply_tokens

_HELLO = json.dumps({"role": "user", "content": "Hello"}).encode()
_MAY_BE_IMAGES = frozenset({400, 415, 422, 500, 501})


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to ask for, whatever form the server accepts it in."""

    rung: Rung
    max_tokens: int
    force_tool: str | None = None
    """Tool that must be called. None means none, or in a re-ask any."""
    reask: bool = False
    unnamed_because: EndpointRejected | None = None
    """The refusal for which the forced tool is not named, until the other form has worked. None means there is none."""
    is_halved: bool = False
    """True if `max_tokens` was halved without a number from the server, and is remembered once it has worked."""


class Sender:
    """Sends the requests of one run in the form that its server accepts."""

    def __init__(self, state: RunState, deps: RunDependencies) -> None:
        self._state = state
        self._deps = deps
        self._grammars = GrammarFallback(state, deps)
        self._memory = memory_of(deps.connection)
        self._server = f"{state.started.base_url} {state.started.model}"
        self._images_tested = False

    @property
    def can_force(self) -> bool:
        """Whether the server may accept a request that forces a tool."""
        return (self._surface.named and self._surface.tool_choice) or self._surface.schema_field is not None

    def recall(self) -> None:
        """Apply what other runs with this endpoint have found out about the server."""
        self._grammars.recall()
        for note in self._memory.notes:
            if note not in self._state.notices:
                self._deps.record(Noticed(text=note))
        known = self._memory.surface(self._server)
        change = {field: value for field, value in known.items() if getattr(self._surface, field) != value}
        window = self._memory.window_tokens(self._server)
        if change or self._is_news(window):
            self._record(change, window if self._is_news(window) else None, "an earlier request was refused.")

    async def send(self, order: Order) -> Reply:
        """Send a request, and send it again in another form while the server refuses or ignores a part of it.

        Raises:
            EndpointError: The server refused it for another reason, or did not answer.
        """
        while True:
            request = self.request(order)
            try:
                reply = await self._grammars.ask(
                    replace(request, watch=self._deps.watch, follows_failure=self._state.last_failure)
                )
            except (EndpointRejected, EndpointUnreadable) as error:
                changed = await self._remedy(error, request, order)
                if changed is None:
                    raise
                order = changed
                continue
            if order.unnamed_because is not None:
                self._adapt({"named": False}, f"the server refused one: {order.unnamed_because.reason}")
                order = replace(order, unnamed_because=None)
            if order.is_halved:
                self._adapt({"reply_tokens": request.max_tokens}, "the server refused more.")
            if not self._ignored(reply, request, order):
                return _as_call(reply, order.force_tool) if request.json_schema is not None else reply

    def request(self, order: Order, *, end: int | None = None, then: Sequence[bytes] = ()) -> Request:
        """Return the request in the form that the server is known to accept.

        Args:
            order: what to ask for.
            end: how many messages of the conversation to send. None means all.
            then: messages to send after them, as JSON.
        """
        surface = self._surface
        history = self._state.history
        messages = history.wire if surface.images else history.wire_without_images()
        return self._form(order, surface, [*messages[:end], *then])

    def _form(self, order: Order, surface: Surface, messages: Sequence[bytes]) -> Request:
        state = self._state
        profile = state.profile
        sampling = profile.sampling.get(order.rung.effort) or profile.sampling[None]
        settings = state.started.model_settings
        choice: ToolChoice = "required" if order.reask and order.force_tool is None else "auto"
        limit = surface.reply_tokens
        request = Request(
            model=state.started.model,
            messages=messages if surface.system else with_system_in_user_message(messages),
            tools=self._grammars.definitions(strict=surface.strict),
            max_tokens=order.max_tokens if limit is None else min(order.max_tokens, limit),
            reply_field=surface.reply_field,
            stream=surface.stream,
            stream_usage=surface.stream_usage,
            effort=order.rung.effort if profile.takes_effort and surface.effort else None,
            sampling=settings.over(sampling) if surface.sampling else NO_SAMPLING,
            seed=settings.seed,
            extra_body=settings.extra_body,
            tool_choice=choice if surface.tool_choice else None,
        )
        if order.force_tool is None:
            return request
        if surface.named and surface.tool_choice and order.unnamed_because is None:
            return replace(request, force_tool=order.force_tool)
        if surface.schema_field is None:
            return request
        # vLLM's mistral parser enforces `structured_outputs.json` at both efforts, since it builds its own grammar for
        # it (0.32.0, tests/engine/test_runs.py); at effort none it does not enforce `choice` and `regex`.
        schema = json.dumps(self._deps.toolbox.sent_parameters(order.force_tool)).encode()
        unused = "none" if surface.tool_choice else None
        return replace(request, tool_choice=unused, json_schema=schema, schema_field=surface.schema_field)

    @property
    def _surface(self) -> Surface:
        return self._state.profile.surface

    # What is changed.

    def _adapt(self, change: Change, why: str, window_tokens: int | None = None) -> None:
        self._memory.learn(self._server, change, window_tokens)
        self._record(change, window_tokens, why)

    def _record(self, change: Change, window_tokens: int | None, why: str) -> None:
        notice = notice_of(change, window_tokens, why)
        self._deps.record(Adapted(step=self._state.step, surface=change, window_tokens=window_tokens, notice=notice))

    async def _remedy(self, error: EndpointError, request: Request, order: Order) -> Order | None:
        """Return what to send instead of a refused request. None means that nothing can be changed."""
        too_long = overflow(error, max_tokens=request.max_tokens)
        if too_long is not None:
            return self._shortened(too_long, error, request, order)
        if await self._are_images_refused(error):
            self._adapt({"images": False}, f"the server refused one: {_reason(error)}")
            return order
        field = refused_field(error)
        change = None if field is None else change_for(field, request, self._surface)
        if change is None and request.force_tool is not None and _is_about_the_request(error):
            if self._surface.schema_field is None:
                return None
            return replace(order, unnamed_because=cast("EndpointRejected", error))
        if change is None and order.unnamed_because is None and may_be_a_field(error):
            change = await self._unnamed_field(order)
        if change is None:
            return None
        did = "sent none of the reply in a stream" if isinstance(error, EndpointUnreadable) else "refused it"
        self._adapt(change, f"the server {did}: {_reason(error)}")
        return order

    def _shortened(self, found: Overflow, error: EndpointError, request: Request, order: Order) -> Order | None:
        if found.reply_tokens is not None and found.reply_tokens < request.max_tokens:
            self._adapt({"reply_tokens": found.reply_tokens}, f"the server refused more: {_reason(error)}")
            return order
        if self._is_news(found.window_tokens):
            self._adapt({}, f"the server refused a longer request: {_reason(error)}", found.window_tokens)
        window = self._state.started.window_tokens
        if found.prompt_tokens is not None and window is not None:
            room = window - found.prompt_tokens
            is_useful = room >= min_reply_tokens(window, is_new=len(self._state.history.messages) <= 2)
            return replace(order, max_tokens=room) if is_useful and room < request.max_tokens else None
        if found.names_reply and request.max_tokens > MIN_REPLY_TOKENS:
            return replace(order, max_tokens=max(MIN_REPLY_TOKENS, request.max_tokens // 2), is_halved=True)
        return None

    def _is_news(self, window_tokens: int | None) -> bool:
        known = self._state.started.window_tokens
        return window_tokens is not None and (known is None or window_tokens < known)

    async def _are_images_refused(self, error: EndpointError) -> bool:
        """Return whether the images are why a request was refused; those of the task itself cannot be left out."""
        shown = [
            wire
            for message, wire in zip(self._state.history.messages, self._state.history.wire, strict=True)
            if isinstance(message, UserMessage) and message.images
        ]
        if not shown or not self._surface.images or not isinstance(error, EndpointRejected):
            return False
        if not names_images(error):
            if self._images_tested or error.status not in _MAY_BE_IMAGES:
                return False
            self._images_tested = True
            if not await self._is_refused([shown[-1]]) or await self._is_refused([_HELLO]):
                return False
        if self._state.started.prompt.images:
            advice = "Use a model with vision, or leave the images out of the prompt."
            raise EndpointRejected(error.reason, url=error.url, status=error.status, advice=advice, is_final=True)
        return True

    async def _unnamed_field(self, order: Order) -> Change | None:
        """Find the optional field that the server refuses, in requests of one word. None if it is not a field."""
        plain = replace(order, force_tool=None, reask=False, max_tokens=1)
        if not await self._is_refused([_HELLO]):
            return None
        request = self._form(plain, self._surface, [_HELLO])
        found = [change_for(field, request, self._surface) for field in OPTIONAL_FIELDS]
        changes = [change for change in found if change is not None]
        together = {field: value for change in changes for field, value in change.items()}
        for change in [*changes, together]:
            if not await self._is_refused([_HELLO], change):
                return change
        return None

    async def _is_refused(self, messages: Sequence[bytes], change: Change | None = None) -> bool:
        surface = replace(self._surface, **cast("dict[str, Any]", change or {}))
        order = Order(rung=self._state.rung, max_tokens=1)
        try:
            await self._deps.connection.ask(self._form(order, surface, messages))
        except EndpointRejected as error:
            return error.status in _MAY_BE_IMAGES
        return False

    def _ignored(self, reply: Reply, request: Request, order: Order) -> bool:
        """Return whether the server ignored that a tool must be called; then the next way is tried."""
        if order.force_tool is None or reply.finish_reason == "length":
            return False
        if request.json_schema is not None:
            if _is_object(split_thoughts(reply.content).rest):
                return False
            self._adapt(next_schema_field(self._surface), f"the server ignores `{request.schema_field}`.")
            return True
        if request.force_tool is None:
            return False
        window = self._state.started.window_tokens
        reading = read(reply, self._deps.toolbox, max_tokens=request.max_tokens, window_tokens=window)
        if not isinstance(reading, Answer):
            return False
        self._adapt({"named": False}, "the server ignores one: the reply was a text.")
        return True


def _reason(error: EndpointError) -> str:
    text = error.reason if isinstance(error, EndpointRejected | EndpointUnreadable) else str(error)
    return text if text.endswith((".", "!")) else f"{text}."


def _is_about_the_request(error: EndpointError) -> bool:
    return isinstance(error, EndpointRejected) and error.status in {400, 422}


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _as_call(reply: Reply, tool: str | None) -> Reply:
    """Return a reply whose text is constrained to a tool's schema as a call of the tool."""
    assert tool is not None, "only a forced tool constrains the text"
    arguments = split_thoughts(reply.content).rest
    return replace(reply, content="", tool_calls=(RawCall(name=tool, arguments=arguments),))
