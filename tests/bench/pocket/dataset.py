"""Turn generated exchanges into chat requests: messages, tools, effort, and which replies to train on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from pocket.exchange import Arguments, Exchange, Turn
from pocket.scenarios import FINAL, make_exchange, nudged, summarised, verification_failed, without_tools

Effort = Literal["none", "high"]
EFFORTS: tuple[Effort, ...] = ("none", "high")
Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One conversation in the form of a chat request, including its replies."""

    messages: list[Message]
    learned: list[bool]
    """Per assistant message: whether the model is trained on it."""
    guesses: list[tuple[str, ...]]
    """Per assistant message: parts of its reasoning that are excluded from training."""
    tools: list[Arguments] | None
    """Tool definitions. None means the request offers no tools."""
    effort: Effort


def generate_sample(rng: Random, own: Sequence[Arguments], system_prompt: str) -> Sample:
    """Generate one conversation of at least one exchange.

    Args:
        rng: the only source of randomness.
        own: definitions of the project's tools, in their usual order.
        system_prompt: the project's default; some samples have another one or none.
    """
    exchanges: list[Exchange] = []
    taken = {tool["function"]["name"] for tool in own}
    while not exchanges or (FINAL not in taken and rng.random() < 0.35):
        exchange = make_exchange(rng)
        new = {tool["function"]["name"] for tool in exchange.needs}
        if new & taken or (FINAL in new and exchanges):
            continue
        taken |= new
        again = verification_failed(rng, exchange) if rng.random() < 0.12 else None
        draw = rng.random()
        exchanges.append(
            summarised(rng, exchange) if draw < 0.04 else nudged(rng, exchange) if draw < 0.07 else exchange
        )
        exchanges += [again] if again else []
    effort = rng.choice(EFFORTS)
    if rng.random() < 0.03:
        bare = [without_tools(exchange) for exchange in exchanges]
        return _assemble(rng, bare, effort, _choose_system_prompt(rng, system_prompt, 55), None)
    return build_sample(rng, exchanges, own, system_prompt, effort=effort, default_weight=55)


def build_sample(
    rng: Random,
    exchanges: Sequence[Exchange],
    own: Sequence[Arguments],
    system_prompt: str,
    *,
    effort: Effort,
    default_weight: int,
) -> Sample:
    """Build one conversation from exchanges.

    Args:
        rng: the only source of randomness.
        exchanges: the content, in order.
        own: definitions of the project's tools, in their usual order.
        system_prompt: the project's default.
        effort: effort of the last request.
        default_weight: weight of the default system prompt; the alternatives have a total weight of 45.
    """
    tools = _choose_tools(rng, own, exchanges) or None
    return _assemble(rng, exchanges, effort, _choose_system_prompt(rng, system_prompt, default_weight), tools)


def _choose_system_prompt(rng: Random, system_prompt: str, default_weight: int) -> str:
    systems = [system_prompt, "", _drop_words(rng, system_prompt), "You are a helpful assistant."]
    return rng.choices(systems, [default_weight, 20, 15, 10])[0]


def reply_message(turn: Turn, first_call: int, *, thinks: bool) -> Message:
    """Convert one reply to an assistant message.

    Args:
        turn: the reply.
        first_call: number of its first call, so that ids are unique in a conversation.
        thinks: whether the message includes the reasoning.
    """
    content: list[Message] = [{"type": "thinking", "thinking": turn.think}] if thinks else []
    if turn.text:
        content.append({"type": "text", "text": turn.text})
    message: Message = {"role": "assistant", "content": content or ""}
    if turn.calls:
        message["tool_calls"] = [
            {
                "id": _call_id(first_call + place),
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for place, call in enumerate(turn.calls)
        ]
    return message


def result_messages(turn: Turn, first_call: int) -> list[Message]:
    """Convert the results of one reply's calls to tool messages."""
    return [
        {"role": "tool", "tool_call_id": _call_id(first_call + place), "name": call.name, "content": call.result}
        for place, call in enumerate(turn.calls)
    ]


def _call_id(number: int) -> str:
    return f"call{number:05d}"


def _assemble(
    rng: Random, exchanges: Sequence[Exchange], effort: Effort, system: str, tools: list[Arguments] | None
) -> Sample:
    count = sum(len(exchange.turns) for exchange in exchanges)
    # A run may switch its effort: then older replies lack their reasoning or still have it.
    changed = rng.randint(0, count - 1) if rng.random() < (0.4 if effort == "high" else 0.1) else 0
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    learned: list[bool] = []
    guesses: list[tuple[str, ...]] = []
    calls = 0
    for exchange in exchanges:
        messages.append({"role": "user", "content": exchange.user})
        for turn in exchange.turns:
            at_effort = len(learned) >= changed
            thinks = at_effort == (effort == "high")
            messages += [reply_message(turn, calls, thinks=thinks), *result_messages(turn, calls)]
            learned.append(turn.learned and at_effort)
            guesses.append(turn.guesses if thinks else ())
            calls += len(turn.calls)
    return Sample(messages=messages, learned=learned, guesses=guesses, tools=tools, effort=effort)


def _choose_tools(rng: Random, own: Sequence[Arguments], exchanges: Sequence[Exchange]) -> list[Arguments]:
    """Choose the tools of the request: all that are called and some that are not."""
    needed = {name for exchange in exchanges for name in exchange.tool_names()}
    chosen = list(own)
    if rng.random() < 0.6:
        chosen = [tool for tool in own if tool["function"]["name"] in needed or rng.random() < 0.4]
        rng.shuffle(chosen)
    if not needed & {tool["function"]["name"] for tool in own} and any(exchange.needs for exchange in exchanges):
        chosen = [] if rng.random() < 0.6 else chosen
    foreign = [tool for exchange in exchanges for tool in exchange.needs]
    chosen = [*chosen, *foreign] if rng.random() < 0.5 else [*foreign, *chosen]
    return [_reworded(rng, tool) for tool in chosen] if rng.random() < 0.4 else chosen


def _reworded(rng: Random, tool: Arguments) -> Arguments:
    function = tool["function"]
    return {**tool, "function": {**function, "description": _drop_words(rng, function["description"])}}


def _drop_words(rng: Random, text: str) -> str:
    """Drop some words, so that the model relies on names and schemas rather than on exact wording."""
    return " ".join(part for part in text.split(" ") if rng.random() > 0.3) or text
