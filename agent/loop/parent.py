"""What a tool that runs an agent of its own needs of the run that called it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..journal.events import Event
from ..policy.budget import SharedLimits
from .family import Family


@dataclass(frozen=True, kw_only=True, slots=True)
class ParentRun:
    """The run that a tool was called by; `ToolContext.parent` holds it."""

    folder: Path | None
    """The run's own folder. None if it keeps no journal."""
    shared_limits: Callable[[], Sequence[SharedLimits]]
    """Returns the limits that the run and the runs of its tools share, with what is used of them."""
    record: Callable[[Event], None]
    family: Family
    """The runs that may work in one folder: it, those that its tools start, and the one that it was started by."""
