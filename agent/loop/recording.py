"""Record events: to the journal first, then to the state, then to the observer."""

from __future__ import annotations

from collections.abc import Callable

from ..journal.events import ContextRenewed, Event, FilesChanged, Replied, RunEnded, TurnTaken
from ..journal.journal import Journal, JournalWriteError
from ..journal.redacted import redacted_event
from .state import RunState

_AS_THEY_ARE = Replied | TurnTaken | FilesChanged | ContextRenewed
"""Events that the run goes on with: calls are executed as the model wrote them, files have the names that they have."""


def recorder(
    state: RunState, journal: Journal | None, observe: Callable[[Event], None] | None, redact: Callable[[str], str]
) -> Callable[[Event], None]:
    """Return the function that records one event; the journal and the observer get it without secrets.

    It raises JournalWriteError if the event cannot be written; the event is then dropped, but for the end of a run that
    failed for this reason.
    """

    def record(event: Event) -> None:
        shown = redacted_event(event, redact)
        if journal is not None:
            try:
                journal.write(shown)
            except JournalWriteError:
                if not isinstance(event, RunEnded) or event.status != "error":
                    raise
        state.apply(event if isinstance(event, _AS_THEY_ARE) else shown)
        if observe is not None:
            observe(shown)

    return record
