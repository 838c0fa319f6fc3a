"""Parse the results of a test run that our pytest plugin wrote; opens no file, runs and formats nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ValidationError

from agent import displayed

Outcome = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed"]
_MOST_LINES = 500_000
"""A passing test writes five; 500,000 take some 10 s."""
_MOST_FRAMES = 100
"""Of one traceback; the plugin writes 41 at most."""
BAD: frozenset[Outcome] = frozenset({"failed", "error"})


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of a traceback."""

    path: str
    """Relative to the workspace if it is inside, else absolute."""
    line: int
    """From 1; 0 means unknown."""
    code: str
    values: tuple[str, ...] = ()
    """Local variables, as `name = value`."""
    is_library: bool = False
    """Outside the workspace, or in an environment inside it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test, or one subtest of it, and its outcome."""

    name: str
    """The test's id."""
    outcome: Outcome
    subtest: str = ""
    """Message and parameters of the subtest; empty for a whole test."""
    message: str = ""
    """The exception, or why the test was skipped."""
    frames: tuple[Frame, ...] = ()
    """Outermost first."""
    printed: str = ""
    duration_s: float = 0.0
    """Of all phases."""
    is_collection: bool = False
    """True for a file, or a class in it, that could not be collected."""

    @property
    def file(self) -> str:
        """The part of its id before the test."""
        return self.name.partition("::")[0]

    @property
    def title(self) -> str:
        """The test's id and, in parentheses, the subtest."""
        return f"{self.name} ({self.subtest})" if self.subtest else self.name


@dataclass(kw_only=True)
class Report:
    """The results of one test run."""

    cases: list[Case] = field(default_factory=list[Case])
    running: str = ""
    """A test that started and did not end; empty if there is none."""
    collected: frozenset[str] | None = None
    """Ids of the tests that were to run. None if that is unknown."""
    deselected: frozenset[str] = frozenset()
    """Ids of the tests that were collected and left out."""
    settings: str = ""
    """The project's own pytest options, as `pytest.ini: addopts = -x`; empty if there are none."""
    reruns: Counter[str] = field(default_factory=Counter[str])
    """How often a plugin ran each test again because it failed; its outcome is that of the last time."""
    problems: tuple[str, ...] = ()
    """Why results may be missing, as sentences: parts of the plugin's report could not be read."""

    @property
    def tests(self) -> list[Case]:
        """The tests without their subtests."""
        return [case for case in self.cases if not case.subtest]

    @property
    def failures(self) -> list[Case]:
        """Tests and subtests that failed or could not be run; not a test that failed only through its subtests."""
        divided = {case.name for case in self.cases if case.subtest and case.outcome in BAD}
        bad = [case for case in self.cases if case.outcome in BAD]
        return [case for case in bad if case.subtest or case.name not in divided or case.frames]

    @property
    def uncollected(self) -> list[Case]:
        """Files that could not be collected."""
        return [case for case in self.cases if case.is_collection]

    @property
    def not_run(self) -> int:
        """Number of collected tests that did not start."""
        return len((self.collected or frozenset()) - {case.name for case in self.cases} - {self.running})


class _FrameLine(BaseModel):
    path: str
    line: int
    code: str
    values: tuple[str, ...] = ()


class _Line(BaseModel):
    """One line of our plugin's report."""

    event: Literal["settings", "broken", "deselected", "collected", "start", "end", "result"]
    id: str = ""
    ids: tuple[str, ...] = ()
    text: str = ""
    phase: str = "call"
    outcome: str = "passed"
    subtest: str = ""
    message: str = ""
    frames: tuple[_FrameLine, ...] = ()
    printed: str = ""
    duration_s: float = 0.0


def from_plugin(lines: Iterable[bytes], workspace: Path) -> Report:
    """Parse the lines of our plugin's report; a test's outcome is that of its worst phase.

    Args:
        lines: without an incomplete last one. Those that the plugin did not write are ignored, and counted in
            `Report.problems`: two processes may write at once, and the tests' own code can write anything.
        workspace: absolute path of the workspace.
    """
    builder = _Builder(workspace)
    ignored = 0
    for number, line in enumerate(lines):
        if number == _MOST_LINES:
            builder.add_problem(
                f"Only the first {_MOST_LINES:,} lines of pytest's report were read. Run fewer tests at once."
            )
            break
        try:
            builder.add(_Line.model_validate_json(line))
        except ValidationError:
            ignored += 1
    if ignored:
        count = "1 line" if ignored == 1 else f"{ignored:,} lines"
        builder.add_problem(f"Ignored {count} of pytest's report that are not results; some may be missing.")
    return builder.report()


_OUTCOMES: Mapping[str, Outcome] = {outcome: outcome for outcome in get_args(Outcome)}
"""Plugins report others too, such as `rerun`."""
_PHASES = frozenset({"setup", "call", "teardown"})


class _Builder:
    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._cases: dict[tuple[str, str], Case] = {}
        self._durations_s: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._running: dict[str, None] = {}
        self._order: dict[str, int] = {}
        self._report = Report()

    def add(self, line: _Line) -> None:
        if line.event == "start":
            self._running[line.id] = None
        elif line.event == "end":
            self._running.pop(line.id, None)
        elif line.event == "settings":
            self._report.settings = line.text
        elif line.event == "collected":
            self._report.collected = frozenset(line.ids)
            self._order = {name: at for at, name in enumerate(line.ids)}
        elif line.event == "deselected":
            self._report.deselected |= frozenset(line.ids)
        elif line.event == "broken":
            self._add_broken(line)
        else:
            self._add_result(line)

    def add_problem(self, sentence: str) -> None:
        self._report.problems += (sentence,)

    def report(self) -> Report:
        """Return what was added."""
        # pytest reports a test whose subtests failed as passed or failed, depending on its version.
        for case in [case for case in self._cases.values() if case.subtest and case.outcome in BAD]:
            whole = self._cases.get((case.name, ""))
            if whole is not None and whole.outcome not in BAD:
                self._cases[case.name, ""] = replace(whole, outcome="failed")
        cases = [replace(case, duration_s=self._durations_s[key]) for key, case in self._cases.items()]
        # pytest-xdist runs them in any order.
        self._report.cases = sorted(cases, key=lambda case: self._order.get(case.name, -1))
        self._report.running = next(iter(self._running), "")
        return self._report

    def _add_broken(self, line: _Line) -> None:
        name = line.id or "(collection)"
        known = self._cases.get((name, ""))
        if known is None or not known.frames:
            self._cases[name, ""] = Case(
                name=name,
                outcome="error",
                message=readable(line.message),
                frames=self._frames(line.frames),
                is_collection=True,
            )

    def _add_result(self, line: _Line) -> None:
        key = (line.id, line.subtest)
        self._durations_s[key] += line.duration_s
        # pytest calls a failure in setup or teardown an error.
        is_error = line.outcome == "failed" and line.phase != "call"
        if line.outcome == "rerun":
            self._report.reruns[line.id] += 1
        elif line.phase not in _PHASES:  # pytest-xdist: the process that ran it crashed, and another goes on
            self._running.pop(line.id, None)
        outcome = _OUTCOMES.get("error" if is_error else line.outcome)
        if outcome is None or (outcome == "passed" and line.phase != "call"):
            return
        known = self._cases.get(key)
        # The first failure counts: a teardown often fails because the test did.
        if known is None or (outcome in BAD and known.outcome not in BAD):
            self._cases[key] = Case(
                name=line.id,
                outcome=outcome,
                subtest=line.subtest,
                message=readable(line.message),
                frames=self._frames(line.frames),
                printed=readable(line.printed),
            )

    def _frames(self, frames: Sequence[_FrameLine]) -> tuple[Frame, ...]:
        return tuple(_frame(frame, self._workspace) for frame in frames[:_MOST_FRAMES] if frame.path)


def _frame(frame: _FrameLine, workspace: Path) -> Frame:
    path = workspace / frame.path
    is_inside = path.is_relative_to(workspace)
    return Frame(
        path=str(path.relative_to(workspace)) if is_inside else str(path),
        line=frame.line,
        code=readable(frame.code).strip(),
        values=tuple(readable(value) for value in frame.values),
        is_library=not is_inside or "site-packages" in path.parts or frame.path.startswith("<"),
    )


# Addresses differ in each run, and a repeated run must give the same text; options the reader cannot set.
_REPLACED = (
    (re.compile(r" at 0x[0-9a-fA-F]{6,16}\b"), " at 0x..."),
    (re.compile(r"\n *Use -v to get (?:more|the full) diff"), ""),
    (re.compile(r", use '?-vv'? to show"), ""),
    (re.compile(r"\.\.\.Full output truncated(?: \((\d+ lines?) hidden\))?"), "... pytest cut this long difference"),
)


def readable(text: str) -> str:
    """Return a text as a terminal shows it, without addresses and hints at options of pytest."""
    text = displayed(text).text
    for pattern, instead in _REPLACED:
        text = pattern.sub(instead, text)
    return text
