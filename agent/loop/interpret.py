"""Turn a reply into what it means for the run: a turn to take, a call to re-ask, or a refusal; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never, cast

from ..journal.events import Event, Fault, Noticed, Rejected, Repaired, Replied, Rescued, TurnTaken
from ..messages import AssistantMessage, RawCall, Reply, ToolResult, ToolStatus
from ..model.history import call_id
from ..model.wire import ReasoningField
from ..parsing.feedback import feedback
from ..parsing.reply import Answer, AnswerInReasoning, Batch, EmptyReply, Truncated, read
from ..parsing.validation import CheckedCall, InvalidCall, canonical, check
from ..policy.ladder import Trigger
from ..tooling.toolbox import Toolbox
from . import prompts
from .state import RunState

_RAW_CHARS = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Accept:
    """The reply enters the history."""

    events: tuple[Event, ...]
    taken: TurnTaken


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleInvalidCall:
    """The reply is one broken call: worth a constrained re-ask; else `otherwise`."""

    invalid: InvalidCall
    otherwise: Accept
    """What to do when no re-ask is made, or when it does not help: answer the call with feedback."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """Nothing of the reply can be used."""

    rejected: Rejected


Interpretation = Accept | SingleInvalidCall | Reject


def interpret(state: RunState, replied: Replied, toolbox: Toolbox) -> Interpretation:
    """Return what a reply means, given all that came before it."""
    reply = replied.reply
    reading = read(reply, toolbox, max_tokens=replied.max_tokens, window_tokens=state.started.window_tokens)
    match reading:
        case Batch():
            return _batch(state, replied, reading, toolbox)
        case Answer():
            return _answer(replied, reading.text)
        case AnswerInReasoning():
            if state.reasoned_answers:
                # Asked once already: this server puts answers there (SGLang pull 26716), so the second one counts.
                return _answer(replied, reading.text, Noticed(text=prompts.ANSWER_WAS_REASONED))
            return _refuse(
                replied, "answer_in_reasoning", "only reasoning came, no answer", prompts.ANSWER_IN_REASONING
            )
        case EmptyReply():
            return _refuse(replied, "empty_reply", "the reply was empty", prompts.EMPTY_REPLY)
        case Truncated():
            return _truncated(state, replied, reading)
        case _:
            assert_never(reading)


def _answer(replied: Replied, text: str, *events: Event) -> Accept:
    reasoning = "" if text == replied.reply.reasoning.strip() else replied.reply.reasoning
    return Accept(events=events, taken=_turn(replied, AssistantMessage(content=text, reasoning=reasoning)))


def _truncated(state: RunState, replied: Replied, reading: Truncated) -> Reject:
    what = "while reasoning" if reading.in_reasoning else "in a call" if reading.in_call else "in the text"
    may_grow = replied.max_tokens >= state.reply_tokens and state.growth < state.profile.growths
    text = prompts.CUT_OFF_WHILE_REASONING if reading.in_reasoning else prompts.CUT_OFF
    return _refuse(
        replied,
        "truncated",
        f"the reply was cut off {what} after {replied.max_tokens} tokens",
        # The same request with more room is enough, as long as there is more.
        "" if may_grow else text.format(max_tokens=replied.max_tokens),
        grow=may_grow,
    )


def _refuse(replied: Replied, trigger: Trigger, reason: str, say: str, *, grow: bool = False) -> Reject:
    return Reject(
        rejected=Rejected(
            step=replied.step,
            trigger=trigger,
            tool="",
            reason=reason,
            raw=_raw_reply(replied.reply),
            grow=grow,
            say=say,
        )
    )


def _batch(state: RunState, replied: Replied, batch: Batch, toolbox: Toolbox) -> Interpretation:
    first = state.history.calls
    numbered = [
        (raw, check(raw, toolbox, call_id=call_id(number))) for number, raw in enumerate(batch.calls, start=first)
    ]
    events: list[Event] = []
    if batch.rescue is not None:
        events.append(Rescued(step=replied.step, where=batch.rescue.where, format=batch.rescue.format))
        events.append(Noticed(text=prompts.CALL_WAS_RESCUED.format(where=batch.rescue.where)))
    events += [
        Repaired(step=replied.step, tool=checked.call.name, repairs=checked.call.repairs, raw=_cut(raw.arguments))
        for raw, checked in numbered
        if isinstance(checked, CheckedCall) and checked.call.repairs
    ]
    checked = [item for _, item in numbered]
    take = _take(state, replied, batch, checked, toolbox, events)
    if len(checked) == 1 and isinstance(checked[0], InvalidCall):
        return SingleInvalidCall(invalid=checked[0], otherwise=take)
    return take


def _take(
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
    twins: set[tuple[str, str]] = set()
    for item in checked:
        if isinstance(item, InvalidCall):
            fault = Fault(trigger=item.trigger, signature=_signature(item.raw))
            same = fault.signature == state.last_invalid
            text = feedback(item, attempt=state.failures + 1, same_as_before=same, toolbox=toolbox)
            answered.append(_result(item, text, "invalid"))
            faults.append(fault)
            rejected.append(_rejected(replied, item))
        elif (key := (item.call.name, canonical(item.call.arguments))) in twins:
            answered.append(_result(item, prompts.TWIN, "duplicate"))
        else:
            twins.add(key)
    turn = AssistantMessage(
        content=batch.content,
        # A call found in the reasoning was moved out of it; leaving it there would show it twice.
        reasoning="" if batch.rescue is not None and batch.rescue.where == "reasoning" else replied.reply.reasoning,
        tool_calls=tuple(item.call for item in checked),
    )
    taken = _turn(replied, turn, answered=tuple(answered), faults=tuple(faults))
    return Accept(events=(*events, *rejected), taken=taken)


def _turn(
    replied: Replied,
    turn: AssistantMessage,
    *,
    answered: tuple[ToolResult, ...] = (),
    faults: tuple[Fault, ...] = (),
) -> TurnTaken:
    field = cast("ReasoningField", replied.reply.extra.get("reasoning_field", "reasoning"))
    return TurnTaken(step=replied.step, turn=turn, reasoning_field=field, answered=answered, faults=faults)


def _result(item: CheckedCall | InvalidCall, content: str, status: ToolStatus) -> ToolResult:
    return ToolResult(tool_call_id=item.call.id, name=item.call.name, content=content, status=status)


def _rejected(replied: Replied, invalid: InvalidCall) -> Rejected:
    return Rejected(
        step=replied.step,
        trigger=invalid.trigger,
        tool=invalid.raw.name or "(no name)",
        reason=invalid.reason,
        raw=_cut(invalid.raw.arguments),
    )


def _signature(raw: RawCall) -> str:
    return f"{raw.name} {raw.arguments}"


def _raw_reply(reply: Reply) -> str:
    calls = " ".join(f"{call.name} {call.arguments}" for call in reply.tool_calls)
    return _cut(" ".join(part for part in (reply.reasoning, reply.content, calls) if part.strip()))


def _cut(text: str) -> str:
    return text if len(text) <= _RAW_CHARS else f"{text[:_RAW_CHARS]}..."
