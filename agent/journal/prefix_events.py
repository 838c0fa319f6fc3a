"""Event records of what changes the beginning of the next prompt, which the engine then reads again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..messages import Effort, Usage, UserMessage
from .turn_events import Timed

Because = Literal["effort", "fold", "renewal", "server", "resume", "unknown"]
"""What changed the beginning of a prompt: another effort, results that were folded, a new conversation, another form
that the server asked for, another process or server. `unknown` is a fault of this library."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefixChanged(Timed):
    """A prompt did not go on from the prompt before it: why, from where on, and what the engine read again."""

    step: int
    because: tuple[Because, ...] = ("effort",)
    first_message: int = 0
    """Index of the first message that changed, 0 if what comes before the messages did; all of them if none did."""
    effort: Effort | None
    """Of this request."""
    prompt_tokens: int
    cached_tokens: int
    prefilled_tokens: int
    """`prompt_tokens - cached_tokens`."""
    source: Literal["engine", "estimate"]
    """`engine` if the server reported cached tokens; `estimate` if not, and all tokens count as prefilled."""
    kind: Literal["prefix_changed", "effort_switched"] = "prefix_changed"
    """Earlier versions recorded effort switches only, as `effort_switched`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextRenewed(Timed):
    """The conversation was restarted with a summary."""

    step: int
    prompt: UserMessage
    restored: tuple[str, ...]
    """Paths restored from the snapshot."""
    patch: str = ""
    """File in the workspace that holds the changes which were restored away. Empty if there were none."""
    conflicts: tuple[str, ...] = ()
    """Paths that were not restored, because something else may have changed them."""
    is_tight: bool = False
    """Whether the summary is as short as it can be, because a longer one did not fit."""
    kind: Literal["context_renewed"] = "context_renewed"


@dataclass(frozen=True, kw_only=True, slots=True)
class SummedUp(Timed):
    """The model was asked to sum up the conversation, which is renewed next because it filled the window."""

    step: int
    text: str
    """What it wrote. Empty if it wrote nothing that can be used; the new conversation then does without."""
    why_not: str = ""
    """Why there is no text."""
    usage: Usage | None = None
    """Of the request. None if it got no reply, or the server reports none."""
    elapsed_s: float = 0.0
    kind: Literal["summed_up"] = "summed_up"


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded(Timed):
    """The oldest results gave way to a line each, and older reasoning was dropped, because the window was full."""

    step: int
    lines: Mapping[str, str]
    """By call id, what stands in place of the result."""
    first_message: int
    """Index of the first message that changed; the engine finds those before it in its cache."""
    freed_tokens: int
    """Estimated."""
    reasoning_before: int = 0
    """Index of the message before which no turn has its reasoning any more."""
    prefilled_tokens: int
    """What the engine reads again; estimated. The event `prefix_changed` has its own count."""
    kind: Literal["folded"] = "folded"
