"""Build the replies of a script; they are not checked, because a test may need what no server should send."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, cast

from pydantic import JsonValue

from ..errors import ConfigError
from ..messages import FinishReason, RawCall, Reply, Usage

PROMPT_TOKENS = 100
"""Prompt tokens of a scripted reply, unless the script gives its usage."""

ItemT = TypeVar("ItemT")
_AUTOMATIC = Usage(prompt_tokens=-1)


def says(
    text: str,
    *,
    reasoning: str = "",
    usage: Usage | None = _AUTOMATIC,
    finish_reason: FinishReason = "stop",
) -> Reply:
    """Return a text reply.

    Args:
        text: its content.
        reasoning: the reasoning before it.
        usage: by default a prompt of 100 tokens, and one token for about four characters written. None means that the
            server sends none.
        finish_reason: the server's reason for stopping.
    """
    return Reply(
        content=text,
        reasoning=reasoning,
        finish_reason=finish_reason,
        usage=_usage(usage, text, reasoning),
        extra={"reasoning_field": "reasoning"} if reasoning else {},
    )


def calls(
    *wanted: tuple[str, Mapping[str, JsonValue] | str],
    text: str = "",
    reasoning: str = "",
    usage: Usage | None = _AUTOMATIC,
    finish_reason: FinishReason = "tool_calls",
) -> Reply:
    """Return a reply that calls tools.

    Args:
        wanted: name and arguments of each call; arguments given as text are sent as they are, valid or not.
        text: the content beside the calls.
        reasoning: the reasoning before them.
        usage: as for `says`.
        finish_reason: the server's reason for stopping.

    Raises:
        ConfigError: one of `wanted` is not a name with arguments.
    """
    for call in wanted:
        _check_call(call)
    made = tuple(
        RawCall(
            id=f"scr{number:06d}", name=name, arguments=arguments if isinstance(arguments, str) else _json(arguments)
        )
        for number, (name, arguments) in enumerate(wanted)
    )
    written = text + "".join(call.name + call.arguments for call in made)
    return Reply(
        content=text,
        reasoning=reasoning,
        tool_calls=made,
        finish_reason=finish_reason,
        usage=_usage(usage, written, reasoning),
        extra={"reasoning_field": "reasoning"} if reasoning else {},
    )


def checked_script(script: Iterable[ItemT], what: str, kinds: tuple[type, ...], advice: str) -> Iterable[ItemT]:
    """Return a script; what is not a list, such as an endless iterator, is not looked into.

    Args:
        script: as it was given.
        what: what its items are called.
        kinds: what an item may be, besides a function.
        advice: what to give.

    Raises:
        ConfigError: it is no list, or an item is of another kind.
    """
    given = cast("object", script)
    if isinstance(given, str | Reply | Mapping) or not isinstance(given, Iterable):
        example = f"says({given!r})" if isinstance(given, str) else "says('Hello.')"
        plural = f"{what.removesuffix('y')}ies" if what.endswith("y") else f"{what}s"
        msg = f"A script is a list. Give a list of {plural}, such as [{example}]."
        raise ConfigError(msg)
    items = cast("Sequence[object]", given) if isinstance(given, Sequence) else ()
    for index, item in enumerate(items):
        if not isinstance(item, kinds) and not callable(item):
            written = f"Write says({item!r})." if isinstance(item, str) else advice
            msg = f"In the script, {what} {index} is {item!r}. {written}"
            raise ConfigError(msg)
    return script


def _check_call(call: object) -> None:
    pair = cast("Sequence[object]", call) if isinstance(call, tuple | list) else ()
    if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(pair[1], Mapping | str):
        name = call if isinstance(call, str) else next((part for part in pair if isinstance(part, str)), "name")
        msg = f"calls() got {call!r}. Write each call as a pair of name and arguments: calls(({name!r}, {{...}}))."
        raise ConfigError(msg)


def _json(arguments: Mapping[str, JsonValue]) -> str:
    return json.dumps(dict(arguments), ensure_ascii=False)


def _usage(given: Usage | None, written: str, reasoning: str) -> Usage | None:
    if given is not _AUTOMATIC:
        return given
    thought = len(reasoning) // 4
    return Usage(
        prompt_tokens=PROMPT_TOKENS, completion_tokens=thought + len(written) // 4 + 1, reasoning_tokens=thought
    )
