"""The values that flow through a run: messages, tool calls, tool results, replies and their usage; no behaviour."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .errors import ConfigError

Effort = Literal["none", "high"]
"""Reasoning effort of Mistral Medium 3.5: it takes these two values and no other (model card, read 2026-11)."""

ToolStatus = Literal["ok", "error", "invalid", "timeout", "interrupted", "duplicate", "denied"]
"""How a call ended: `invalid` was never run, `interrupted` may have run in part, `duplicate`: see its twin."""

FinishReason = Literal["stop", "tool_calls", "length", "content_filter", "unknown"]
"""The server's word for why it stopped; `unknown` stands for a missing or foreign one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One picture for a vision model."""

    data: str
    """Base64 text, no line breaks."""
    media_type: str
    """Such as `image/png`."""

    @classmethod
    def from_file(cls, path: str | Path) -> Image:
        """Read a picture file; the type comes from its name.

        Raises:
            ConfigError: the file cannot be read, or its name is not that of a picture.
        """
        media_type = mimetypes.guess_type(str(path))[0] or ""
        if not media_type.startswith("image/"):
            msg = f"{str(path)!r} does not have the name of a picture. Give a .png, .jpg, .gif or .webp file."
            raise ConfigError(msg)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            msg = f"Cannot read the image {str(path)!r}: {error.strerror}."
            raise ConfigError(msg) from error
        return cls(data=base64.b64encode(data).decode("ascii"), media_type=media_type)


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A call that may be executed: its tool exists and its arguments match the tool's schema."""

    id: str
    """Exactly 9 characters of [A-Za-z0-9], unique in its run (mistral_common 1.11 refuses every other)."""
    name: str
    arguments: str
    """A JSON object as text."""
    repairs: tuple[str, ...] = ()
    """Names of the lossless repairs that made it valid, in order; empty: the model wrote it like this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolResult:
    """The one answer to a tool call, in the order of the calls."""

    tool_call_id: str
    name: str
    content: str
    """What the model reads; never empty."""
    status: ToolStatus = "ok"
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemMessage:
    """Instructions; only ever the first message."""

    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UserMessage:
    """What the user, or the harness on the user's behalf, says."""

    content: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AssistantMessage:
    """One accepted reply of the model; has text or calls, never neither."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


Message = SystemMessage | UserMessage | AssistantMessage | ToolResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens of one reply, as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    """All generated tokens, reasoning included."""
    reasoning_tokens: int = 0
    """Included in `completion_tokens`."""
    cached_tokens: int | None = None
    """The part of `prompt_tokens` found in the prefix cache. None: the server does not say (vLLM says it when it was
    started with --enable-prompt-tokens-details)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawCall:
    """A tool call as the server sent it; nothing about it is checked."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the server sent for one request."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[RawCall, ...] = ()
    finish_reason: FinishReason = "unknown"
    usage: Usage | None = None
    """None: the server sent none."""
    model: str = ""
    extra: dict[str, str] = field(default_factory=dict[str, str])
    """Odd fields worth keeping for the journal, such as `reasoning_field`: the name under which the reasoning came."""
