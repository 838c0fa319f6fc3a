"""Decode the JSON of a complete chat completion, pure; unexpected values are ignored, not interpreted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, cast

from ..messages import FinishReason, RawCall, ReasoningField, Reply, Usage

# Words for the same four reasons: legacy function calls; Anthropic's and Bedrock's words behind proxies; Mistral's
# `model_length`; TGI's `eos_token` (their documentation, read 2026-11).
_FINISH_REASONS: Mapping[str, FinishReason] = MappingProxyType(
    {
        "stop": "stop", "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop",
        "tool_calls": "tool_calls", "function_call": "tool_calls", "tool_use": "tool_calls",
        "length": "length", "max_tokens": "length", "model_length": "length",
        "content_filter": "content_filter",
    }
)  # fmt: skip


class UnreadableReply(ValueError):
    """Raised for a response that is not a chat completion; its text says what was received."""


def decode_reply(data: object) -> Reply:
    """Decode a complete (not streamed) chat completion.

    Raises:
        UnreadableReply: The data is not a chat completion.
    """
    body = mapping_of(data, "the body")
    choices = list_of(body.get("choices"))
    if not choices:
        msg = f"got no `choices`: {_one_line(body)}"
        raise UnreadableReply(msg)
    choice = mapping_of(choices[0], "the first choice")
    message = mapping_of(choice.get("message"), "`message`")
    reasoning, field = reasoning_of(message)
    return Reply(
        content=text_of(message.get("content")),
        reasoning=reasoning,
        tool_calls=tuple(_raw_call(call) for call in call_parts(message)),
        finish_reason=finish_reason_of(choice.get("finish_reason")),
        usage=usage_of(body.get("usage")),
        model=str(body.get("model") or ""),
        extra={"reasoning_field": field} if field else {},
    )


def call_parts(message: Mapping[str, Any]) -> Sequence[object]:
    """Return the calls of a message or delta; a legacy `function_call` counts only if there are no `tool_calls`.

    llama-cpp-python 0.3.36 sends both for the same call.
    """
    calls = list_of(message.get("tool_calls"))
    if calls or not isinstance(message.get("function_call"), dict):
        return calls
    return [{"function": message["function_call"]}]


def argument_text(value: object) -> str:
    """Return the arguments as JSON text; some servers send an object instead of text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def text_of(value: object) -> str:
    """Return the text of `content`, which is text or a list of parts."""
    if isinstance(value, str):
        return value
    parts = [cast("dict[str, object]", part) for part in list_of(value) if isinstance(part, dict)]
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")


def reasoning_of(message: Mapping[str, Any]) -> tuple[str, ReasoningField | Literal[""]]:
    """Return the reasoning of a message or delta, and the field that holds it; both empty if there is none."""
    for field in ("reasoning", "reasoning_content"):
        if isinstance(message.get(field), str) and message[field]:
            return cast("str", message[field]), field
    return "", ""


def finish_reason_of(value: object) -> FinishReason:
    """Return why the server stopped; other servers' words for the same reasons are known too."""
    return _FINISH_REASONS.get(value.lower(), "unknown") if isinstance(value, str) else "unknown"


def usage_of(value: object) -> Usage | None:
    """Return the usage of a response. None if it is missing, or counts nothing, as some servers send it."""
    if not isinstance(value, dict):
        return None
    usage = cast("dict[str, Any]", value)
    prompt_tokens = _count(usage, "prompt_tokens") or 0
    completion_tokens = _count(usage, "completion_tokens") or 0
    if not prompt_tokens and not completion_tokens:
        return None
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens") or 0,
        cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
    )


def mapping_of(value: object, what: str) -> Mapping[str, Any]:
    """Return the value if it is a JSON object.

    Raises:
        UnreadableReply: it is not.
    """
    if isinstance(value, dict):  # read from JSON, so it is no other Mapping
        return cast("dict[str, Any]", value)
    msg = f"{what} is {_one_line(value)}, not a JSON object"
    raise UnreadableReply(msg)


def list_of(value: object) -> list[object]:
    """Return the value if it is a JSON array, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def _raw_call(data: object) -> RawCall:
    call = mapping_of(data, "a tool call")
    function = mapping_of(call.get("function") or {}, "`function`")
    return RawCall(
        id=str(call.get("id") or ""),
        name=str(function.get("name") or ""),
        arguments=argument_text(function.get("arguments")),
    )


def _count(holder: object, key: str) -> int | None:
    value = cast("dict[str, object]", holder).get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, int) else None


def _one_line(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
