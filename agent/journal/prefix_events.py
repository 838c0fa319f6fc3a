"""Event records of what changes the beginning of the next prompt, which the engine then reads again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..messages import Effort, UserMessage
from .turn_events import Timed


@dataclass(frozen=True, kw_only=True, slots=True)
class EffortSwitched(Timed):
    """Cost of the first request after an effort switch: tokens that the engine had to prefill again."""

    step: int
    effort: Effort | None
    prompt_tokens: int
    cached_tokens: int
    prefilled_tokens: int
    """`prompt_tokens - cached_tokens`."""
    source: Literal["engine", "estimate"]
    """`engine` if the server reported cached tokens; `estimate` if not, and all tokens count as prefilled."""
    kind: Literal["effort_switched"] = "effort_switched"


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
    kind: Literal["context_renewed"] = "context_renewed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded(Timed):
    """The oldest results gave way to a line each, because the conversation filled the window."""

    step: int
    lines: Mapping[str, str]
    """By call id, what stands in place of the result."""
    first_message: int
    """Index of the first message that changed; the engine finds those before it in its cache."""
    freed_tokens: int
    """Estimated."""
    prefilled_tokens: int
    """What the engine reads again; estimated."""
    kind: Literal["folded"] = "folded"
