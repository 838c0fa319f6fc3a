"""Read what a test run reported, from our pytest plugin or from JUnit XML, and word it for a model; runs nothing."""

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
MOST_DETAILED = 8
"""Failures that are told in full; of more, the names follow."""
MOST_NAMED = 40
_MOST_FRAMES = 4
_MOST_MESSAGE_LINES = 14
_MOST_PRINTED_LINES = 10


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One place of a traceback."""

    path: str
    """Relative to the workspace where it lies in it."""
    line: int
    """From 1; 0: not told."""
    code: str
    values: tuple[str, ...] = ()
    """Local variables, as `name = value`."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test and how it ended."""

    name: str
    outcome: Outcome
    message: str = ""
    """What was raised, or why it was skipped."""
    frames: tuple[Frame, ...] = ()
    """Those inside the workspace, the outermost first."""
    printed: str = ""


@dataclass(kw_only=True)
class Report:
    """One run of some tests."""

    cases: list[Case] = field(default_factory=list[Case])
    running: str = ""
    """The test that began and did not end; empty: none."""

    def counts(self) -> str:
        """Word how many ended how, the bad ones first."""
        counted = Counter(case.outcome for case in self.cases)
        order: tuple[Outcome, ...] = ("failed", "error", "xpassed", "passed", "skipped", "xfailed")
        words = [f"{counted[outcome]} {outcome}" for outcome in order if counted[outcome]]
        return ", ".join(words) or "no test ran"


def bad_cases(cases: Iterable[Case]) -> list[Case]:
    """Return those that failed, or could not be run."""
    return [case for case in cases if case.outcome in BAD]


def told(report: Report, before: Mapping[str, Outcome] | None) -> str:
    """Word a report for a model.

    Args:
        report: of this run.
        before: how each test ended when it ran last. None: none ran before.
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
        f"{title}: {_named(names, 5)}"
        for title, names in (("now pass", fixed), ("newly fail", broken), ("still fail", still))
        if names
    ]
    yield f"Since the last run: {'; '.join(parts)}." if parts else "Since the last run nothing changed."


def _failures(failed: Sequence[Case]) -> Iterator[str]:
    for case in failed[:MOST_DETAILED]:
        yield ""
        yield f"{'FAILED' if case.outcome == 'failed' else 'ERROR'} {case.name}"
        lines = case.message.splitlines()
        yield from (f"  {line}" for line in lines[:_MOST_MESSAGE_LINES])
        if len(lines) > _MOST_MESSAGE_LINES:
            yield f"  ... {len(lines) - _MOST_MESSAGE_LINES} more lines"
        frames = case.frames[-_MOST_FRAMES:]
        yield from (f"  at {frame.path}:{frame.line}: {frame.code}" for frame in frames)
        if frames and frames[-1].values:
            yield f"  with {', '.join(frames[-1].values)}"
        if case.printed.strip():
            yield "  printed:"
            yield from (f"    {line}" for line in case.printed.strip().splitlines()[-_MOST_PRINTED_LINES:])
    if rest := failed[MOST_DETAILED:]:
        yield ""
        yield f"and {_named([case.name for case in rest], MOST_NAMED)}"


def _named(names: Sequence[str], most: int) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


class _FrameLine(BaseModel):
    path: str
    line: int
    code: str
    values: tuple[str, ...]


class _Line(BaseModel):
    """A line of our plugin's report."""

    event: Literal["start", "end", "broken", "result"]
    id: str = ""
    phase: Literal["setup", "call", "teardown"] = "call"
    outcome: Outcome = "passed"
    text: str = ""
    message: str = ""
    frames: tuple[_FrameLine, ...] = ()
    printed: str = ""


def from_plugin(text: str, workspace: Path) -> Report:
    """Read the report of our plugin, whose last line may be half written; a test counts as its worst phase."""
    report, found = Report(), dict[str, Case]()
    for raw in text.split("\n")[:-1]:
        line = _Line.model_validate_json(raw)
        if line.event == "start":
            report.running = line.id
        elif line.event == "end":
            report.running = ""
        elif line.event == "broken":
            found[line.id] = Case(name=line.id or "(collection)", outcome="error", message=line.text)
        elif line.event == "result":
            case = _case(line, workspace)
            if line.id not in found or case.outcome in BAD:
                found[line.id] = case
    report.cases = list(found.values())
    return report


def _case(line: _Line, workspace: Path) -> Case:
    # As pytest says of a fixture that fails.
    outcome: Outcome = "error" if line.outcome == "failed" and line.phase != "call" else line.outcome
    frames = [_inside(frame, workspace) for frame in line.frames]
    return Case(
        name=line.id,
        outcome=outcome,
        message=line.message,
        frames=tuple(frame for frame in frames if frame is not None),
        printed=line.printed,
    )


def _inside(frame: _FrameLine, workspace: Path) -> Frame | None:
    """Return the frame with its path relative to the workspace. None: it lies elsewhere."""
    path = workspace / frame.path
    if not frame.path or not path.is_relative_to(workspace):
        return None
    return Frame(path=str(path.relative_to(workspace)), line=frame.line, code=frame.code.strip(), values=frame.values)


def from_junit(data: bytes) -> Report:
    """Read a JUnit XML report.

    Raises:
        ValueError: it is none.
    """
    from defusedxml import ElementTree  # only where a report is read

    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError) as error:
        msg = f"it is no well-formed XML ({error})"
        raise ValueError(msg) from error
    if root.tag not in {"testsuites", "testsuite"}:
        msg = f"its root is <{root.tag}>, not <testsuites> or <testsuite>"
        raise ValueError(msg)
    return Report(cases=[_junit_case(case) for case in root.iter("testcase")])


_JUNIT: Mapping[str, Outcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}


def _junit_case(case: Element) -> Case:
    where = case.get("classname") or case.get("file") or ""
    name = f"{where}::{case.get('name', '')}" if where else case.get("name", "")
    found = next((child for child in case if child.tag in _JUNIT), None)
    if found is None:
        return Case(name=name, outcome="passed")
    text = (found.text or "").strip("\n")
    message = "\n".join(part for part in (found.get("message", ""), text) if part)
    printed = "\n".join(child.text or "" for child in case if child.tag in {"system-out", "system-err"})
    return Case(name=name, outcome=_JUNIT[found.tag], message=message, printed=printed)
