"""Find in a log what is wrong, root cause first; pure over lines: opens nothing, starts nothing, guesses nothing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from serving.engines import libraries
from serving.engines.signs import Sign
from serving.engines.vllm import failures as vllm_failures
from serving.engines.vllm import log as vllm_log
from serving.planning import EngineName

from .catalogue import CATALOGUE
from .lines import Line, read_lines
from .records import Diagnosis
from .symptoms import Symptom, Weight, derived, fill
from .tracebacks import Failure, Tracebacks


def diagnose(text_or_lines: str | Iterable[str], *, engine: EngineName | None = None) -> tuple[Diagnosis, ...]:
    """Name everything that is wrong, the root cause first; empty: the log shows nothing wrong.

    Of several starts in one log the last counts that came far enough to say anything.

    Args:
        text_or_lines: the log, whole or by lines; it may begin and end anywhere. The lines are read only once.
        engine: whose log it is. None: it is recognised.
    """
    lines = text_or_lines.splitlines() if isinstance(text_or_lines, str) else text_or_lines
    reader = _Reader(engine)
    for line in read_lines(lines):
        reader.take(line)
    return reader.result()


@dataclass(kw_only=True)
class _Found:
    """One symptom, as often as it shows."""

    name: str
    symptom: Symptom
    values: dict[str, str]
    line: Line
    times: int = 0
    processes: set[str] = field(default_factory=set[str])


class _Reader:
    """Holds what the lines so far have shown."""

    def __init__(self, engine: EngineName | None) -> None:
        self._engine: EngineName | None = engine
        self._signs: tuple[Sign, ...] = (*vllm_failures.SIGNS, *libraries.SIGNS)
        self._info_signs = tuple(sign for sign in self._signs if sign.in_info)
        self._before: tuple[Diagnosis, ...] = ()
        self._begin()

    def take(self, line: Line) -> None:
        """Take one line in."""
        if self._engine is None and (named := _ENGINE.search(line.text)):
            self._engine = "vllm" if named[0] == "vllm" else "sglang"
        quiet = line.level in ("INFO", "DEBUG")
        if quiet:
            self._follow(line)
        elif self._tracebacks.is_frame(line):
            return
        for sign in self._info_signs if quiet else self._signs:
            if match := sign.pattern.search(line.text):
                self._note(sign, {name: text for name, text in match.groupdict().items() if text is not None}, line)
                return
        if not quiet and self._death is None and vllm_failures.DEATH.search(line.text):
            self._death = line

    def result(self) -> tuple[Diagnosis, ...]:
        """Say what is wrong, as far as it is known by now."""
        found = self._independent()
        told = [
            self._diagnosis(one)
            for one in sorted(found, key=lambda one: (_WEIGHTS[one.symptom.weight], one.line.number))
        ]
        unknown = self._unknown(found)
        if unknown is not None:
            told.insert(0, unknown)
        return tuple(told) or self._before

    def _begin(self) -> None:
        self._found: dict[str, _Found] = {}
        self._tracebacks = Tracebacks()
        self._death: Line | None = None
        self._ready_at = 0

    def _follow(self, line: Line) -> None:
        if vllm_log.READY.search(line.text):
            self._ready_at = self._ready_at or line.number
        elif vllm_log.BANNER.search(line.text) and (self._ready_at or self._death or self._ends()):
            # The same file was written on by another start; what the last one met is over.
            self._before = () if self._ready_at and not self._death else self.result()
            self._begin()

    def _ends(self) -> bool:
        return any(one.symptom.weight == "ends" for one in self._found.values())

    def _note(self, sign: Sign, values: dict[str, str], line: Line) -> None:
        name = sign.symptom
        if self._ready_at and CATALOGUE[name].when_ready:
            name = CATALOGUE[name].when_ready
        symptom = CATALOGUE[name]
        values = derived(values)
        found = self._found.setdefault(
            f"{name}\n{fill(symptom.title, values)}", _Found(name=name, symptom=symptom, values=values, line=line)
        )
        found.times += 1
        found.processes.add(line.process)
        self._tracebacks.explain(line)

    def _independent(self) -> list[_Found]:
        """Leave out what only follows from something else."""
        hidden = {name for one in self._found.values() for name in one.symptom.hides}
        if self._ends():
            hidden |= {one.name for one in self._found.values() if one.symptom.weight == "follows"}
        return [one for one in self._found.values() if one.name not in hidden]

    def _diagnosis(self, one: _Found) -> Diagnosis:
        return Diagnosis(
            symptom=one.name,
            title=fill(one.symptom.title, one.values),
            cause=fill(one.symptom.cause, one.values),
            evidence=one.line.text.strip(),
            line=one.line.number,
            fix=fill(one.symptom.fix_for(self._engine), one.values),
            fatal=one.symptom.again,
            times=one.times,
            processes=len(one.processes),
        )

    def _unknown(self, found: list[_Found]) -> Diagnosis | None:
        """Show the first error that no symptom is known for, if something ended of it or may still."""
        if any(one.symptom.weight == "ends" for one in found):
            return None
        # What the start survived did no harm.
        failures = [one for one in self._tracebacks.failures if one.line >= self._ready_at and _tells(one)]
        first = next((one for one in failures if not one.explained), None)
        if first is not None:
            return _unknown(first.text, first.line)
        if self._death is not None and not found:
            return _unknown(self._death.text, self._death.number)
        return None


def _tells(failure: Failure) -> bool:
    return not vllm_failures.DEATH.search(failure.text) and not _CONSEQUENCE.match(failure.text)


def _unknown(text: str, line: int) -> Diagnosis:
    return Diagnosis(
        symptom="unknown",
        title="An error that the doctor does not know",
        cause="",
        evidence=text.strip(),
        line=line,
        fix=f"Read the log from line {line} upwards: the steps that led there stand above it.",
        fatal=False,
    )


_WEIGHTS: dict[Weight, int] = {"ends": 0, "follows": 1, "refuses": 2, "harms": 3}
_ENGINE = re.compile(r"vllm|sglang|server_args=ServerArgs")
_CONSEQUENCE = re.compile(r"(?:\w+\.)*(?:KeyboardInterrupt|SystemExit|CancelledError|GeneratorExit)\b")
