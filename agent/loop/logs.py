"""Log the events of a run by Python's logging, below the logger `tramontane`; quiet unless a program sets it up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ..journal.events import (
    Adapted,
    CallEnded,
    Event,
    Loosened,
    Moved,
    Noticed,
    Resumed,
    Retried,
    RunEnded,
    RunStarted,
    Triggered,
    VerifyEnded,
)

LOGGER = logging.getLogger("tramontane.run")
logging.getLogger("tramontane").addHandler(logging.NullHandler())


def log_event(run: str, event: Event) -> None:
    """Log one event: start, end and verification as INFO, retries and notices as WARNING, calls as DEBUG.

    A call whose tool raised something else than a ToolError is a WARNING, and its traceback follows as DEBUG.
    """
    if isinstance(event, CallEnded) and event.traceback:
        raised = event.result.content.removeprefix("Error: ").partition("\n")[0]
        LOGGER.warning("%s: the tool %s raised %s", run, event.result.name, raised)
        LOGGER.debug("%s: %s", run, event.traceback)
    level, text = _LINES.get(type(event), (logging.NOTSET, None))
    if text is not None and LOGGER.isEnabledFor(level):
        LOGGER.log(level, "%s: %s", run, text(event))


def _ended(event: RunEnded) -> str:
    return f"{event.status} after {event.spent.steps} steps and {event.spent.wall_s:.1f} s: {event.reason}"


_LINES: Mapping[type, tuple[int, Callable[[Any], str]]] = {
    RunStarted: (logging.INFO, lambda event: f"started with {event.model} at {event.base_url}"),
    Resumed: (logging.INFO, lambda _: "resumed"),
    RunEnded: (logging.INFO, _ended),
    VerifyEnded: (
        logging.INFO,
        lambda event: f"verification {'passed' if event.ok else 'failed'} in {event.elapsed_s:.1f} s",
    ),
    Moved: (logging.INFO, lambda event: f"moved to rung {event.rung}, effort {event.effort}"),
    Retried: (
        logging.WARNING,
        lambda event: f"attempt {event.attempt} failed, next in {event.wait_s:g} s: {event.reason}",
    ),
    Noticed: (logging.WARNING, lambda event: event.text),
    Loosened: (logging.WARNING, lambda event: event.notice),
    Adapted: (logging.WARNING, lambda event: event.notice),
    Triggered: (logging.DEBUG, lambda event: f"{event.trigger}: {event.reason}"),
    CallEnded: (
        logging.DEBUG,
        lambda event: f"{event.result.name} {event.result.status} in {event.elapsed_s:.2f} s",
    ),
}
