"""Render a scripted reply as vLLM 0.32 sends it, whole or in chunks; malformed bodies are not corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ..messages import Reply

DONE = b"data: [DONE]\n\n"
_PIECE_CHARS = 8
_MAX_PIECES = 50


def completion(reply: Reply, *, model: str) -> dict[str, Any]:
    """Return the body of a chat completion with the reply."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.content or None}
    if reply.reasoning:
        message[reply.extra.get("reasoning_field", "reasoning")] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.tool_calls
        ]
    finish_reason = None if reply.finish_reason == "unknown" else reply.finish_reason
    body: dict[str, Any] = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": reply.model or model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
    }
    if reply.usage is not None:
        used = reply.usage
        body["usage"] = {
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "total_tokens": used.prompt_tokens + used.completion_tokens,
            "prompt_tokens_details": None if used.cached_tokens is None else {"cached_tokens": used.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        }
    return body


def events(body: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the body of a completion as server-sent events, including the final one.

    A body without a message has nothing to split, so it is sent as one event.
    """
    choice = _first_choice(body)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        yield event(body)
    else:
        deltas = list(_deltas(cast("Mapping[str, Any]", message)))
        for number, delta in enumerate(deltas, start=1):
            reason = choice.get("finish_reason") if number == len(deltas) else None
            yield event(_chunk(body, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]))
        if "usage" in body:
            yield event({**_chunk(body, []), "usage": body["usage"]})
    yield DONE


def event(data: object) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    first: object = cast("list[object]", choices)[0] if isinstance(choices, list) and choices else None
    return cast("Mapping[str, Any]", first) if isinstance(first, Mapping) else {}


def _chunk(body: Mapping[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    head = {key: body[key] for key in ("id", "created", "model") if key in body}
    return {**head, "object": "chat.completion.chunk", "choices": choices}


def _deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for field in ("reasoning", "reasoning_content", "content"):
        for piece in _pieces(message.get(field)):
            yield {field: piece}
    for index, call in enumerate(cast("list[Mapping[str, Any]]", message.get("tool_calls") or [])):
        yield from _call_deltas(index, call)


def _call_deltas(index: int, call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    function = cast("Mapping[str, Any]", call.get("function") or {})
    arguments = function.get("arguments")
    # The first delta brings id, type, name and the first character of the arguments; the rest comes piece by piece.
    text = arguments if isinstance(arguments, str) else ""
    first = {**function, "arguments": text[:1] if isinstance(arguments, str) else arguments}
    yield {"tool_calls": [{**call, "index": index, "function": first}]}
    for piece in _pieces(text[1:]):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: object) -> Iterator[str]:
    if isinstance(text, str):
        size = max(_PIECE_CHARS, len(text) // _MAX_PIECES)
        for start in range(0, len(text), size):
            yield text[start : start + size]
