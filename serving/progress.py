"""Say how far a start has come, as records; renders nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["installing", "importing", "loading weights", "warming up", "first answer", "ready", "restarting"]
"""The parts of a start, in the order in which they happen. `restarting`: it died, and they begin anew after a while."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One fact about a start that is under way."""

    phase: Phase
    """Which part of the start this belongs to."""
    elapsed_s: float
    """Seconds since `Engine.start` was called."""
    detail: str
    """One line for people: what happens now, with what is known of it."""


OnProgress = Callable[[Progress], None]
"""Who listens: called in the thread of the start, a few times a second at most."""

OnDetail = Callable[[Phase, str], None]
"""Inside serving: as `OnProgress`, before the clock is added."""
