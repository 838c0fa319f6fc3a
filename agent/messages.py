"""Records of a run: messages, tool calls, tool results, replies and usage; no behaviour."""

from __future__ import annotations

import base64
import mimetypes
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from .errors import ConfigError
from .keywords import checked_keywords

Effort = Literal["none", "low", "medium", "high"]
"""Reasoning effort; each model takes some of these, see `Profile.efforts`."""

ToolStatus = Literal["ok", "error", "invalid", "timeout", "no_answer", "interrupted", "duplicate", "denied"]
"""How a call ended: `invalid` and `duplicate` calls were not executed, `interrupted` ones perhaps in part. A call with
`no_answer` was sent, and nothing tells whether it took effect; a broken reply of the model is a `Retried` event."""

ReasoningField = Literal["reasoning", "reasoning_content"]
"""vLLM 0.20 to 0.33 sends `reasoning`, SGLang 0.5 sends `reasoning_content` (their sources, read 2026-11)."""

FinishReason = Literal["stop", "tool_calls", "length", "content_filter", "unknown"]
"""Why the server stopped; `unknown` means the value was missing or is another one."""


_IMAGE_TYPE = re.compile(r"image/[a-z0-9][a-z0-9.+-]{0,60}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@checked_keywords(
    elsewhere={
        "url": "A run sends the data itself: download it, and write Image.from_file(path).",
        "path": "Write Image.from_file(path).",
        "content": "Write Image(data=base64.b64encode(content).decode(), media_type='image/png').",
    },
    own_types=True,
)
@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One image for a vision model.

    Attributes:
        data: Base64 text without line breaks.
        media_type: Such as `image/png`.
    """

    data: str
    media_type: str

    @classmethod
    def from_file(cls, path: str | Path) -> Image:
        """Read an image file. Its type is taken from the file name.

        Raises:
            ConfigError: The file cannot be read, or its name has no image extension.
        """
        media_type = mimetypes.guess_type(str(path))[0] or ""
        if not media_type.startswith("image/"):
            msg = f"{str(path)!r} has no image extension. Use a .png, .jpg, .gif or .webp file."
            raise ConfigError(msg)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            msg = f"Cannot read the image {str(path)!r}: {error.strerror}."
            raise ConfigError(msg) from error
        return cls(data=base64.b64encode(data).decode("ascii"), media_type=media_type)

    def problem(self) -> str:
        """Return why the image cannot be sent, as both parts go into a URL. Empty if it can."""
        data, media_type = cast("tuple[object, object]", (self.data, self.media_type))
        if not isinstance(data, str):
            return f"its data is {type(data).__name__}, not base64 text"
        if not _BASE64.fullmatch(data) or len(data) % 4:
            return "its data is not base64"
        if not isinstance(media_type, str) or not _IMAGE_TYPE.fullmatch(media_type):
            return "its media type is not one of an image"
        return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A call that can be executed: its tool exists and its arguments match the tool's schema."""

    id: str
    """Exactly 9 characters of [A-Za-z0-9], unique in the run (mistral_common 1.11 rejects all others)."""
    name: str
    arguments: str
    """A JSON object as text."""
    repairs: tuple[str, ...] = ()
    """Names of the lossless repairs that made the call valid, in order. Empty if none was needed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolResult:
    """The result of one tool call."""

    tool_call_id: str
    name: str
    content: str
    """The text for the model; never empty."""
    status: ToolStatus = "ok"
    images: tuple[Image, ...] = ()
    role: Literal["tool"] = "tool"


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemMessage:
    """The system prompt; only allowed as the first message."""

    content: str
    role: Literal["system"] = "system"


@dataclass(frozen=True, kw_only=True, slots=True)
class UserMessage:
    """A message from the user, or from the harness as the user."""

    content: str
    images: tuple[Image, ...] = ()
    role: Literal["user"] = "user"


@dataclass(frozen=True, kw_only=True, slots=True)
class AssistantMessage:
    """One accepted reply of the model; has text, calls or both."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning_field: ReasoningField = "reasoning"
    """The field that the server sent the reasoning in, and gets it back in."""
    role: Literal["assistant"] = "assistant"


Message = SystemMessage | UserMessage | AssistantMessage | ToolResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Token counts of one request, as the server reported them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    """All generated tokens, reasoning included."""
    reasoning_tokens: int = 0
    """Included in `completion_tokens`."""
    cached_tokens: int | None = None
    """The part of `prompt_tokens` found in the prefix cache. None if the server does not report it (vLLM reports it if
    started with --enable-prompt-tokens-details)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawCall:
    """A tool call as the server sent it, not validated."""

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
    """None if the server sent none."""
    model: str = ""
    extra: dict[str, str] = field(default_factory=dict[str, str])
    """Other facts for the journal, such as `reasoning_field`, the name of the field that held the reasoning."""
