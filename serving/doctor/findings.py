"""The state of one start of an engine while its log is read: findings, failures and milestones; judges nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..engines.log_summary import Values
from .lines import Line
from .start_watch import StartWatch
from .symptom_index import SymptomIndex
from .symptoms import Symptom
from .tracebacks import Tracebacks

MAX_FINDINGS = 200
"""A log of months may hold any number of titles, such as one for each wrong model name."""


@dataclass(kw_only=True)
class Finding:
    """One symptom and all its occurrences."""

    name: str
    symptom: Symptom
    values: Mapping[str, str]
    line: Line
    times: int = 0
    ranks: set[str] = field(default_factory=set[str])


@dataclass(kw_only=True)
class Start:
    """What the lines of one start of the engine have shown so far."""

    start: Values
    load: Values
    tracebacks: Tracebacks
    watch: StartWatch
    found: dict[str, Finding] = field(default_factory=dict[str, Finding])
    suspects: dict[str, Finding] = field(default_factory=dict[str, Finding])
    """Symptoms by name that are no problem by themselves: warnings, and errors of single requests."""
    death: Line | None = None
    """The first line that reports that the engine, or a process of it, ended."""
    ready_at: int = 0
    """Line number. 0 means not ready yet."""
    stopped: bool = False
    answers: Counter[int] = field(default_factory=Counter[int])
    """HTTP statuses of chat requests."""
    refused: Line | None = None
    """The first refused chat request."""

    @staticmethod
    def of(index: SymptomIndex) -> "Start":
        """Return the state before the first line of a start."""
        return Start(
            start=Values(index.start),
            load=Values(index.load),
            tracebacks=Tracebacks(end=index.death),
            watch=StartWatch(engine=index.engine),
        )

    @property
    def ended(self) -> bool:
        """Whether the errors so far ended the engine or its start."""
        return not self.ready_at or self.death is not None

    def is_starting(self) -> bool:
        """Return whether the log shows a start that is not ready yet."""
        return bool(self.start) and not self.ready_at

    def ended_by_symptom(self) -> bool:
        """Return whether a symptom was found that ends an engine."""
        return any(one.symptom.severity == "stops" for one in self.found.values())

    def become_ready(self, number: int) -> None:
        """Drop the errors that the start survived."""
        if not self.ready_at:
            self.ready_at = number
            survived = ("stops", "follows")
            self.found = {key: one for key, one in self.found.items() if one.symptom.severity not in survived}
            self.suspects.clear()
            self.tracebacks.failures.clear()

    def note_answer(self, status: int, line: Line) -> None:
        """Record the answer to a chat request."""
        self.answers[status] += 1
        if status >= 400:
            self.refused = self.refused or line
        else:
            # The worker that did not respond has answered since: it was compiling.
            self.found = {key: one for key, one in self.found.items() if one.name != "worker_hangs"}

    def is_over(self) -> bool:
        """Return whether a banner that follows belongs to a new start."""
        return bool(self.ready_at or self.death or self.ended_by_symptom() or self.tracebacks.failures)
