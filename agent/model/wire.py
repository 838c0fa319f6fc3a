"""Encode chat completion requests as JSON bytes, pure; replies.py and stream.py decode what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from ..messages import (
    AssistantMessage,
    Effort,
    Image,
    Message,
    SystemMessage,
    ToolResult,
    UserMessage,
)
from .control_tokens import escape_control_tokens
from .deltas import Delta
from .profiles import NO_SAMPLING, ReplyField, Sampling, SchemaField

ToolChoice = Literal["auto", "none", "required"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One chat completion request, with messages and tools already encoded as JSON."""

    model: str
    messages: Sequence[bytes]
    tools: bytes
    """A JSON array; `[]` means no tools are sent."""
    max_tokens: int
    """The most tokens of the reply, reasoning included; sent in `reply_field`."""
    reply_field: ReplyField = "max_tokens"
    stream: bool = True
    """False means the reply is requested whole, even from an endpoint that streams."""
    stream_usage: bool = True
    """False means a stream is requested without `stream_options`."""
    effort: Effort | None = None
    """None means the field is not sent."""
    sampling: Sampling = NO_SAMPLING
    seed: int | None = None
    """None means the field is not sent."""
    extra_body: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """More fields, as the user gave them."""
    tool_choice: ToolChoice | None = "auto"
    """None means the field is not sent."""
    force_tool: str | None = None
    """Name of the tool that must be called; overrides `tool_choice`."""
    json_schema: bytes | None = None
    """Schema that the reply text is constrained to. None means free text."""
    schema_field: SchemaField = "structured_outputs"
    """Request field for `json_schema`."""
    watch: Callable[[Delta], None] | None = field(default=None, repr=False, compare=False)
    """Called with each part of the reply as it arrives. None means that nobody watches."""
    follows_failure: str = field(default="", repr=False, compare=False)
    """Why the step before failed, such as for a refused reply; not sent. Empty if it did not fail."""

    @property
    def escaped_tools(self) -> bytes:
        """The tools as the model reads them: an MCP server writes names and descriptions in its schemas as it likes."""
        return escape_control_tokens(self.tools.decode()).encode()

    def encode(self, *, stream: bool) -> bytes:
        """Return the request body. Messages come first, so that the part that a prefix cache can reuse is in front."""
        head: dict[str, Any] = {"model": self.model, self.reply_field: self.max_tokens, "stream": stream}
        if stream and self.stream_usage:
            head["stream_options"] = {"include_usage": True}
        if self.effort is not None:
            head["reasoning_effort"] = self.effort
        if self.sampling.temperature is not None:
            head["temperature"] = self.sampling.temperature
        if self.sampling.top_p is not None:
            head["top_p"] = self.sampling.top_p
        if self.seed is not None:
            head["seed"] = self.seed
        head |= self.extra_body
        parts = [_dump(head)[:-1], b',"messages":[', b",".join(self.messages), b"]"]
        if self.tools != b"[]":
            choice: object = self.tool_choice
            if self.force_tool is not None:
                choice = {"type": "function", "function": {"name": self.force_tool}}
            parts += [b',"tools":', self.escaped_tools]
            parts += [] if choice is None else [b',"tool_choice":', _dump(choice)]
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


def encode_message(message: Message, *, with_reasoning: bool) -> bytes:
    """Return one message as JSON bytes, with the control tokens of the model family escaped."""
    return _dump(chat_message(message, with_reasoning=with_reasoning, text=escape_control_tokens))


def with_system_in_user_message(messages: Sequence[bytes]) -> Sequence[bytes]:
    """Return encoded messages with the system message at the start of the first one of the user, if they begin so."""
    if len(messages) < 2:
        return messages
    system, user = json.loads(messages[0]), json.loads(messages[1])
    if (system["role"], user["role"]) != ("system", "user"):
        return messages
    text = f"{system['content']}\n\n"
    content = user["content"]
    both = text + content if isinstance(content, str) else [{"type": "text", "text": text}, *content]
    return [_dump({**user, "content": both}), *messages[2:]]


def chat_message(message: Message, *, with_reasoning: bool, text: Callable[[str], str] = str) -> dict[str, Any]:
    """Return one message in the form of the chat completions API.

    Args:
        message: the message.
        with_reasoning: whether the reasoning of a reply is included.
        text: applied to each text that the model reads.
    """
    match message:
        case SystemMessage():
            return {"role": "system", "content": text(message.content)}
        case UserMessage():
            return {"role": "user", "content": _content(text(message.content), message.images)}
        case ToolResult():
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": text(message.content)}
        case AssistantMessage():
            return _assistant(message, text, with_reasoning=with_reasoning)


def _assistant(message: AssistantMessage, text: Callable[[str], str], *, with_reasoning: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"role": "assistant", "content": text(message.content)}
    if message.reasoning and with_reasoning:
        data[message.reasoning_field] = text(message.reasoning)
    if message.tool_calls:
        data["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text(call.arguments)}}
            for call in message.tool_calls
        ]
    return data


def _content(text: str, images: Iterable[Image]) -> str | list[dict[str, Any]]:
    image_parts = [
        {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}} for image in images
    ]
    return [{"type": "text", "text": text}, *image_parts] if image_parts else text


def _dump(value: object) -> bytes:
    # Lone surrogates cannot be encoded as UTF-8; replace them with a question mark instead of failing the run.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
