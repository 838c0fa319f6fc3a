"""Parse a recorded exchange as a chat reply; malformed input becomes a value, nothing is raised."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from .records import Exchange

ReasoningField = Literal["reasoning", "reasoning_content"]

_REASONING_FIELDS: tuple[ReasoningField, ...] = ("reasoning", "reasoning_content")
_NOTHING: Mapping[str, object] = {}
_MAX_DEPTH = 100


@dataclass(frozen=True, kw_only=True)
class SeenCall:
    """One tool call as the server sent it."""

    id: str
    name: str
    arguments: str
    """JSON text, not parsed."""

    @property
    def values(self) -> Mapping[str, object] | None:
        """The parsed arguments; None if they are not a JSON object."""
        return json_object(self.arguments)


@dataclass(frozen=True, kw_only=True)
class SeenReply:
    """A chat reply, complete or assembled from a stream."""

    content: str
    reasoning: str
    reasoning_field: ReasoningField | None
    calls: tuple[SeenCall, ...]
    finish_reason: str
    """Empty if the server sent none."""
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    """None if the server does not report it."""


@dataclass(frozen=True, kw_only=True)
class NoReply:
    """Why there is no chat reply."""

    cause: Literal["not_sent", "silent", "refused", "failed"]
    """`silent`: no HTTP reply, or one that asks to retry later; `refused`: any other 4xx, the server does not accept
    such a request; `failed`: anything else that is not a chat reply."""
    reason: str


def read_chat(exchange: Exchange) -> SeenReply | NoReply:
    """Parse a chat completion, streamed or not."""
    if not exchange.sent:
        return NoReply(cause="not_sent", reason=exchange.failure)
    if exchange.status is None:
        return NoReply(cause="silent", reason=exchange.failure)
    errors = [event for event in exchange.events if as_object(event).get("error")]
    body = errors[0] if errors else exchange.body
    # vLLM 0.32 answers a refused streamed request with HTTP 200 and an error as the first event.
    status = _code(body) if errors else exchange.status
    if status != 200:
        return NoReply(cause=_cause(status), reason=f"HTTP {status}: {error_text(body)}")
    if exchange.failure:
        return NoReply(cause="failed", reason=exchange.failure)
    return _parse_stream(exchange.events) if exchange.events else _parse_body(exchange.body)


def error_text(body: object) -> str:
    """Extract the message from the body of an error; one line."""
    fields = as_object(body)
    error = fields.get("error", fields.get("detail", fields.get("message", body)))
    return brief(as_object(error).get("message", error))


def brief(value: object, limit: int = 300) -> str:
    """Format a value on one line, cut to `limit` characters, without terminal control characters."""
    line = " ".join(str(value).split())
    text = "".join(character if character.isprintable() else "?" for character in line)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def parse_json(text: str) -> object:
    """Parse JSON of limited depth.

    Raises:
        ValueError: it is not JSON, or so deeply nested that comparing or printing it could exhaust the stack.
    """
    try:
        found: object = json.loads(text)
    except RecursionError as error:
        raise ValueError from error
    level = [found]
    for _ in range(_MAX_DEPTH):
        level = [inner for value in level for inner in (*as_object(value).values(), *as_list(value))]
        if not level:
            return found
    raise ValueError


def json_object(text: str) -> Mapping[str, object] | None:
    """Parse a JSON object; None if the text is not one."""
    try:
        found = parse_json(text)
    except ValueError:
        return None
    return cast("Mapping[str, object]", found) if isinstance(found, dict) else None


def as_object(value: object) -> Mapping[str, object]:
    """Return the value if it is a JSON object, else an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else _NOTHING


def as_list(value: object) -> list[object]:
    """Return the value if it is a JSON array, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def as_count(value: object) -> int | None:
    """Return the value if it is a non-negative integer, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _cause(status: int) -> Literal["silent", "refused", "failed"]:
    if status in {408, 429, 503}:
        return "silent"
    return "refused" if 400 <= status < 500 else "failed"


def _code(body: object) -> int:
    return as_count(as_object(as_object(body).get("error")).get("code")) or 500


def _first_choice(body: object) -> Mapping[str, object]:
    choices = as_list(as_object(body).get("choices"))
    return as_object(choices[0]) if choices else _NOTHING


def _parse_body(body: object) -> SeenReply | NoReply:
    message = as_object(_first_choice(body).get("message"))
    if not message:
        return NoReply(cause="failed", reason=f"HTTP 200, but the body is not a chat reply: {brief(body)}")
    return _reply([message], [message], _first_choice(body), as_object(as_object(body).get("usage")))


def _parse_stream(events: Iterable[object]) -> SeenReply | NoReply:
    choices = [choice for event in events if (choice := _first_choice(event))]
    if not choices:
        return NoReply(cause="failed", reason="HTTP 200, but the stream contains no part of a reply")
    deltas = [as_object(choice.get("delta")) for choice in choices]
    ended = next((choice for choice in reversed(choices) if choice.get("finish_reason")), _NOTHING)
    usage = next((used for event in events if (used := as_object(as_object(event).get("usage")))), _NOTHING)
    return _reply(deltas, [{"tool_calls": _joined_calls(deltas)}], ended, usage)


def _reply(
    parts: list[Mapping[str, object]],
    with_calls: list[Mapping[str, object]],
    choice: Mapping[str, object],
    usage: Mapping[str, object],
) -> SeenReply:
    field: ReasoningField | None = next((name for name in _REASONING_FIELDS if "".join(_texts(parts, name))), None)
    finish = choice.get("finish_reason")
    return SeenReply(
        content="".join(_texts(parts, "content")),
        reasoning="" if field is None else "".join(_texts(parts, field)),
        reasoning_field=field,
        calls=tuple(_call(as_object(item)) for part in with_calls for item in as_list(part.get("tool_calls"))),
        finish_reason=finish if isinstance(finish, str) else "",
        prompt_tokens=as_count(usage.get("prompt_tokens")),
        completion_tokens=as_count(usage.get("completion_tokens")),
        cached_tokens=as_count(as_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
    )


def _texts(parts: Iterable[Mapping[str, object]], field: str) -> Iterator[str]:
    for part in parts:
        value = part.get(field)
        if isinstance(value, str):
            yield value


def _call(item: Mapping[str, object]) -> SeenCall:
    function = as_object(item.get("function"))
    arguments = function.get("arguments")
    return SeenCall(
        id=_text(item.get("id")),
        name=_text(function.get("name")),
        # Some servers send an object instead of JSON text.
        arguments=json.dumps(arguments) if isinstance(arguments, dict) else _text(arguments),
    )


def _joined_calls(deltas: Iterable[Mapping[str, object]]) -> list[object]:
    # By id first: some servers number every call 0, or not at all. `agent run` joins them in the same way.
    joined: list[dict[str, str]] = []
    at_index: dict[int, dict[str, str]] = {}
    for delta in deltas:
        for position, item in enumerate(as_list(delta.get("tool_calls"))):
            index = as_count(as_object(item).get("index"))
            piece = _call(as_object(item))
            parts = at_index.get(position if index is None else index)
            if parts is None or (piece.id and parts["id"] and piece.id != parts["id"]):
                parts = {"id": piece.id, "name": "", "arguments": ""}
                joined.append(parts)
                at_index[position if index is None else index] = parts
            parts["id"] = parts["id"] or piece.id
            # Some servers repeat the whole name in every part.
            parts["name"] += "" if piece.name == parts["name"] else piece.name
            parts["arguments"] += piece.arguments
    return [
        {"id": parts["id"], "function": {"name": parts["name"], "arguments": parts["arguments"]}} for parts in joined
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
