"""Find what is wrong in an engine's log, root cause first; pure over the lines, opens no file."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..capacity.sizing import EngineName
from ..engines import library_failures
from ..engines.log_patterns import LogPattern
from ..engines.log_summary import LoadSummary, StartSummary, Values, load_summary_of, start_summary_of
from .catalogue import CATALOGUE
from .lines import Line, read_lines
from .records import Diagnosis
from .symptom_index import SymptomIndex, detect_engine, symptom_index
from .symptoms import Severity, Symptom, fill, match_values
from .tracebacks import Failure, Tracebacks

_DETECTION_LINES = 2000
_MAX_SOURCES = 64
"""In a log of an unknown form each line may seem to come from a container of its own."""
_MAX_FINDINGS = 200
"""A log of months may hold any number of titles, such as one for each wrong model name."""


@dataclass(frozen=True, kw_only=True)
class LogReading:
    """Everything read from a log."""

    engine: EngineName | None
    """None if no line shows which engine wrote the log."""
    diagnoses: tuple[Diagnosis, ...]
    """What is wrong, the root cause first."""
    notes: tuple[Diagnosis, ...]
    """What is not wrong, but useful when answers disappoint."""
    start: StartSummary | None
    """Of the last start. None if the log shows no start."""
    load: LoadSummary | None
    """None if the log shows no load."""
    lines: int
    """Number of lines read."""


def diagnose(text_or_lines: str | Iterable[str], *, engine: EngineName | None = None) -> tuple[Diagnosis, ...]:
    """Return everything that is wrong, the root cause first; empty if the log shows nothing wrong.

    If the log contains several starts, the last one that got far enough to show anything counts. Never raises.

    Args:
        text_or_lines: the log, whole or by lines; it may begin and end anywhere. The lines are read only once.
        engine: the engine that wrote the log. None means that it is detected from the first lines.
    """
    return read_log(text_or_lines, engine=engine).diagnoses


def read_log(text_or_lines: str | Iterable[str], *, engine: EngineName | None = None) -> LogReading:
    """Read a whole log: what is wrong, what is worth noting, and how the start and the load went.

    Args:
        text_or_lines: as for `diagnose`.
        engine: as for `diagnose`.
    """
    lines = iter(text_or_lines.split("\n") if isinstance(text_or_lines, str) else text_or_lines)
    if engine is None:
        first = list(itertools.islice(lines, _DETECTION_LINES))
        engine = detect_engine(first)
        lines = itertools.chain(first, lines)
    index, number = symptom_index(engine), 0
    readers: dict[str, _EngineReader] = {}
    for line in read_lines(lines):
        number = line.number
        # Each container runs its own engine: an error that one survives may have ended another.
        source = line.source if line.source in readers or len(readers) < _MAX_SOURCES else ""
        if source not in readers:
            readers[source] = _EngineReader(index)
        readers[source].read(line)
    readings = [reader.result() for reader in readers.values()]
    return LogReading(
        engine=engine,
        diagnoses=tuple(diagnosis for one in readings for diagnosis in one.diagnoses),
        notes=tuple({note.title: note for one in reversed(readings) for note in one.notes}.values()),
        start=next((one.start for one in readings if one.start is not None), None),
        load=next((one.load for one in readings if one.load is not None), None),
        lines=number,
    )


@dataclass(kw_only=True)
class _Finding:
    """One symptom and all its occurrences."""

    name: str
    symptom: Symptom
    values: dict[str, str]
    line: Line
    times: int = 0
    ranks: set[str] = field(default_factory=set[str])


@dataclass(kw_only=True)
class _Start:
    """What the lines of one start of the engine have shown so far."""

    start: Values
    load: Values
    found: dict[str, _Finding] = field(default_factory=dict[str, _Finding])
    tracebacks: Tracebacks = field(default_factory=Tracebacks)
    death: Line | None = None
    ready_at: int = 0
    """Line number. 0 means not ready yet."""
    stopped: bool = False
    answers: Counter[int] = field(default_factory=Counter[int])
    """HTTP statuses of chat requests."""
    refused: Line | None = None
    """The first refused chat request."""

    def ended_by_symptom(self) -> bool:
        """Return whether a symptom was found that ends an engine."""
        return any(one.symptom.severity == "stops" for one in self.found.values())

    def become_ready(self, number: int) -> None:
        """Drop the errors that the start survived."""
        if not self.ready_at:
            self.ready_at = number
            survived = ("stops", "follows")
            self.found = {key: one for key, one in self.found.items() if one.symptom.severity not in survived}
            self.tracebacks.failures.clear()

    def is_over(self) -> bool:
        """Return whether a banner that follows belongs to a new start."""
        return bool(self.ready_at or self.death or self.ended_by_symptom() or self.tracebacks.failures)


@dataclass(frozen=True, kw_only=True)
class _EngineReading:
    """What the log of one engine shows; the fields are those of `LogReading`."""

    diagnoses: tuple[Diagnosis, ...]
    notes: tuple[Diagnosis, ...]
    start: StartSummary | None
    load: LoadSummary | None


class _EngineReader:
    """Reads the lines of one engine; keeps the findings and values, not the lines."""

    def __init__(self, index: SymptomIndex) -> None:
        self._index = index
        self._info_patterns = tuple(pattern for pattern in index.patterns if pattern.in_info)
        self._previous: tuple[Diagnosis, ...] = ()
        self._now = self._new_start()

    def result(self) -> _EngineReading:
        """Return what the lines so far have shown."""
        diagnoses = self._diagnoses()
        # A start that had only just begun when the log ended shows nothing yet.
        return _EngineReading(
            diagnoses=diagnoses if diagnoses or self._now.ready_at else self._previous,
            notes=tuple(self._diagnosis(one) for one in self._with_severity("note")),
            start=start_summary_of(self._now.start, self._index.engine or "vllm"),
            load=load_summary_of(self._now.load),
        )

    def _new_start(self) -> _Start:
        return _Start(start=Values(self._index.start), load=Values(self._index.load))

    def read(self, line: Line) -> None:
        """Read one line."""
        if self._index.quoting.search(line.text):
            return
        if line.level in ("INFO", "DEBUG"):
            self._read_progress(line)
            self._search(self._info_patterns, line)
            return
        if line.level == "":
            self._read_progress(line)
        if self._now.tracebacks.read(line):
            return
        found = self._search(self._index.patterns, line)
        if not found and not self._now.stopped and self._index.death.search(line.text):
            self._now.death = self._now.death or line

    def _read_progress(self, line: Line) -> None:
        """Read what the engine logs in normal operation: its start, its end, requests and values."""
        starting = not self._now.ready_at
        if self._index.banner.search(line.text) and self._now.is_over():
            # Another start appended to the same file; the findings of the previous one no longer apply.
            healthy = self._now.ready_at and not self._now.death
            self._previous = () if healthy else self._diagnoses()
            self._now, starting = self._new_start(), True
        elif self._index.ready.search(line.text):
            self._now.become_ready(line.number)
        elif self._index.stopped.search(line.text):
            self._now.stopped = True
        elif answered := library_failures.CHAT_ANSWERED.search(line.text):
            self._now.answers[int(answered["status"])] += 1
            if int(answered["status"]) >= 400:
                self._now.refused = self._now.refused or line
        (self._now.start if starting else self._now.load).read(line.text)

    def _search(self, patterns: tuple[LogPattern, ...], line: Line) -> bool:
        for pattern in patterns:
            survived = line.level == "WARNING" and CATALOGUE[pattern.symptom].severity == "stops"
            in_request = self._now.ready_at and pattern.symptom in _START_ONLY
            if not survived and not in_request and (match := pattern.regex.search(line.text)):
                self._add(pattern.symptom, match_values(match, self._index.flags), line)
                return True
        return False

    def _add(self, name: str, values: dict[str, str], line: Line) -> None:
        if self._now.ready_at and CATALOGUE[name].when_ready:
            name = CATALOGUE[name].when_ready
        symptom = CATALOGUE[name]
        if self._now.stopped and symptom.severity == "follows":
            return
        key = f"{name}\n{fill(symptom.title, values)}"
        if key not in self._now.found and len(self._now.found) == _MAX_FINDINGS:
            return
        found = self._now.found.setdefault(key, _Finding(name=name, symptom=symptom, values=values, line=line))
        found.times += 1
        if rank := _RANK.search(line.process):
            found.ranks.add(rank[0])
        self._now.tracebacks.mark_explained(line)

    def _diagnoses(self) -> tuple[Diagnosis, ...]:
        """Return what is wrong with the current start."""
        hidden = {name for one in self._now.found.values() for name in one.symptom.hides}
        if self._now.ended_by_symptom():
            hidden |= {one.name for one in self._now.found.values() if one.symptom.severity == "follows"}
        found = [one for severity in _PROBLEMS for one in self._with_severity(severity) if one.name not in hidden]
        known = (*(self._diagnosis(one) for one in found), *self._all_refused(found))
        unknown = self._unexplained(found)
        # An unknown error comes first if it ended the engine, and last if the engine survived it.
        return (*known, *unknown) if self._now.ready_at and not self._now.death else (*unknown, *known)

    def _with_severity(self, severity: Severity) -> list[_Finding]:
        return [one for one in self._now.found.values() if one.symptom.severity == severity]

    def _all_refused(self, found: list[_Finding]) -> tuple[Diagnosis, ...]:
        """Diagnose that every chat request was refused, unless other findings explain it."""
        answers = self._now.answers
        first = self._now.refused
        explained = sum(one.times for one in found if one.symptom.severity == "refuses")
        if first is None or self._now.ended_by_symptom() or explained >= answers.total() or min(answers) < 400:
            return ()
        values = {"status": "/".join(f"{status}" for status in sorted(answers)), "n": f"{answers.total()}"}
        name = "unauthorized" if set(answers) == {401} else "all_refused"
        return (self._diagnosis(_Finding(name=name, symptom=CATALOGUE[name], values=values, line=first, times=1)),)

    def _diagnosis(self, one: _Finding) -> Diagnosis:
        return Diagnosis(
            symptom=one.name,
            title=fill(one.symptom.title, one.values),
            cause=fill(one.symptom.cause, one.values),
            evidence=one.line.text.strip(),
            line=one.line.number,
            fix=fill(one.symptom.fix_for(self._index.engine), one.values),
            fatal=one.symptom.recurs,
            times=one.times,
            ranks=len(one.ranks),
        )

    def _unexplained(self, found: list[_Finding]) -> tuple[Diagnosis, ...]:
        """Return the first error without a known symptom, if no known symptom stopped the engine."""
        if self._now.ended_by_symptom():
            return ()
        failures = (one for one in self._now.tracebacks.failures if self._is_cause(one))
        first = next((one for one in failures if not one.explained), None)
        if first is not None:
            return (_unknown(first.text, first.line),)
        if self._now.death is not None and not any(one.symptom.severity == "follows" for one in found):
            return (_unknown(self._now.death.text, self._now.death.number),)
        return ()

    def _is_cause(self, failure: Failure) -> bool:
        return not self._index.death.search(failure.text) and not _CONSEQUENCE.match(failure.text)


def _unknown(text: str, line: int) -> Diagnosis:
    return Diagnosis(
        symptom="unknown",
        title="An error unknown to the doctor",
        cause="",
        evidence=text.strip(),
        line=line,
        fix=f"Read the log upwards from line {line}: the lines above it show what led to the error.",
        fatal=False,
    )


# After the start, a request caused them, such as one for a missing image. `json_broken` has `when_ready` for that.
_START_ONLY = library_failures.GENERAL - {"json_broken"}
_PROBLEMS: tuple[Severity, ...] = ("stops", "follows", "refuses", "degrades")
_RANK = re.compile(r"(?:TP|rank=?)\d+")
_CONSEQUENCE = re.compile(
    r"Exception in ASGI application|"
    r"(?:\w+\.)*(?:ClientDisconnect|KeyboardInterrupt|SystemExit|CancelledError|GeneratorExit|BrokenPipeError)\b"
)
