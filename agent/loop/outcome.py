"""The outcome of a run, and the exit codes of `agent run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import JsonValue

from ..errors import RunFailed
from ..journal.events import RunEnded, Status
from ..journal.redacted import redacted_record
from ..messages import Message
from ..policy.budget import Spent
from .state import RunState

EXIT_CODES: Mapping[Status, int] = MappingProxyType(
    {"verified": 0, "finished": 0, "verify_failed": 1, "error": 2, "budget": 3, "stuck": 4, "interrupted": 130}
)
"""Exit codes of `agent run`; 2 also means an invalid task, configuration or endpoint before the run started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome of a run. Every run that started has one, even if it failed."""

    outcome: Status
    reason: str
    """Why the run ended; after a failed verification, with its last output."""
    answer: str
    """The model's last text; may be empty."""
    output: JsonValue
    """The structured result. None if none was requested, or the model gave none."""
    steps: int
    """Number of requests that got a reply."""
    usage: Spent
    run: str
    """Name of the run, for `agent show` and `--resume`."""
    journal: Path | None
    """None means no journal was written."""
    notices: tuple[str, ...]
    """Notices for the user, without duplicates."""
    messages: tuple[Message, ...]
    """The conversation at the end of the run."""

    @property
    def ok(self) -> bool:
        return EXIT_CODES[self.outcome] == 0

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]

    def raise_for_status(self) -> Outcome:
        """Return this outcome if it is `verified` or `finished`.

        Raises:
            RunFailed: The outcome is another one.
        """
        if not self.ok:
            raise RunFailed(self.outcome, self.reason)
        return self


def outcome_of(
    state: RunState, ended: RunEnded, journal: Path | None, notices: Sequence[str], redact: Callable[[str], str]
) -> Outcome:
    """Return the outcome of a run that has ended.

    Args:
        state: of the run.
        ended: its last event.
        journal: its file. None means that none was written.
        notices: those that came after its end.
        redact: removes secrets from a text.
    """
    return Outcome(
        outcome=ended.status,
        reason=ended.reason,
        answer=ended.answer,
        output=ended.output,
        steps=ended.spent.steps,
        usage=ended.spent,
        run=state.started.run,
        journal=journal,
        notices=(*sorted(state.notices), *notices),
        messages=redacted_record(tuple(state.history.messages), redact),
    )
