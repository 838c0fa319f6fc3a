"""Define the progress records of an engine's start; renders nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["installing", "importing", "loading weights", "warming up", "first answer", "ready", "restarting"]
"""The phases of a start, in order. `restarting`: the engine died; the phases begin again after a delay."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One progress report of a running start."""

    phase: Phase
    elapsed_s: float
    """Seconds since `Engine.start` was called."""
    detail: str
    """One line to show: what is happening now."""


OnProgress = Callable[[Progress], None]
"""Receives progress reports; called in the thread of the start, at most a few times per second."""

OnDetail = Callable[[Phase, str], None]
"""Internal form of `OnProgress`, without the elapsed time."""
