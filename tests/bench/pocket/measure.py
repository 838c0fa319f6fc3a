"""Measure how many replies a running pocket model gets right, on words and paths it was not trained on."""

import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from pocket.dataset import Effort, Message, reply_message, result_messages
from pocket.exchange import Arguments, Exchange, Turn

MAX_TOKENS = 200
TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A reply that differs from the expected one."""

    user: str
    """The user's message."""
    expected: str
    got: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """Number of replies and of correct replies for one kind of exchange."""

    replies: int
    right: int
    wrong: tuple[Wrong, ...]


def measure(
    base_url: str,
    make: Callable[[Random], Exchange],
    *,
    rng: Random,
    count: int,
    effort: Effort,
    own: Sequence[Arguments],
    system_prompt: str,
) -> Score:
    """Request each reply of generated exchanges with the expected history; temperature 0, tool_choice auto.

    A reply is right if its calls have the expected names and arguments, or if its text equals the expected text.

    Args:
        base_url: ends in /v1.
        make: generates an exchange.
        rng: the only source of randomness; use a seed that the training did not use.
        count: number of exchanges.
        effort: sent as reasoning_effort.
        own: tool definitions of each request, placed before those of the exchange.
        system_prompt: first message of each request.
    """
    replies, wrong = 0, list[Wrong]()
    for _ in range(count):
        exchange = make(rng)
        messages: list[Message] = [
            {"role": "system", "content": system_prompt},
            {"role": "user", "content": exchange.user},
        ]
        calls = 0
        for turn in exchange.turns:
            if turn.learned:
                replies += 1
                body = {"messages": messages, "tools": [*own, *exchange.needs], "reasoning_effort": effort}
                got = _content(_ask(base_url, body))
                if got != _expected(turn):
                    wrong.append(Wrong(user=exchange.user, expected=str(_expected(turn)), got=str(got)))
            messages = [*messages, _history(turn, calls, effort), *result_messages(turn, calls)]
            calls += len(turn.calls)
    return Score(replies=replies, right=replies - len(wrong), wrong=tuple(wrong))


def _history(turn: Turn, calls: int, effort: Effort) -> Message:
    # OpenAI's format: the text as a string, the reasoning in a separate field.
    plain = {**reply_message(turn, calls, thinks=False), "content": turn.text}
    return {**plain, "reasoning": turn.think} if effort == "high" else plain


def _ask(base_url: str, body: Mapping[str, Any]) -> Message:
    data = json.dumps({"model": "pocket", "temperature": 0, "max_tokens": MAX_TOKENS, **body}).encode()
    request = urllib.request.Request(
        f"{base_url}/chat/completions", data=data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
        return json.load(reply)["choices"][0]["message"]


def _content(message: Message) -> list[object]:
    made: list[Arguments] = [call["function"] for call in message.get("tool_calls") or ()]
    calls = [(function["name"], _parsed(function["arguments"])) for function in made]
    return [calls, "" if calls else message.get("content")]


def _parsed(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _expected(turn: Turn) -> list[object]:
    return [[(call.name, call.arguments) for call in turn.calls], turn.text]
