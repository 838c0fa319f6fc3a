"""Parse the results of a test run, from our pytest plugin or JUnit XML, and format them for a model; runs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Outcome = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed"]
BAD: frozenset[Outcome] = frozenset({"failed", "error"})
MAX_DETAILED = 8
"""Failures that are shown in full; of the others, only the names."""
MAX_NAMED = 40
_MAX_FRAMES = 4
_MAX_MESSAGE_LINES = 14
_MAX_PRINTED_LINES = 10


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of a traceback."""

    path: str
    """Relative to the workspace if it is inside."""
    line: int
    """From 1; 0 means unknown."""
    code: str
    values: tuple[str, ...] = ()
    """Local variables, as `name = value`."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test and its outcome."""

    name: str
    outcome: Outcome
    message: str = ""
    """The exception, or why the test was skipped."""
    frames: tuple[Frame, ...] = ()
    """The frames inside the workspace, outermost first."""
    printed: str = ""


@dataclass(kw_only=True)
class Report:
    """The results of one test run."""

    cases: list[Case] = field(default_factory=list[Case])
    running: str = ""
    """The test that started and did not end; empty if there is none."""

    def counts(self) -> str:
        """Format the number of tests for each outcome, failures first."""
        counted = Counter(case.outcome for case in self.cases)
        order: tuple[Outcome, ...] = ("failed", "error", "xpassed", "passed", "skipped", "xfailed")
        parts = [f"{counted[outcome]} {outcome}" for outcome in order if counted[outcome]]
        return ", ".join(parts) or "no tests ran"


def bad_cases(cases: Iterable[Case]) -> list[Case]:
    """Return the cases that failed or could not be run."""
    return [case for case in cases if case.outcome in BAD]


def format_report(report: Report, before: Mapping[str, Outcome] | None) -> str:
    """Format a report for a model.

    Args:
        report: the report of this run.
        before: the previous outcome of each test. None means that no tests ran before.
    """
    return "\n".join([f"{report.counts()}.", *_changes(report.cases, before), *_failures(bad_cases(report.cases))])


def _changes(cases: Sequence[Case], before: Mapping[str, Outcome] | None) -> Iterator[str]:
    if before is None:
        return
    again = [case for case in cases if case.name in before]
    fixed = [case.name for case in again if before[case.name] in BAD and case.outcome not in BAD]
    broken = [case.name for case in again if before[case.name] not in BAD and case.outcome in BAD]
    still = [case.name for case in again if before[case.name] in BAD and case.outcome in BAD]
    parts = [
        f"{title}: {_join_names(names, 5)}"
        for title, names in (("now pass", fixed), ("newly fail", broken), ("still fail", still))
        if names
    ]
    yield f"Since the last run: {'; '.join(parts)}." if parts else "Since the last run: no changes."


def _failures(failed: Sequence[Case]) -> Iterator[str]:
    for case in failed[:MAX_DETAILED]:
        yield ""
        yield f"{'FAILED' if case.outcome == 'failed' else 'ERROR'} {case.name}"
        lines = case.message.splitlines()
        yield from (f"  {line}" for line in lines[:_MAX_MESSAGE_LINES])
        if len(lines) > _MAX_MESSAGE_LINES:
            yield f"  ... {len(lines) - _MAX_MESSAGE_LINES} more lines"
        frames = case.frames[-_MAX_FRAMES:]
        yield from (f"  at {frame.path}:{frame.line}: {frame.code}" for frame in frames)
        if frames and frames[-1].values:
            yield f"  with {', '.join(frames[-1].values)}"
        if case.printed.strip():
            yield "  output:"
            yield from (f"    {line}" for line in case.printed.strip().splitlines()[-_MAX_PRINTED_LINES:])
    if rest := failed[MAX_DETAILED:]:
        yield ""
        yield f"more failures: {_join_names([case.name for case in rest], MAX_NAMED)}"


def _join_names(names: Sequence[str], limit: int) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


class _FrameLine(BaseModel):
    path: str
    line: int
    code: str
    values: tuple[str, ...]


class _Line(BaseModel):
    """One line of our plugin's report."""

    event: Literal["start", "end", "broken", "result"]
    id: str = ""
    phase: Literal["setup", "call", "teardown"] = "call"
    outcome: Outcome = "passed"
    text: str = ""
    message: str = ""
    frames: tuple[_FrameLine, ...] = ()
    printed: str = ""


def from_plugin(text: str, workspace: Path) -> Report:
    """Parse our plugin's report, whose last line may be incomplete; a test's outcome is that of its worst phase."""
    report, cases = Report(), dict[str, Case]()
    for raw in text.split("\n")[:-1]:
        line = _Line.model_validate_json(raw)
        if line.event == "start":
            report.running = line.id
        elif line.event == "end":
            report.running = ""
        elif line.event == "broken":
            cases[line.id] = Case(name=line.id or "(collection)", outcome="error", message=line.text)
        elif line.event == "result":
            case = _case(line, workspace)
            if line.id not in cases or case.outcome in BAD:
                cases[line.id] = case
    report.cases = list(cases.values())
    return report


def _case(line: _Line, workspace: Path) -> Case:
    # pytest calls a failure in setup or teardown an error.
    outcome: Outcome = "error" if line.outcome == "failed" and line.phase != "call" else line.outcome
    frames = [_workspace_frame(frame, workspace) for frame in line.frames]
    return Case(
        name=line.id,
        outcome=outcome,
        message=line.message,
        frames=tuple(frame for frame in frames if frame is not None),
        printed=line.printed,
    )


def _workspace_frame(frame: _FrameLine, workspace: Path) -> Frame | None:
    """Return the frame with its path relative to the workspace. None means that it is outside."""
    path = workspace / frame.path
    if not frame.path or not path.is_relative_to(workspace):
        return None
    return Frame(path=str(path.relative_to(workspace)), line=frame.line, code=frame.code.strip(), values=frame.values)


def from_junit(data: bytes) -> Report:
    """Parse a JUnit XML report.

    Raises:
        ValueError: the data is not such a report.
    """
    from defusedxml import ElementTree  # imported only when a report is read

    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError) as error:
        msg = f"it is not well-formed XML ({error})"
        raise ValueError(msg) from error
    if root.tag not in {"testsuites", "testsuite"}:
        msg = f"its root is <{root.tag}>, not <testsuites> or <testsuite>"
        raise ValueError(msg)
    return Report(cases=[_junit_case(case) for case in root.iter("testcase")])


_JUNIT_OUTCOMES: Mapping[str, Outcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}


def _junit_case(case: Element) -> Case:
    scope = case.get("classname") or case.get("file") or ""
    name = f"{scope}::{case.get('name', '')}" if scope else case.get("name", "")
    found = next((child for child in case if child.tag in _JUNIT_OUTCOMES), None)
    if found is None:
        return Case(name=name, outcome="passed")
    text = (found.text or "").strip("\n")
    message = "\n".join(part for part in (found.get("message", ""), text) if part)
    printed = "\n".join(child.text or "" for child in case if child.tag in {"system-out", "system-err"})
    return Case(name=name, outcome=_JUNIT_OUTCOMES[found.tag], message=message, printed=printed)
