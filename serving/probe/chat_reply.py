"""Read a recorded exchange as a chat reply; every oddity becomes a value, nothing is raised."""

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
        """The arguments; None: they are no JSON object."""
        return json_object(self.arguments)


@dataclass(frozen=True, kw_only=True)
class SeenReply:
    """A chat reply, whole or put together from its stream."""

    content: str
    reasoning: str
    reasoning_field: ReasoningField | None
    calls: tuple[SeenCall, ...]
    finish_reason: str
    """Empty: the server gave none."""
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    """None: the server does not say."""


@dataclass(frozen=True, kw_only=True)
class NoReply:
    """Why there is none."""

    cause: Literal["not_asked", "silent", "refused", "failed"]
    """`silent`: no HTTP reply, or one that asks for patience; `refused`: another 4xx, the server does not take such a
    request; `failed`: anything else that is no chat reply."""
    reason: str


def read_chat(exchange: Exchange) -> SeenReply | NoReply:
    """Read a chat completion, whole or streamed."""
    if not exchange.asked:
        return NoReply(cause="not_asked", reason=exchange.failure)
    if exchange.status is None:
        return NoReply(cause="silent", reason=exchange.failure)
    errors = [event for event in exchange.events if as_object(event).get("error")]
    body = errors[0] if errors else exchange.body
    # vLLM answers a streamed request that it refuses with HTTP 200 and an error as its first event (0.32).
    status = _code(body) if errors else exchange.status
    if status != 200:
        return NoReply(cause=_cause(status), reason=f"HTTP {status}: {error_text(body)}")
    if exchange.failure:
        return NoReply(cause="failed", reason=exchange.failure)
    return _streamed(exchange.events) if exchange.events else _whole(exchange.body)


def error_text(body: object) -> str:
    """Find the server's own words in the body of an error; one line."""
    held = as_object(body)
    error = held.get("error", held.get("detail", held.get("message", body)))
    return brief(as_object(error).get("message", error))


def brief(value: object, limit: int = 300) -> str:
    """Show a value on one line, cut to `limit` characters, without what a terminal would obey."""
    line = " ".join(str(value).split())
    text = "".join(sign if sign.isprintable() else "?" for sign in line)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def parse_json(text: str) -> object:
    """Parse JSON of a sane depth.

    Raises:
        ValueError: it is none, or nested so deeply that comparing or showing it could exhaust the stack.
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
    """Parse a JSON object; None: it is none."""
    try:
        found = parse_json(text)
    except ValueError:
        return None
    return cast("Mapping[str, object]", found) if isinstance(found, dict) else None


def as_object(value: object) -> Mapping[str, object]:
    """Take a value for a JSON object; an empty one if it is none."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else _NOTHING


def as_list(value: object) -> list[object]:
    """Take a value for a JSON array; an empty one if it is none."""
    return cast("list[object]", value) if isinstance(value, list) else []


def as_count(value: object) -> int | None:
    """Take a value for a number of things; None: it is none."""
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


def _whole(body: object) -> SeenReply | NoReply:
    message = as_object(_first_choice(body).get("message"))
    if not message:
        return NoReply(cause="failed", reason=f"HTTP 200 with a body that is no chat reply: {brief(body)}")
    return _reply([message], [message], _first_choice(body), as_object(as_object(body).get("usage")))


def _streamed(events: Iterable[object]) -> SeenReply | NoReply:
    choices = [choice for event in events if (choice := _first_choice(event))]
    if not choices:
        return NoReply(cause="failed", reason="HTTP 200 with a stream that holds no part of a reply")
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
    carrier: ReasoningField | None = next((name for name in _REASONING_FIELDS if "".join(_texts(parts, name))), None)
    finish = choice.get("finish_reason")
    return SeenReply(
        content="".join(_texts(parts, "content")),
        reasoning="" if carrier is None else "".join(_texts(parts, carrier)),
        reasoning_field=carrier,
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
        # Some servers send the object itself.
        arguments=json.dumps(arguments) if isinstance(arguments, dict) else _text(arguments),
    )


def _joined_calls(deltas: Iterable[Mapping[str, object]]) -> list[object]:
    joined: dict[int, dict[str, str]] = {}
    for delta in deltas:
        for position, item in enumerate(as_list(delta.get("tool_calls"))):
            index = as_count(as_object(item).get("index"))
            parts = joined.setdefault(position if index is None else index, {"id": "", "name": "", "arguments": ""})
            piece = _call(as_object(item))
            parts["id"] = parts["id"] or piece.id
            parts["name"] += piece.name
            parts["arguments"] += piece.arguments
    return [
        {"id": parts["id"], "function": {"name": parts["name"], "arguments": parts["arguments"]}}
        for _, parts in sorted(joined.items())
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
