"""Read the lines of one engine, start by start; keeps findings and values, not the lines."""

import re
from dataclasses import dataclass

from ..engines import build_failures, library_failures
from ..engines.log_patterns import LogPattern
from ..engines.log_summary import LoadSummary, StartSummary, load_summary_of, start_summary_of
from .catalogue import CATALOGUE
from .findings import MAX_FINDINGS, Finding, Start
from .lines import Line
from .ranking import rank
from .records import Diagnosis
from .symptom_index import SymptomIndex
from .symptoms import fill, match_values
from .tracebacks import Failure


@dataclass(frozen=True, kw_only=True)
class EngineReading:
    """What the log of one engine shows; the fields are those of `LogReading`."""

    diagnoses: tuple[Diagnosis, ...]
    notes: tuple[Diagnosis, ...]
    start: StartSummary | None
    load: LoadSummary | None


class EngineReader:
    """Reads the lines of one engine."""

    def __init__(self, index: SymptomIndex) -> None:
        """Create a reader.

        Args:
            index: what to look for.
        """
        self._index = index
        self._info_patterns = tuple(pattern for pattern in index.patterns if pattern.in_info)
        self._previous: tuple[Diagnosis, ...] = ()
        self._now = Start.of(index)

    def result(self) -> EngineReading:
        """Return what the lines so far have shown."""
        diagnoses = self._diagnoses()
        notes = [self._diagnosis(one) for one in self._now.found.values() if one.symptom.severity == "note"]
        # A start that had only just begun when the log ended shows nothing yet.
        if not diagnoses and not self._now.ready_at:
            diagnoses = self._previous
        if not diagnoses and (waiting := self._waiting("not_ready_yet")):
            notes.append(self._diagnosis(waiting))
        return EngineReading(
            diagnoses=diagnoses,
            notes=tuple(notes),
            start=start_summary_of(self._now.start, self._index.engine or "vllm"),
            load=load_summary_of(self._now.load),
        )

    def read(self, line: Line) -> None:
        """Read one line."""
        if self._index.quoting.search(line.text):
            return
        if not self._now.ready_at:
            self._now.watch.read(line)
        if line.level in ("INFO", "DEBUG"):
            self._read_progress(line)
            self._search(self._info_patterns, line)
            return
        if line.level == "":
            self._read_progress(line)
        if self._now.tracebacks.read(line):
            return
        found = self._search(self._index.patterns, line)
        if self._now.stopped or found:
            return
        if self._index.death.search(line.text):
            self._now.death = self._now.death or line
        elif line.level == "" and build_failures.STRAY.search(line.text):
            self._now.tracebacks.add_stray(line)

    def _read_progress(self, line: Line) -> None:
        """Read what the engine logs in normal operation: its start, its end, requests and values."""
        starting = not self._now.ready_at
        if self._index.banner.search(line.text) and self._now.is_over():
            # Another start appended to the same file; the findings of the previous one no longer apply.
            healthy = self._now.ready_at and not self._now.death
            self._previous = () if healthy else self._diagnoses()
            self._now, starting = Start.of(self._index), True
        elif self._index.ready.search(line.text):
            self._now.become_ready(line.number)
        elif self._index.stopped.search(line.text):
            self._now.stopped = True
        elif answered := library_failures.CHAT_ANSWERED.search(line.text):
            self._now.note_answer(int(answered["status"]), line)
        (self._now.start if starting else self._now.load).read(line.text)

    def _search(self, patterns: tuple[LogPattern, ...], line: Line) -> bool:
        for pattern in patterns:
            if match := pattern.regex.search(line.text):
                finding = self._finding(pattern.symptom, match_values(match, self._index.flags), line)
                survived = line.level == "WARNING" and finding.symptom.severity == "stops"
                if not survived and not (self._now.ready_at and pattern.symptom in _START_ONLY):
                    self._add(finding)
                    return True
                self._now.suspects.setdefault(finding.name, finding)
        return False

    def _finding(self, name: str, values: dict[str, str], line: Line) -> Finding:
        if self._now.ready_at and CATALOGUE[name].when_ready:
            name = CATALOGUE[name].when_ready
        return Finding(name=name, symptom=CATALOGUE[name], values=values, line=line)

    def _add(self, finding: Finding) -> None:
        if self._now.stopped and finding.symptom.severity == "follows":
            return
        if self._now.is_starting() and finding.name == "worker_hangs":
            return  # A start may compile for minutes; `StartWatch` finds one that hangs.
        key = f"{finding.name}\n{fill(finding.symptom.title, finding.values)}"
        if key not in self._now.found and len(self._now.found) == MAX_FINDINGS:
            return
        found = self._now.found.setdefault(key, finding)
        found.times += 1
        if rank_name := _RANK.search(finding.line.process):
            found.ranks.add(rank_name[0])
        # A later line of the same log level belongs to the error's message; a plain one may have any origin.
        whole_message = finding.symptom.severity == "stops" or finding.line.level != ""
        self._now.tracebacks.mark_explained(finding.line, whole_message=whole_message)

    def _diagnoses(self) -> tuple[Diagnosis, ...]:
        """Return what is wrong with the current start, the root cause first."""
        ranking = rank(self._now, self._index.death)
        known = tuple(self._diagnosis(one) for one in ranking.known)
        unknown = (
            () if ranking.unknown is None else (_unknown(ranking.unknown, only_consequence=ranking.only_consequence),)
        )
        both = (*unknown, *known) if ranking.unknown_first else (*known, *unknown)
        hanging = None if both else self._waiting("start_hangs", "ray_waits")
        return both if hanging is None else (self._diagnosis(hanging),)

    def _waiting(self, *names: str) -> Finding | None:
        """Return what the start waits for, if it is one of these symptoms."""
        now = self._now
        if not now.is_starting() or now.stopped:
            return None
        wait = now.watch.result()
        if wait is None or wait.symptom not in names:
            return None
        return Finding(name=wait.symptom, symptom=CATALOGUE[wait.symptom], values=wait.values, line=wait.line, times=1)

    def _diagnosis(self, one: Finding) -> Diagnosis:
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


def _unknown(failure: Failure, *, only_consequence: bool) -> Diagnosis:
    name = failure.type_name
    if only_consequence:
        title = "The engine ended, and this log does not show why"
        fix = (
            f"Look for the first error above line {failure.line}, or in the output of the other processes, ranks or "
            "machines; `dmesg -T` shows whether the kernel killed one."
        )
    else:
        title = f"An error unknown to the doctor{': ' + name if name else ''}"
        fix = f"Read the log upwards from line {failure.line}: the lines above it show what led to the error."
        if advice := _ADVICE.search(failure.text):
            fix = f'The error itself says: "{advice[0].strip()}" Otherwise r{fix[1:]}'
    return Diagnosis(
        symptom="unknown",
        title=title,
        cause="",
        evidence=failure.text.strip(),
        line=failure.line,
        fix=fix,
        fatal=False,
    )


# After the start, a request caused them, such as one for a missing image. `json_broken` has `when_ready` for that.
_START_ONLY = library_failures.GENERAL - {"json_broken"}
_ADVICE = re.compile(
    r"(?:(?<=[.,;:] )|^)(?:[Pp]lease|[Tt]ry|Consider|[Yy]ou (?:can|should|need to)|To (?:fix|avoid|use|resolve)|"
    r"Make sure|Set|Run|Install|Upgrade|Disable|Enable) .{8,300}?(?:\.(?=\s|$)|$)"
)
"""A sentence of an error's text that says what to do."""
_RANK = re.compile(r"(?:TP|rank=?)\d+")
