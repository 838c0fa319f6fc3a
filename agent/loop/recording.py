"""Record events: to the journal first, then to the state, then to the observer."""

from __future__ import annotations

from collections.abc import Callable

from ..journal.events import Event, RunEnded
from ..journal.journal import Journal, JournalWriteError
from .state import RunState


def recorder(
    state: RunState, journal: Journal | None, observe: Callable[[Event], None] | None
) -> Callable[[Event], None]:
    """Return the function that records one event.

    It raises JournalWriteError if the event cannot be written; the event is then dropped, but for the end of a run that
    failed for this reason.
    """

    def record(event: Event) -> None:
        if journal is not None:
            try:
                journal.write(event)
            except JournalWriteError:
                if not isinstance(event, RunEnded) or event.status != "error":
                    raise
        state.apply(event)
        if observe is not None:
            observe(event)

    return record
