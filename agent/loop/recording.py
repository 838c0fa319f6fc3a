"""Record events: to the journal first, then to the state, then to the log and the observer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from ..journal.events import (
    BranchTaken,
    ContextRenewed,
    Event,
    FilesChanged,
    Replied,
    RunEnded,
    RunStarted,
    TurnTaken,
)
from ..journal.journal import Journal, JournalWriteError
from ..journal.redacted import redacted_event
from .logs import log_event
from .state import RunState
from .watching import Watcher

_AS_THEY_ARE = Replied | TurnTaken | FilesChanged | ContextRenewed | BranchTaken
"""Events that the run goes on with: calls are executed as the model wrote them, files have the names that they have."""


def recorder(
    state: RunState, journal: Journal | None, watcher: Watcher, redact: Callable[[str], str]
) -> Callable[[Event], None]:
    """Return the function that records one event; journal, log and observer get it without secrets.

    It raises JournalWriteError if the event cannot be written, and CallbackError if the observer has raised before; the
    event is then dropped, but for the end of a run that failed for this reason.
    """

    def record(event: Event) -> None:
        is_failure = isinstance(event, RunEnded) and event.status == "error"
        if not is_failure:
            watcher.check()
        if not isinstance(event, RunStarted):
            event = replace(event, at=datetime.now(UTC).isoformat(timespec="milliseconds"))
        shown = redacted_event(event, redact)
        if journal is not None:
            try:
                journal.write(shown)
            except JournalWriteError:
                if not is_failure:
                    raise
        state.apply(event if isinstance(event, _AS_THEY_ARE) else shown)
        log_event(state.started.run, shown)
        watcher.show(shown)

    return record
