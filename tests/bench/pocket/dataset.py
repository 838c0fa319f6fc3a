"""Turn made-up exchanges into chat requests: messages, tools, effort, and which replies are to be learned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from pocket.exchange import Arguments, Exchange, Turn
from pocket.scenarios import FINAL, exchange, nudged, summarised, verification_failed, without_tools

Effort = Literal["none", "high"]
EFFORTS: tuple[Effort, ...] = ("none", "high")
Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One conversation as a chat request holds it, its replies included."""

    messages: list[Message]
    learned: list[bool]
    """One for each assistant message."""
    guesses: list[tuple[str, ...]]
    """One for each assistant message: parts of its reasoning that are not learned."""
    tools: list[Arguments] | None
    """Definitions. None: the request offers no tools."""
    effort: Effort


def sample(rng: Random, own: Sequence[Arguments], system_prompt: str) -> Sample:
    """Make up one conversation of one to three exchanges.

    Args:
        rng: all chance.
        own: definitions of the project's tools, in their usual order.
        system_prompt: the project's default; some samples have another, or none.
    """
    exchanges: list[Exchange] = []
    taken = {tool["function"]["name"] for tool in own}
    while not exchanges or (FINAL not in taken and rng.random() < 0.35):
        asked = exchange(rng)
        new = {tool["function"]["name"] for tool in asked.needs}
        if new & taken or (FINAL in new and exchanges):
            continue
        taken |= new
        again = verification_failed(rng, asked) if rng.random() < 0.12 else None
        around = rng.random()
        exchanges.append(summarised(rng, asked) if around < 0.04 else nudged(rng, asked) if around < 0.07 else asked)
        exchanges += [again] if again else []
    effort = rng.choice(EFFORTS)
    if rng.random() < 0.03:
        bare = [without_tools(asked) for asked in exchanges]
        return _laid_out(rng, bare, effort, _some_system(rng, system_prompt, 55), None)
    return sample_of(rng, exchanges, own, system_prompt, effort=effort, usual=55)


def sample_of(
    rng: Random,
    exchanges: Sequence[Exchange],
    own: Sequence[Arguments],
    system_prompt: str,
    *,
    effort: Effort,
    usual: int,
) -> Sample:
    """Lay exchanges out as one conversation.

    Args:
        rng: all chance.
        exchanges: what is said in it.
        own: definitions of the project's tools, in their usual order.
        system_prompt: the project's default.
        effort: the one of its last request.
        usual: weight of the default system prompt; all others together have 45.
    """
    tools = _offered(rng, own, exchanges) or None
    return _laid_out(rng, exchanges, effort, _some_system(rng, system_prompt, usual), tools)


def _some_system(rng: Random, system_prompt: str, usual: int) -> str:
    systems = [system_prompt, "", _blurred(rng, system_prompt), "You are a helpful assistant."]
    return rng.choices(systems, [usual, 20, 15, 10])[0]


def reply_message(turn: Turn, first_call: int, *, thinks: bool) -> Message:
    """Write one reply as an assistant message.

    Args:
        turn: the reply.
        first_call: numbers its calls, so that no id comes twice in a conversation.
        thinks: whether its reasoning stands in the message.
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
    """Write the results of one reply's calls as tool messages."""
    return [
        {"role": "tool", "tool_call_id": _call_id(first_call + place), "name": call.name, "content": call.result}
        for place, call in enumerate(turn.calls)
    ]


def _call_id(number: int) -> str:
    return f"call{number:05d}"


def _laid_out(
    rng: Random, exchanges: Sequence[Exchange], effort: Effort, system: str, tools: list[Arguments] | None
) -> Sample:
    count = sum(len(asked.turns) for asked in exchanges)
    # A run may change its effort on the way: then older replies lack their reasoning, or still have it.
    changed = rng.randint(0, count - 1) if rng.random() < (0.4 if effort == "high" else 0.1) else 0
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    learned: list[bool] = []
    guesses: list[tuple[str, ...]] = []
    calls = 0
    for asked in exchanges:
        messages.append({"role": "user", "content": asked.user})
        for turn in asked.turns:
            usual = len(learned) >= changed
            thinks = usual == (effort == "high")
            messages += [reply_message(turn, calls, thinks=thinks), *result_messages(turn, calls)]
            learned.append(turn.learned and usual)
            guesses.append(turn.guesses if thinks else ())
            calls += len(turn.calls)
    return Sample(messages=messages, learned=learned, guesses=guesses, tools=tools, effort=effort)


def _offered(rng: Random, own: Sequence[Arguments], exchanges: Sequence[Exchange]) -> list[Arguments]:
    """Choose the tools of the request: all that are called, and some that are not."""
    needed = {name for asked in exchanges for name in asked.tool_names()}
    chosen = list(own)
    if rng.random() < 0.6:
        chosen = [tool for tool in own if tool["function"]["name"] in needed or rng.random() < 0.4]
        rng.shuffle(chosen)
    if not needed & {tool["function"]["name"] for tool in own} and any(asked.needs for asked in exchanges):
        chosen = [] if rng.random() < 0.6 else chosen
    foreign = [tool for asked in exchanges for tool in asked.needs]
    chosen = [*chosen, *foreign] if rng.random() < 0.5 else [*foreign, *chosen]
    return [_reworded(rng, tool) for tool in chosen] if rng.random() < 0.4 else chosen


def _reworded(rng: Random, tool: Arguments) -> Arguments:
    function = tool["function"]
    return {**tool, "function": {**function, "description": _blurred(rng, function["description"])}}


def _blurred(rng: Random, text: str) -> str:
    """Drop some words: wordings change, the model has to go by names and shapes."""
    return " ".join(part for part in text.split(" ") if rng.random() > 0.3) or text
