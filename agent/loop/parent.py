"""What a tool that runs an agent of its own needs of the run that called it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..journal.events import Event
from ..policy.limits import Limits


@dataclass(frozen=True, kw_only=True, slots=True)
class ParentRun:
    """The run that a tool was called by; `ToolContext.parent` holds it."""

    folder: Path | None
    """The run's own folder. None if it keeps no journal."""
    limits_left: Callable[[], Limits]
    """Returns the limits of what the run may still use."""
    record: Callable[[Event], None]
