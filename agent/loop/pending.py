"""What a run has decided and not yet carried out, so that a killed one goes on in the middle of a step; only data."""

from __future__ import annotations

from dataclasses import dataclass

from ..journal.events import VerifyEnded
from ..policy.escalation import Move
from ..policy.ladder import Trigger


@dataclass(frozen=True, kw_only=True, slots=True)
class Worked:
    """A step brought something new; the ladder has not heard of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Something went wrong; the ladder has not heard of it."""

    trigger: Trigger
    reason: str
    say: str = ""
    """What to tell the model, unless its context is renewed. Empty: nothing, its history says it already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The verification ended; what follows from it is open."""

    found: VerifyEnded


@dataclass(frozen=True, kw_only=True, slots=True)
class Moving:
    """The ladder has named another rung; nobody has gone there."""

    move: Move
    reason: str
    say: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewing:
    """The context is to start anew."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Saying:
    """The model is to be told something."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopping:
    """The ladder is used up."""

    trigger: Trigger
    reason: str


Due = Worked | Failed | Verdict | Moving | Renewing | Saying | Stopping
