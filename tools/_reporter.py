"""A pytest plugin that writes test results as JSON lines; imports nothing of ours, so that it runs in any Python.

Loaded by `-p` into the interpreter that runs the workspace's tests; `REPORT_ENV` names the file to write.
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

_MAX_LOCALS = 12
_MAX_CHARS = 2_000


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write that a file could not be collected."""
    if report.failed:
        _write(event="broken", id=report.nodeid, text=_cut(str(report.longreprtext)))


def pytest_runtest_logstart(nodeid: str, location: object) -> None:
    """Write which test has started, so that it can be named if the interpreter dies in it."""
    _write(event="start", id=nodeid)


def pytest_runtest_logfinish(nodeid: str, location: object) -> None:
    """Write that a test has ended, including its teardown."""
    _write(event="end", id=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the result of one phase of a test; skip a setup or teardown that passed."""
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
    """Return the exception's text and frames, outermost first; a longrepr may also be plain text."""
    crash, traceback = getattr(longrepr, "reprcrash", None), getattr(longrepr, "reprtraceback", None)
    if crash is None or traceback is None:
        return {"message": _cut(str(longrepr))}
    return {"message": _cut(crash.message), "frames": [_frame(entry) for entry in traceback.reprentries]}


def _frame(entry: object) -> dict[str, object]:
    location, values = getattr(entry, "reprfileloc", None), getattr(entry, "reprlocals", None)
    # Below the line that was running, pytest prints position markers and the exception's text.
    lines = [line for line in getattr(entry, "lines", []) if line.strip("~^ ") and not line.startswith("E ")]
    return {
        "path": getattr(location, "path", ""),
        "line": getattr(location, "lineno", 0),
        # With --tb=short an entry shows only the line that was running; in longer ones it is the last line.
        "code": _cut(lines[-1].lstrip("> ")) if lines else "",
        "values": [_cut(" ".join(line.split()), 160) for line in values.lines[:_MAX_LOCALS]] if values else [],
    }


def _printed(report: pytest.TestReport) -> str:
    return "\n".join(text.rstrip() for title, text in report.sections if title.startswith("Captured std"))


def _cut(text: str, limit: int = _MAX_CHARS) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


def _write(**facts: object) -> None:
    # Opened for each line: pytest-xdist workers exit without a hook, and a killed process loses nothing.
    with Path(os.environ[REPORT_ENV]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")
