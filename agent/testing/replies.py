"""Build the replies of a script; they are not checked, because a test may need what no server should send."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import JsonValue

from ..messages import FinishReason, RawCall, Reply, Usage

PROMPT_TOKENS = 100
"""Prompt tokens of a scripted reply, unless the script gives its usage."""

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
    """
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


def _json(arguments: Mapping[str, JsonValue]) -> str:
    return json.dumps(dict(arguments), ensure_ascii=False)


def _usage(given: Usage | None, written: str, reasoning: str) -> Usage | None:
    if given is not _AUTOMATIC:
        return given
    thought = len(reasoning) // 4
    return Usage(
        prompt_tokens=PROMPT_TOKENS, completion_tokens=thought + len(written) // 4 + 1, reasoning_tokens=thought
    )
