"""A pytest plugin that writes what happened as JSON lines; runs in any Python, so it imports nothing of ours.

Loaded by `-p`, in whatever interpreter the workspace's tests run in; the file to write is named by `REPORT_ENV`.
Each line is an object with `event`: `start` and `end` (id), `result` (id, phase, outcome, message, frames, printed),
`broken` (id, text: a file that could not be collected).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

REPORT_ENV = "TRAMONTANE_TEST_REPORT"
"""Environment variable that holds the absolute path of the report."""

_MOST_LOCALS = 12
_MOST_CHARS = 2_000


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write down a file that could not be imported, or holds no valid test."""
    if report.failed:
        _write(event="broken", id=report.nodeid, text=_cut(str(report.longreprtext)))


def pytest_runtest_logstart(nodeid: str, location: object) -> None:
    """Write which test is under way, so that it can be named if the interpreter dies in it."""
    _write(event="start", id=nodeid)


def pytest_runtest_logfinish(nodeid: str, location: object) -> None:
    """Write that a test is over, its teardown included."""
    _write(event="end", id=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write one phase of a test; of the phases that passed, only that of the test itself."""
    if report.passed and report.when != "call":
        return
    outcome = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = "xpassed" if report.passed else "xfailed"
    found = _failure(report.longrepr) if report.failed else {}
    if report.skipped and isinstance(report.longrepr, tuple):
        found = {"message": _cut(str(report.longrepr[2]))}
    _write(
        event="result",
        id=report.nodeid,
        phase=report.when,
        outcome=outcome,
        printed=_cut(_printed(report)) if report.failed else "",
        **found,
    )


def _failure(longrepr: object) -> dict[str, object]:
    """Take the exception's text and its frames, the outermost first; a longrepr may also be mere text."""
    crash, traceback = getattr(longrepr, "reprcrash", None), getattr(longrepr, "reprtraceback", None)
    if crash is None or traceback is None:
        return {"message": _cut(str(longrepr))}
    return {"message": _cut(crash.message), "frames": [_frame(entry) for entry in traceback.reprentries]}


def _frame(entry: object) -> dict[str, object]:
    place, shown = getattr(entry, "reprfileloc", None), getattr(entry, "reprlocals", None)
    # Below the line that was running stand markers of its part, and the exception's text.
    lines = [line for line in getattr(entry, "lines", []) if line.strip("~^ ") and not line.startswith("E ")]
    return {
        "path": getattr(place, "path", ""),
        "line": getattr(place, "lineno", 0),
        # With --tb=short an entry shows the one line that was running; the last line of longer ones is it.
        "code": _cut(lines[-1].lstrip("> ")) if lines else "",
        "values": [_cut(" ".join(line.split()), 160) for line in shown.lines[:_MOST_LOCALS]] if shown else [],
    }


def _printed(report: pytest.TestReport) -> str:
    return "\n".join(text.rstrip() for title, text in report.sections if title.startswith("Captured std"))


def _cut(text: str, most: int = _MOST_CHARS) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def _write(**facts: object) -> None:
    # Opened anew each time: the workers of pytest-xdist end without a word, and a killed process loses nothing.
    with Path(os.environ[REPORT_ENV]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")
