"""Encode and decode chat completions JSON, pure; the only module with the protocol's field names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from ..messages import (
    AssistantMessage,
    Effort,
    FinishReason,
    Image,
    Message,
    RawCall,
    Reply,
    SystemMessage,
    ToolResult,
    Usage,
    UserMessage,
)
from .control_tokens import escape_control_tokens
from .profiles import NO_SAMPLING, Sampling, SchemaField

ReasoningField = Literal["reasoning", "reasoning_content"]
"""vLLM 0.20 to 0.33 sends `reasoning`, SGLang 0.5 sends `reasoning_content` (their sources, read 2026-11)."""

ToolChoice = Literal["auto", "none", "required"]


class UnreadableReply(ValueError):
    """Raised for a response that is not a chat completion; its text says what was received."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One chat completion request, with messages and tools already encoded as JSON."""

    model: str
    messages: Sequence[bytes]
    tools: bytes
    """A JSON array; `[]` means no tools are sent."""
    max_tokens: int
    effort: Effort | None = None
    """None means the field is not sent."""
    sampling: Sampling = NO_SAMPLING
    tool_choice: ToolChoice = "auto"
    force_tool: str | None = None
    """Name of the tool that must be called; overrides `tool_choice`."""
    json_schema: bytes | None = None
    """Schema that the reply text is constrained to. None means free text."""
    schema_field: SchemaField = "structured_outputs"
    """Request field for `json_schema`."""

    def encode(self, *, stream: bool) -> bytes:
        """Return the request body. Messages come first, so that the part that a prefix cache can reuse is in front."""
        head: dict[str, Any] = {"model": self.model, "max_tokens": self.max_tokens, "stream": stream}
        if stream:
            head["stream_options"] = {"include_usage": True}
        if self.effort is not None:
            head["reasoning_effort"] = self.effort
        if self.sampling.temperature is not None:
            head["temperature"] = self.sampling.temperature
        if self.sampling.top_p is not None:
            head["top_p"] = self.sampling.top_p
        parts = [_dump(head)[:-1], b',"messages":[', b",".join(self.messages), b"]"]
        if self.tools != b"[]":
            choice: object = self.tool_choice
            if self.force_tool is not None:
                choice = {"type": "function", "function": {"name": self.force_tool}}
            # An MCP server writes names and descriptions in its schemas as it likes.
            tools = escape_control_tokens(self.tools.decode()).encode()
            parts += [b',"tools":', tools, b',"tool_choice":', _dump(choice)]
        if self.json_schema is not None:
            prefix, suffix = _SCHEMA_WRAPPERS[self.schema_field]
            parts += [prefix, self.json_schema, suffix]
        return b"".join([*parts, b"}"])


_SCHEMA_WRAPPERS: Mapping[SchemaField, tuple[bytes, bytes]] = {
    "structured_outputs": (b',"structured_outputs":{"json":', b"}"),
    "response_format": (
        b',"response_format":{"type":"json_schema","json_schema":{"name":"call","strict":true,"schema":',
        b"}}",
    ),
}


def encode_message(message: Message, *, reasoning_field: ReasoningField | None) -> bytes:
    """Return one message as JSON bytes. If `reasoning_field` is None, the reasoning is omitted."""
    match message:
        case SystemMessage():
            return _dump({"role": "system", "content": escape_control_tokens(message.content)})
        case UserMessage():
            return _dump({"role": "user", "content": _content(escape_control_tokens(message.content), message.images)})
        case ToolResult():
            content = escape_control_tokens(message.content)
            return _dump({"role": "tool", "tool_call_id": message.tool_call_id, "content": content})
        case AssistantMessage():
            return _dump(_assistant(message, reasoning_field))


def _assistant(message: AssistantMessage, reasoning_field: ReasoningField | None) -> dict[str, Any]:
    data: dict[str, Any] = {"role": "assistant", "content": escape_control_tokens(message.content)}
    if message.reasoning and reasoning_field is not None:
        data[reasoning_field] = escape_control_tokens(message.reasoning)
    if message.tool_calls:
        data["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": escape_control_tokens(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return data


def _content(text: str, images: Iterable[Image]) -> str | list[dict[str, Any]]:
    image_parts = [
        {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}} for image in images
    ]
    return [{"type": "text", "text": text}, *image_parts] if image_parts else text


def decode_reply(data: object) -> Reply:
    """Decode a complete (not streamed) chat completion. Unexpected values are ignored, not interpreted.

    Raises:
        UnreadableReply: The data is not a chat completion.
    """
    body = _mapping(data, "the body")
    if body.get("error"):
        msg = f"got an error object: {_one_line(body['error'])}"
        raise UnreadableReply(msg)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        msg = f"got no `choices`: {_one_line(body)}"
        raise UnreadableReply(msg)
    choice = _mapping(cast("list[object]", choices)[0], "the first choice")
    message = _mapping(choice.get("message"), "`message`")
    reasoning, field = _reasoning(message)
    return Reply(
        content=_text(message.get("content")),
        reasoning=reasoning,
        tool_calls=tuple(_raw_call(call) for call in _list(message.get("tool_calls"))),
        finish_reason=_finish_reason(choice.get("finish_reason")),
        usage=_usage(body.get("usage")),
        model=str(body.get("model") or ""),
        extra={"reasoning_field": field} if field else {},
    )


class StreamAssembler:
    """Assembles one streamed reply from its chunks: call `feed` in order, then `reply`."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: object = None
        self._usage: Usage | None = None
        self._model = ""
        self._field = ""
        self._started = False

    def feed(self, data: object) -> None:
        """Add one chunk.

        Raises:
            UnreadableReply: The data is not a chat completion chunk.
        """
        chunk = _mapping(data, "a chunk")
        if not isinstance(chunk.get("choices"), list):
            msg = f"got a chunk without `choices`: {_one_line(chunk)}"
            raise UnreadableReply(msg)
        self._usage = _usage(chunk.get("usage")) or self._usage
        self._model = str(chunk.get("model") or self._model)
        for item in _list(chunk["choices"])[:1]:
            self._started = True
            choice = _mapping(item, "a choice")
            self._finish = choice.get("finish_reason") or self._finish
            delta = _mapping(choice.get("delta") or {}, "`delta`")
            self._content.append(_text(delta.get("content")))
            reasoning, field = _reasoning(delta)
            self._reasoning.append(reasoning)
            self._field = field or self._field
            for position, call in enumerate(_list(delta.get("tool_calls"))):
                self._feed_call(_mapping(call, "a tool call"), position)

    def reply(self) -> Reply:
        """Return the reply assembled so far.

        Raises:
            UnreadableReply: The stream contained no part of a reply.
        """
        if not self._started:
            msg = "got a stream without a reply"
            raise UnreadableReply(msg)
        calls = [self._calls[index] for index in sorted(self._calls)]
        return Reply(
            content="".join(self._content),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(RawCall(id=call["id"], name=call["name"], arguments=call["arguments"]) for call in calls),
            finish_reason=_finish_reason(self._finish),
            usage=self._usage,
            model=self._model,
            extra={"reasoning_field": self._field} if self._field else {},
        )

    @property
    def finished(self) -> bool:
        """True once the server has sent a finish_reason."""
        return self._finish is not None

    def _feed_call(self, call: Mapping[str, Any], position: int) -> None:
        index = call.get("index")
        key = index if isinstance(index, int) else position
        parts = self._calls.setdefault(key, {"id": "", "name": "", "arguments": ""})
        function = _mapping(call.get("function") or {}, "`function`")
        parts["id"] = parts["id"] or str(call.get("id") or "")
        parts["name"] += str(function.get("name") or "")
        parts["arguments"] += _argument_text(function.get("arguments"))


def _raw_call(data: object) -> RawCall:
    call = _mapping(data, "a tool call")
    function = _mapping(call.get("function") or {}, "`function`")
    return RawCall(
        id=str(call.get("id") or ""),
        name=str(function.get("name") or ""),
        arguments=_argument_text(function.get("arguments")),
    )


def _argument_text(value: object) -> str:
    """Return the arguments as JSON text; some servers send an object instead of text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    parts = [cast("Mapping[str, object]", part) for part in _list(value) if isinstance(part, Mapping)]
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")


def _reasoning(message: Mapping[str, Any]) -> tuple[str, ReasoningField | Literal[""]]:
    for field in ("reasoning", "reasoning_content"):
        if isinstance(message.get(field), str) and message[field]:
            return cast("str", message[field]), field
    return "", ""


def _finish_reason(value: object) -> FinishReason:
    known = ("stop", "tool_calls", "length", "content_filter")
    return cast("FinishReason", value) if value in known else "unknown"


def _usage(value: object) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    usage = cast("Mapping[str, Any]", value)
    return Usage(
        prompt_tokens=_count(usage, "prompt_tokens") or 0,
        completion_tokens=_count(usage, "completion_tokens") or 0,
        reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens") or 0,
        cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
    )


def _count(holder: object, key: str) -> int | None:
    value = cast("Mapping[str, object]", holder).get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, int) else None


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    msg = f"{what} is {_one_line(value)}, not a JSON object"
    raise UnreadableReply(msg)


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _one_line(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def _dump(value: object) -> bytes:
    # Lone surrogates cannot be encoded as UTF-8; replace them with a question mark instead of failing the run.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
