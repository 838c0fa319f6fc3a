"""The final value of a run, and the exit code that stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import JsonValue

from ..errors import RunFailed
from ..journal.events import Status
from ..messages import Message
from ..policy.budget import Spent

EXIT_CODES: Mapping[Status, int] = MappingProxyType(
    {"verified": 0, "finished": 0, "verify_failed": 1, "error": 2, "budget": 3, "stuck": 4, "interrupted": 130}
)
"""Exit codes of `agent run`; 2 also stands for a wrong task, configuration or endpoint before the run began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run came to; every run that began has one, whatever happened in it."""

    outcome: Status
    reason: str
    """One sentence, or the last output of a failed verification."""
    answer: str
    """The model's last words; may be empty."""
    output: JsonValue
    """The structured result. None: none was asked for, or it never came."""
    steps: int
    """Requests whose reply arrived."""
    usage: Spent
    run: str
    """The run's name, as `agent show` and `--resume` take it."""
    journal: Path | None
    """None: none was kept."""
    notices: tuple[str, ...]
    """What the user should know about the server, each said once."""
    messages: tuple[Message, ...]
    """The conversation as the model saw it last."""

    @property
    def ok(self) -> bool:
        return EXIT_CODES[self.outcome] == 0

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]

    def raise_for_status(self) -> Outcome:
        """Return this outcome if it is `verified` or `finished`.

        Raises:
            RunFailed: it is not.
        """
        if not self.ok:
            raise RunFailed(self.outcome, self.reason)
        return self
