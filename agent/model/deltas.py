"""Parts of a reply while it streams; shown to who watches a run, never recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    at: str = field(default_factory=_now, compare=False)
    """Date and time at which it arrived, ISO 8601 with milliseconds, UTC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningDelta(_Part):
    """The next part of the reasoning; after a `Retried`, discard what was shown of that reply."""

    text: str
    kind: Literal["reasoning_delta"] = "reasoning_delta"


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDelta(_Part):
    """The next part of the text; after a `Retried`, discard what was shown of that reply."""

    text: str
    kind: Literal["text_delta"] = "text_delta"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallDelta(_Part):
    """The next part of a tool call, not checked yet; after a `Retried`, discard what was shown of that reply."""

    index: int
    """Number of the call in the reply, from 0."""
    name: str
    """Empty in the later parts of a call."""
    arguments: str
    """The next part of the JSON text."""
    kind: Literal["call_delta"] = "call_delta"


Delta = ReasoningDelta | TextDelta | CallDelta
