"""Interpret a reply: accept it as a turn, re-ask for its single invalid call, or reject it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never, cast

from ..journal.events import Event, Noticed, Rejected, Repaired, Replied, Rescued, TurnTaken
from ..journal.turn_events import Fault, HandInHeld
from ..messages import AssistantMessage, RawCall, ReasoningField, Reply, ToolResult, ToolStatus
from ..model.history import call_id
from ..parsing.feedback import feedback
from ..parsing.reply import Answer, AnswerInReasoning, Batch, EmptyReply, Truncated, read
from ..parsing.thoughts import split_thoughts
from ..parsing.validation import CheckedCall, InvalidCall, canonical, check
from ..policy import escalation
from ..policy.ladder import Trigger
from ..tooling.final_result import FINAL_TOOL
from ..tooling.toolbox import Toolbox
from . import prompts
from .state import RunState

_RAW_CHARS = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Accept:
    """The reply is accepted as a turn."""

    events: tuple[Event, ...]
    turn_taken: TurnTaken


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleInvalidCall:
    """The reply is one invalid call, which a constrained re-ask may correct."""

    invalid: InvalidCall
    fallback: Accept
    """The invalid call with feedback, used if no re-ask is made or its reply is not valid either."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """Nothing in the reply can be used."""

    rejected: Rejected


Interpretation = Accept | SingleInvalidCall | Reject


def interpret(state: RunState, replied: Replied, toolbox: Toolbox) -> Interpretation:
    """Return the interpretation of a reply in the current state of the run."""
    reading = read(replied.reply, toolbox, max_tokens=replied.max_tokens, window_tokens=state.started.window_tokens)
    thoughts = split_thoughts(replied.reply.content).thoughts
    if thoughts:
        reasoning = "\n\n".join(part for part in (replied.reply.reasoning.strip(), thoughts) if part)
        replied = replace(replied, reply=replace(replied.reply, reasoning=reasoning))
    match reading:
        case Batch():
            return _batch(state, replied, reading, toolbox)
        case Answer():
            return _text(state, replied, reading.text, *_thoughts_notice(thoughts))
        case AnswerInReasoning():
            if state.answers_in_reasoning and not reading.is_marked:
                # This is the second time in a row: the server puts answers there (SGLang PR 26716), so accept it.
                return _answer(replied, reading.text, Noticed(text=prompts.ANSWER_TAKEN_FROM_REASONING))
            reason = "the reply held only reasoning and no answer"
            return _reject(replied, "answer_in_reasoning", reason, prompts.ANSWER_IN_REASONING)
        case EmptyReply():
            return _reject(replied, "empty_reply", "the reply was empty", prompts.EMPTY_REPLY)
        case Truncated():
            return _truncated(state, replied, reading)
        case _:
            assert_never(reading)


def held_back(state: RunState, accept: Accept, toolbox: Toolbox) -> HandInHeld | None:
    """Return the event that drops a reply which would hand the work in, if it is to be asked at another effort."""
    turn = accept.turn_taken.turn
    results = [call for call in turn.tool_calls if call.name == FINAL_TOOL]
    hands_in = results if FINAL_TOOL in toolbox.names else not turn.tool_calls
    if not hands_in or accept.turn_taken.faults:
        return None
    decision = escalation.handing_in(state.started.ladder, state.position)
    return HandInHeld(step=state.step) if isinstance(decision.action, escalation.Move) else None


def _text(state: RunState, replied: Replied, text: str, *events: Event) -> Accept | Reject:
    if state.forced_tool is None:
        return _answer(replied, text, *events)
    reason = f"the reply is a text, although it had to be a call of {state.forced_tool}"
    return _reject(replied, "invalid_call", reason, prompts.CALL_WAS_FORCED.format(tool=state.forced_tool))


def _answer(replied: Replied, text: str, *events: Event) -> Accept:
    reasoning = "" if text == replied.reply.reasoning.strip() else replied.reply.reasoning
    return Accept(events=events, turn_taken=_turn_taken(replied, AssistantMessage(content=text, reasoning=reasoning)))


def _thoughts_notice(thoughts: str) -> list[Event]:
    return [Noticed(text=prompts.THOUGHTS_IN_CONTENT)] if thoughts else []


def _truncated(state: RunState, replied: Replied, reading: Truncated) -> Reject:
    where = "while reasoning" if reading.in_reasoning else "in a call" if reading.in_call else "in the text"
    most = state.started.model_settings.max_tokens
    may_grow = state.reply_growths < state.profile.growths and (most is None or replied.max_tokens < most)
    may_grow = may_grow and replied.max_tokens >= state.reply_tokens
    text = prompts.CUT_OFF_WHILE_REASONING if reading.in_reasoning else prompts.CUT_OFF
    return _reject(
        replied,
        "truncated",
        f"the reply was cut off {where} after {replied.max_tokens} tokens",
        # While `max_tokens` can grow, repeat the request without feedback.
        "" if may_grow else text.format(max_tokens=replied.max_tokens),
        grow=may_grow,
    )


def _reject(replied: Replied, trigger: Trigger, reason: str, feedback_text: str, *, grow: bool = False) -> Reject:
    return Reject(
        rejected=Rejected(
            step=replied.step,
            trigger=trigger,
            tool="",
            reason=reason,
            raw=_raw_reply(replied.reply),
            grow=grow,
            say=feedback_text,
        )
    )


def _batch(state: RunState, replied: Replied, batch: Batch, toolbox: Toolbox) -> Interpretation:
    first = state.history.next_call
    numbered = [
        (raw, check(raw, toolbox, call_id=call_id(number))) for number, raw in enumerate(batch.calls, start=first)
    ]
    events = _thoughts_notice(split_thoughts(replied.reply.content).thoughts)
    if batch.rescue is not None:
        events.append(Rescued(step=replied.step, where=batch.rescue.where, format=batch.rescue.format))
        events.append(Noticed(text=prompts.CALL_WAS_RESCUED.format(where=batch.rescue.where)))
    events += [
        Repaired(step=replied.step, tool=checked.call.name, repairs=checked.call.repairs, raw=_truncate(raw.arguments))
        for raw, checked in numbered
        if isinstance(checked, CheckedCall) and checked.call.repairs
    ]
    checked = [item for _, item in numbered]
    accept = _accept(state, replied, batch, checked, toolbox, events)
    if len(checked) == 1 and isinstance(checked[0], InvalidCall):
        return SingleInvalidCall(invalid=checked[0], fallback=accept)
    return accept


def _accept(
    state: RunState,
    replied: Replied,
    batch: Batch,
    checked: Sequence[CheckedCall | InvalidCall],
    toolbox: Toolbox,
    events: Sequence[Event],
) -> Accept:
    answered: list[ToolResult] = []
    faults: list[Fault] = []
    rejected: list[Event] = []
    seen: set[tuple[str, str]] = set()
    sent: set[tuple[str, str, str]] = set()
    for raw, item in zip(batch.calls, checked, strict=True):
        if isinstance(item, InvalidCall):
            fault = Fault(trigger=item.trigger, signature=_signature(item.raw))
            repeated = fault.signature == state.last_invalid
            text = feedback(item, attempt=state.failures + 1, same_as_before=repeated, toolbox=toolbox)
            answered.append(_result(item, text, "invalid"))
            faults.append(fault)
            rejected.append(_rejected_call(replied, item))
            continue
        key = (item.call.name, canonical(item.call.arguments))
        # An equal call of a tool that may write has an effect of its own, unless the server sent one call twice.
        if key in seen or (raw.id and (raw.id, *key) in sent):
            answered.append(_result(item, prompts.DUPLICATE_CALL, "duplicate"))
            continue
        sent.add((raw.id, *key))
        # What may write may change what an equal call returns.
        seen = {*seen, key} if item.tool.read_only else set()
    turn = AssistantMessage(
        content=batch.content,
        # A call rescued from the reasoning was moved out of it; the reasoning would repeat it.
        reasoning="" if batch.rescue is not None and batch.rescue.where == "reasoning" else replied.reply.reasoning,
        tool_calls=tuple(item.call for item in checked),
    )
    turn_taken = _turn_taken(replied, turn, answered=tuple(answered), faults=tuple(faults))
    return Accept(events=(*events, *rejected), turn_taken=turn_taken)


def _turn_taken(
    replied: Replied,
    turn: AssistantMessage,
    *,
    answered: tuple[ToolResult, ...] = (),
    faults: tuple[Fault, ...] = (),
) -> TurnTaken:
    field = cast("ReasoningField", replied.reply.extra.get("reasoning_field", "reasoning"))
    turn = replace(turn, reasoning_field=field)
    return TurnTaken(step=replied.step, turn=turn, answered=answered, faults=faults)


def _result(item: CheckedCall | InvalidCall, content: str, status: ToolStatus) -> ToolResult:
    return ToolResult(tool_call_id=item.call.id, name=item.call.name, content=content, status=status)


def _rejected_call(replied: Replied, invalid: InvalidCall) -> Rejected:
    return Rejected(
        step=replied.step,
        trigger=invalid.trigger,
        tool=invalid.raw.name or "(no name)",
        reason=invalid.reason,
        raw=_truncate(invalid.raw.arguments),
    )


def _signature(raw: RawCall) -> str:
    return f"{raw.name} {raw.arguments}"


def _raw_reply(reply: Reply) -> str:
    calls = " ".join(f"{call.name} {call.arguments}" for call in reply.tool_calls)
    return _truncate(" ".join(part for part in (reply.reasoning, reply.content, calls) if part.strip()))


def _truncate(text: str) -> str:
    return text if len(text) <= _RAW_CHARS else f"{text[:_RAW_CHARS]}..."
