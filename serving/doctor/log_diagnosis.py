"""Find in a log what is wrong, root cause first; pure over lines: opens nothing, starts nothing, guesses nothing."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..capacity.sizing import EngineName
from ..engines import library_failures
from ..engines.log_patterns import LogPattern
from ..engines.log_summary import LoadSummary, StartSummary, Values, load_of, start_of
from .catalogue import CATALOGUE
from .lines import Line, read_lines
from .records import Diagnosis
from .symptom_index import SymptomIndex, recognise, symptom_index
from .symptoms import Symptom, Weight, fill, known_values
from .tracebacks import Failure, Tracebacks

_RECOGNISE_LINES = 2000
_KEPT_SOURCES = 64
"""A log of another form may look as if each line had a container of its own."""
_KEPT_FINDINGS = 200
"""A log of months may hold any number of titles, as of wrong model names; nobody reads more."""


@dataclass(frozen=True, kw_only=True)
class LogReading:
    """All that a log tells."""

    engine: EngineName | None
    """None: no line shows whose log it is."""
    diagnoses: tuple[Diagnosis, ...]
    """What is wrong, the root cause first."""
    notes: tuple[Diagnosis, ...]
    """What is not wrong, and good to know when answers disappoint."""
    start: StartSummary | None
    """Of the last start. None: the log tells nothing of one."""
    load: LoadSummary | None
    """None: the log tells of no load."""
    lines: int
    """How many lines were read."""


def diagnose(text_or_lines: str | Iterable[str], *, engine: EngineName | None = None) -> tuple[Diagnosis, ...]:
    """Name everything that is wrong, the root cause first; empty: the log shows nothing wrong.

    Of several starts in one log the last counts that came far enough to say anything. Never raises.

    Args:
        text_or_lines: the log, whole or by lines; it may begin and end anywhere. The lines are read only once.
        engine: whose log it is. None: it is recognised by its first lines.
    """
    return read_log(text_or_lines, engine=engine).diagnoses


def read_log(text_or_lines: str | Iterable[str], *, engine: EngineName | None = None) -> LogReading:
    """Read all that a log tells: what is wrong, what is good to know, and how start and load went.

    Args:
        text_or_lines: as for `diagnose`.
        engine: as for `diagnose`.
    """
    lines = iter(text_or_lines.split("\n") if isinstance(text_or_lines, str) else text_or_lines)
    if engine is None:
        first = list(itertools.islice(lines, _RECOGNISE_LINES))
        engine = recognise(first)
        lines = itertools.chain(first, lines)
    known, number = symptom_index(engine), 0
    readers: dict[str, _Reader] = {}
    for line in read_lines(lines):
        number = line.number
        # Each container's engine is one of its own: what one survives, another may have died of.
        source = line.source if line.source in readers or len(readers) < _KEPT_SOURCES else ""
        if source not in readers:
            readers[source] = _Reader(known)
        readers[source].take(line)
    told = [reader.told() for reader in readers.values()]
    return LogReading(
        engine=engine,
        diagnoses=tuple(diagnosis for one in told for diagnosis in one.diagnoses),
        notes=tuple({note.title: note for one in reversed(told) for note in one.notes}.values()),
        start=next((one.start for one in told if one.start is not None), None),
        load=next((one.load for one in told if one.load is not None), None),
        lines=number,
    )


@dataclass(kw_only=True)
class _Found:
    """One symptom, as often as it shows."""

    name: str
    symptom: Symptom
    values: dict[str, str]
    line: Line
    times: int = 0
    ranks: set[str] = field(default_factory=set[str])


@dataclass(kw_only=True)
class _Start:
    """What one start of the engine has shown so far."""

    start: Values
    load: Values
    found: dict[str, _Found] = field(default_factory=dict[str, _Found])
    tracebacks: Tracebacks = field(default_factory=Tracebacks)
    death: Line | None = None
    ready_at: int = 0
    """The line; 0: not yet."""
    stopped: bool = False
    answers: Counter[int] = field(default_factory=Counter[int])
    """HTTP statuses of chat requests."""
    refused: Line | None = None
    """The first of them that was refused."""

    def ends(self) -> bool:
        """Tell whether something was found that ends an engine."""
        return any(one.symptom.weight == "ends" for one in self.found.values())

    def become_ready(self, number: int) -> None:
        """Forget what the start survived: it did no harm."""
        if not self.ready_at:
            self.ready_at = number
            self.found = {key: one for key, one in self.found.items() if one.symptom.weight not in ("ends", "follows")}
            self.tracebacks.failures.clear()

    def over(self) -> bool:
        """Tell whether a next start may follow."""
        return bool(self.ready_at or self.death or self.ends() or self.tracebacks.failures)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What the log of one engine tells; the fields are those of `LogReading`."""

    diagnoses: tuple[Diagnosis, ...]
    notes: tuple[Diagnosis, ...]
    start: StartSummary | None
    load: LoadSummary | None


class _Reader:
    """Reads the lines of one engine, and keeps what it needs of them."""

    def __init__(self, known: SymptomIndex) -> None:
        self._known = known
        self._info_patterns = tuple(pattern for pattern in known.patterns if pattern.in_info)
        self._before: tuple[Diagnosis, ...] = ()
        self._now = self._begin()

    def told(self) -> _Told:
        """Say what was read."""
        diagnoses = self._told()
        # A start that has only just begun when the log ends says nothing yet.
        return _Told(
            diagnoses=diagnoses if diagnoses or self._now.ready_at else self._before,
            notes=tuple(self._diagnosis(one) for one in self._of("notes")),
            start=start_of(self._now.start, self._known.engine or "vllm"),
            load=load_of(self._now.load),
        )

    def _begin(self) -> _Start:
        return _Start(start=Values(self._known.start), load=Values(self._known.load))

    def take(self, line: Line) -> None:
        """Read one line."""
        if self._known.quoting.search(line.text):
            return
        if line.level in ("INFO", "DEBUG"):
            self._follow(line)
            self._search(self._info_patterns, line)
            return
        if line.level == "":
            self._follow(line)
        if self._now.tracebacks.is_frame(line):
            return
        if (
            not self._search(self._known.patterns, line)
            and not self._now.stopped
            and self._known.death.search(line.text)
        ):
            self._now.death = self._now.death or line

    def _follow(self, line: Line) -> None:
        """Read what the engine says when all goes well."""
        starting = not self._now.ready_at
        if self._known.banner.search(line.text) and self._now.over():
            # The same file was written on by another start; what the last one met is over.
            healthy = self._now.ready_at and not self._now.death
            self._before = () if healthy else self._told()
            self._now, starting = self._begin(), True
        elif self._known.ready.search(line.text):
            self._now.become_ready(line.number)
        elif self._known.stopped.search(line.text):
            self._now.stopped = True
        elif answered := library_failures.CHAT_ANSWERED.search(line.text):
            self._now.answers[int(answered["status"])] += 1
            if int(answered["status"]) >= 400:
                self._now.refused = self._now.refused or line
        if starting:
            self._now.start.take(line.text)
        else:
            self._now.load.take(line.text)

    def _search(self, patterns: tuple[LogPattern, ...], line: Line) -> bool:
        for pattern in patterns:
            goes_on = line.level == "WARNING" and CATALOGUE[pattern.symptom].weight == "ends"
            in_request = self._now.ready_at and pattern.symptom in _AT_START
            if not goes_on and not in_request and (match := pattern.regex.search(line.text)):
                self._note(pattern.symptom, known_values(match, self._known.flags), line)
                return True
        return False

    def _note(self, name: str, values: dict[str, str], line: Line) -> None:
        if self._now.ready_at and CATALOGUE[name].when_ready:
            name = CATALOGUE[name].when_ready
        symptom = CATALOGUE[name]
        if self._now.stopped and symptom.weight == "follows":
            return
        key = f"{name}\n{fill(symptom.title, values)}"
        if key not in self._now.found and len(self._now.found) == _KEPT_FINDINGS:
            return
        found = self._now.found.setdefault(key, _Found(name=name, symptom=symptom, values=values, line=line))
        found.times += 1
        if rank := _RANK.search(line.process):
            found.ranks.add(rank[0])
        self._now.tracebacks.explain(line)

    def _told(self) -> tuple[Diagnosis, ...]:
        """Say what is wrong with the start."""
        hidden = {name for one in self._now.found.values() for name in one.symptom.hides}
        if self._now.ends():
            hidden |= {one.name for one in self._now.found.values() if one.symptom.weight == "follows"}
        found = [one for weight in _TOLD for one in self._of(weight) if one.name not in hidden]
        told = (*(self._diagnosis(one) for one in found), *self._all_refused(found))
        strange = self._unknown(found)
        # What ended the engine stands first; an error that it survived stands last.
        return (*told, *strange) if self._now.ready_at and not self._now.death else (*strange, *told)

    def _of(self, weight: Weight) -> list[_Found]:
        return [one for one in self._now.found.values() if one.symptom.weight == weight]

    def _all_refused(self, found: list[_Found]) -> tuple[Diagnosis, ...]:
        """Say that no chat request was answered, where nothing else says why."""
        answers = self._now.answers
        first = self._now.refused
        told = sum(one.times for one in found if one.symptom.weight == "refuses")
        if first is None or self._now.ends() or told >= answers.total() or any(status < 400 for status in answers):
            return ()
        values = {"status": "/".join(f"{status}" for status in sorted(answers)), "n": f"{answers.total()}"}
        name = "unauthorized" if set(answers) == {401} else "all_refused"
        return (self._diagnosis(_Found(name=name, symptom=CATALOGUE[name], values=values, line=first, times=1)),)

    def _diagnosis(self, one: _Found) -> Diagnosis:
        return Diagnosis(
            symptom=one.name,
            title=fill(one.symptom.title, one.values),
            cause=fill(one.symptom.cause, one.values),
            evidence=one.line.text.strip(),
            line=one.line.number,
            fix=fill(one.symptom.fix_for(self._known.engine), one.values),
            fatal=one.symptom.again,
            times=one.times,
            ranks=len(one.ranks),
        )

    def _unknown(self, found: list[_Found]) -> tuple[Diagnosis, ...]:
        """Show the first error that no symptom is known for, if something ended of it or may still."""
        if self._now.ends():
            return ()
        failures = (one for one in self._now.tracebacks.failures if self._tells(one))
        first = next((one for one in failures if not one.explained), None)
        if first is not None:
            return (_strange(first.text, first.line),)
        if self._now.death is not None and not any(one.symptom.weight == "follows" for one in found):
            return (_strange(self._now.death.text, self._now.death.number),)
        return ()

    def _tells(self, failure: Failure) -> bool:
        return not self._known.death.search(failure.text) and not _CONSEQUENCE.match(failure.text)


def _strange(text: str, line: int) -> Diagnosis:
    return Diagnosis(
        symptom="unknown",
        title="An error that the doctor does not know",
        cause="",
        evidence=text.strip(),
        line=line,
        fix=f"Read the log from line {line} upwards: what led there stands above it.",
        fatal=False,
    )


# Later a request met them: a picture that is not there. Of json_broken the catalogue knows that by itself.
_AT_START = library_failures.GENERAL - {"json_broken"}
_TOLD: tuple[Weight, ...] = ("ends", "follows", "refuses", "harms")
_RANK = re.compile(r"(?:TP|rank=?)\d+")
_CONSEQUENCE = re.compile(
    r"Exception in ASGI application|"
    r"(?:\w+\.)*(?:ClientDisconnect|KeyboardInterrupt|SystemExit|CancelledError|GeneratorExit|BrokenPipeError)\b"
)
