"""Watch that each prompt goes on from the one before it, so that the engine finds that one in its cache; pure.

Where a prompt does not, an intended change is the reason, and what it cost is recorded. Any other difference is a fault
of this library, and is recorded as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..journal.events import (
    Adapted,
    ContextRenewed,
    Event,
    Folded,
    Loosened,
    PrefixChanged,
    Replied,
    Requested,
    Resumed,
)
from ..journal.prefix_events import Because
from ..messages import Effort
from ..model.history import History
from ..model.profiles import Profile
from .window import estimated_usage, likely_tokens

_IN_THE_PROMPT = frozenset({"effort", "images", "strict", "system"})
"""Fields of `Surface` that change what the engine reads, and not only how it answers."""
_BEFORE_THE_MESSAGES = frozenset({"effort", "server"})
"""Reasons that change what is before the messages: the tools, the effort."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sent:
    """A request, as far as the next one may differ from it."""

    messages: Sequence[bytes]
    effort: Effort | None
    likely_tokens: int
    is_known: bool
    """False if the journal, read again, makes another conversation of it than was sent."""


class Prefix:
    """Compares each request of a run with the last one that got a reply."""

    def __init__(self) -> None:
        self.unrecorded: PrefixChanged | None = None
        """What the last request read again, while it is not recorded yet."""
        self._because: dict[Because, None] = {}
        """What has changed since the last reply."""
        self._first_message = 0
        self._answered: _Sent | None = None
        self._sent: _Sent | None = None

    def apply(self, event: Event, history: History, profile: Profile) -> None:
        """Update with one event; history and profile are as they were before it."""
        match event:
            case Requested():
                self._requested(event, history, profile)
            case Replied():
                self._replied(event)
            case PrefixChanged():
                self.unrecorded = None
            case Folded():
                self._because["fold"] = None
            case ContextRenewed():
                self._because["renewal"] = None
            case Resumed():
                self._because["resume"] = None
            case Loosened():
                self._because["server"] = None
            case Adapted() if event.surface.keys() & _IN_THE_PROMPT:
                self._because["server"] = None
            case _:
                pass

    def _requested(self, event: Requested, history: History, profile: Profile) -> None:
        self.unrecorded = None
        self._sent = now = _Sent(
            messages=tuple(history.wire),
            effort=event.effort if profile.takes_effort and profile.surface.effort else None,
            likely_tokens=likely_tokens(event),
            is_known=event.digest in {"", history.digest()},
        )
        before = self._answered
        if before is None:
            return
        self._first_message = _first_difference(before.messages, now.messages)
        if now.effort != before.effort:
            self._because["effort"] = None
        is_continued = self._first_message == len(before.messages)
        if not before.is_known or not (is_continued or self._because):
            self._because["unknown"] = None

    def _replied(self, event: Replied) -> None:
        if self._answered is not None and self._sent is not None and self._because:
            usage = event.reply.usage or estimated_usage(event, self._sent.likely_tokens)
            cached = usage.cached_tokens
            self.unrecorded = PrefixChanged(
                step=event.step,
                because=tuple(self._because),
                first_message=0 if self._because.keys() & _BEFORE_THE_MESSAGES else self._first_message,
                effort=self._sent.effort,
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=cached or 0,
                prefilled_tokens=usage.prompt_tokens - (cached or 0),
                source="estimate" if cached is None else "engine",
            )
        self._because = {}
        self._answered = self._sent


def _first_difference(before: Sequence[bytes], now: Sequence[bytes]) -> int:
    """Return the index of the first message that is not as before; their number if all of them are."""
    for index, message in enumerate(before):
        if index >= len(now) or (message is not now[index] and message != now[index]):
            return index
    return len(before)
