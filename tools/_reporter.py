"""A pytest plugin that writes test results as JSON lines; imports nothing of ours, so that it runs in any Python.

Loaded by `-p` into the interpreter that runs the workspace's tests; `REPORT_ENV` names the file to write.
Each line is an object with `event`:
    settings    text: the project's own options, as `pytest.ini: addopts = -x`
    broken      id, message, frames: a file that could not be collected
    deselected  ids: tests that were collected and left out
    collected   ids: tests that are to run
    start, end  id
    result      id, phase, outcome, message, frames, printed, subtest, duration_s

Tried with pytest 6.2, 7.0, 7.4, 8.0, 8.3, 8.4 and 9.2, pytest-subtests 0.15 and pytest-xdist 3.8.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import traceback
import unittest
from collections.abc import Sized
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import pluggy

REPORT_ENV = "TRAMONTANE_TEST_REPORT"
"""Environment variable that holds the absolute path of the report."""

_MAX_FAILURES_IN_FULL = 300
_MAX_BYTES_IN_FULL = 50_000_000
"""Beyond either, a failure is cut much shorter, so that thousands of them do not fill the disk."""
_SHORT_CHARS = 2_000
# pytest compares line by line with a cubic algorithm: 0.6 s for values of 1,000 characters, 2 s for 2,000.
_MAX_COMPARED_CHARS = 1_000


class _Limits(NamedTuple):
    """How much of a failure is reported."""

    chars: int
    """Of its message, and of its output."""
    frames: int
    values: int
    """Of each frame."""
    value_chars: int


_FULL = _Limits(chars=40_000, frames=40, values=40, value_chars=1_000)
_SHORT = _Limits(chars=_SHORT_CHARS, frames=10, values=10, value_chars=200)


def pytest_configure(config: pytest.Config) -> None:
    """Start reporting; of the workers of pytest-xdist, only the first reports, and only what it collects."""
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    config.pluginmanager.register(_Differences(config), "tramontane-differences")
    unittest.TestCase.maxDiff = None  # else it asks the reader to set this
    report = Path(os.environ[REPORT_ENV])
    if worker in {"", "gw0"}:
        config.pluginmanager.register(_Collection(config, report), "tramontane-collection")
    if not worker:
        config.pluginmanager.register(_Results(config, report), "tramontane-results")


class _Differences:
    """Has the whole difference of two small values explained, as with -vv."""

    def __init__(self, config: pytest.Config) -> None:
        self._option = config.option
        self._verbose = self._option.verbose

    @pytest.hookimpl(hookwrapper=True)
    def pytest_assertrepr_compare(self, left: object, right: object) -> Iterator[None]:
        # Stays set after this hook: pytest then cuts the text, unless it is as verbose as this.
        self._option.verbose = 2 if _is_small(left) and _is_small(right) else self._verbose
        yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        # At this point it would print variables of any size.
        self._option.verbose = self._verbose
        yield


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport,
) -> Generator[None, pluggy.Result[tuple[str, str, object]], None]:
    """Print no letter for a subtest: pytest 9 prints it while the output of the test is captured, which then has it."""
    outcome = yield
    if _subtest(report):
        category, _, word = outcome.get_result()
        outcome.force_result((category, "", word))


def _is_small(value: object) -> bool:
    with suppress(Exception):  # the methods of a program's object may raise anything
        is_long = isinstance(value, Sized) and len(value) > _MAX_COMPARED_CHARS
        return not is_long and len(repr(value)) <= _MAX_COMPARED_CHARS
    return False


class _Writer:
    def __init__(self, config: pytest.Config, report: Path) -> None:
        self._root = Path(str(getattr(config, "rootpath", None) or getattr(config, "rootdir", "")))
        self._start = Path(str(config.invocation_params.dir))
        self._report = report
        self.written_bytes = 0

    def id_of(self, nodeid: str) -> str:
        """Return a test's id relative to the folder that pytest was started in, not to its settings file."""
        if self._root == self._start or not nodeid:
            return nodeid
        file, colons, rest = nodeid.partition("::")
        return os.path.relpath(self._root / file, self._start) + colons + rest

    def write(self, **facts: object) -> None:
        text = json.dumps(facts, ensure_ascii=False)
        # Half a character, as in a file name that is not UTF-8: JSON has no way to hold it.
        text = re.sub("[\ud800-\udfff]", lambda found: f"\\\\u{ord(found[0]):04x}", text)
        # Opened for each line: a killed process then loses nothing, and a second process can write too.
        with self._report.open("ab") as file:
            self.written_bytes += file.write(text.encode() + b"\n")


class _Collection(_Writer):
    """Reports what was collected."""

    def __init__(self, config: pytest.Config, report: Path) -> None:
        super().__init__(config, report)
        self._config = config
        self._broken: set[str] = set()

    def pytest_sessionstart(self) -> None:
        given = [shlex.quote(str(word)) for word in self._config.getini("addopts")]
        inipath = getattr(self._config, "inipath", None)
        texts = [f"{inipath.name if inipath else 'settings'}: addopts = {' '.join(given)}"] if given else []
        texts += [f"{name} = {os.environ[name]}" for name in ("PYTEST_ADDOPTS",) if os.environ.get(name)]
        if texts:
            self.write(event="settings", text=", ".join(texts))

    def pytest_exception_interact(
        self, call: pytest.CallInfo[object], report: pytest.CollectReport | pytest.TestReport
    ) -> None:
        if report.when == "collect" and call.excinfo is not None:
            error = call.excinfo.value
            if isinstance(error, pytest.Collector.CollectError):
                error = error.__cause__ or error  # pytest wraps the errors of an import
            self._write_broken(report.nodeid, error)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and report.nodeid not in self._broken:
            self.write(event="broken", id=self.id_of(report.nodeid), message=_cut(str(report.longreprtext)))

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.write(event="deselected", ids=[self.id_of(item.nodeid) for item in items])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.write(event="collected", ids=[self.id_of(item.nodeid) for item in session.items])

    def _write_broken(self, nodeid: str, error: BaseException) -> None:
        self._broken.add(nodeid)
        frames = [
            {"path": one.filename, "line": one.lineno or 0, "code": _cut(one.line or "", _SHORT_CHARS)}
            for one in traceback.extract_tb(error.__traceback__)[-_FULL.frames :]
        ]
        message = "".join(traceback.format_exception_only(type(error), error)).strip()
        if isinstance(error, SyntaxError):
            frames.append({"path": error.filename or "", "line": error.lineno or 0, "code": (error.text or "").strip()})
            message = f"{type(error).__name__}: {error.msg}"
        elif isinstance(error, pytest.Collector.CollectError):
            message, frames = str(error), []  # pytest's own
        self.write(event="broken", id=self.id_of(nodeid), message=_cut(message), frames=frames)


class _Results(_Writer):
    """Reports how each test ended."""

    def __init__(self, config: pytest.Config, report: Path) -> None:
        super().__init__(config, report)
        self._failures = 0

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.write(event="start", id=self.id_of(nodeid))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.write(event="end", id=self.id_of(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xpassed" if report.passed else "xfailed"
        found: dict[str, object] = {}
        if report.failed:
            self._failures += 1
            is_full = self._failures <= _MAX_FAILURES_IN_FULL and self.written_bytes <= _MAX_BYTES_IN_FULL
            limits = _FULL if is_full else _SHORT
            found = {**_failure(report.longrepr, limits), "printed": _cut(_printed(report), limits.chars)}
        elif report.skipped and isinstance(report.longrepr, tuple):
            found = {"message": _cut(str(cast("tuple[object, ...]", report.longrepr)[-1]))}
        self.write(
            event="result",
            id=self.id_of(report.nodeid),
            phase=report.when,
            outcome=outcome,
            subtest=_subtest(report),
            duration_s=report.duration,
            **found,
        )


def _subtest(report: pytest.TestReport) -> str:
    """Return the message and the parameters of a subtest; empty for a test."""
    context = getattr(report, "context", None)
    if context is None or not hasattr(context, "kwargs"):
        return ""
    # pytest 9 holds the reprs, pytest-subtests the values.
    shown = [f"{name}={value if isinstance(value, str) else repr(value)}" for name, value in context.kwargs.items()]
    return _cut(" ".join(([str(context.msg)] if context.msg else []) + [", ".join(shown)]).strip() or "subtest", 300)


def _failure(longrepr: object, limits: _Limits) -> dict[str, object]:
    """Return the exception's text and frames, outermost first; a longrepr may also be plain text."""
    missing_fixture = getattr(longrepr, "errorstring", None)
    if missing_fixture is not None:
        lines = [line.strip() for line in str(missing_fixture).splitlines()]
        hint = "use 'pytest --fixtures"
        return {"message": _cut("\n".join(line for line in lines if not line.startswith(hint)), limits.chars)}
    crash, trace = getattr(longrepr, "reprcrash", None), getattr(longrepr, "reprtraceback", None)
    if crash is None or trace is None:
        return {"message": _cut(str(longrepr), limits.chars)}
    causes = [
        f"after {cause.message.partition(chr(10))[0]} (line {cause.lineno} of {Path(cause.path).name})"
        for _, cause, _ in getattr(longrepr, "chain", [])[:-1]
        if cause is not None
    ]
    message = "\n".join([crash.message, *reversed(causes)])
    frames = [_frame(entry, limits) for entry in trace.reprentries[-limits.frames :]]
    return {"message": _cut(message, limits.chars), "frames": frames}


def _frame(entry: object, limits: _Limits) -> dict[str, object]:
    location, values = getattr(entry, "reprfileloc", None), getattr(entry, "reprlocals", None)
    # Below the line that was running, pytest prints position markers and the exception's text.
    lines = [line for line in getattr(entry, "lines", []) if line.strip("~^ ") and not line.startswith("E ")]
    in_module = getattr(location, "message", "") == "in <module>"  # its variables are the module's names
    return {
        "path": getattr(location, "path", ""),
        "line": getattr(location, "lineno", 0),
        # With --tb=short an entry shows only the line that was running; in longer ones it is the last line.
        "code": _cut(lines[-1].lstrip("> "), _SHORT_CHARS) if lines else "",
        "values": [_value(line, limits.value_chars) for line in values.lines[: limits.values]]
        if values and not in_module
        else [],
    }


def _value(line: str, limit: int) -> str:
    # pytest pads the names to the same width.
    name, equals, value = line.partition("=")
    return _cut(f"{name.strip()} = {value.strip()}" if equals else line, limit)


def _printed(report: pytest.TestReport) -> str:
    return "\n".join(text.rstrip() for title, text in report.sections if title.startswith("Captured "))


def _cut(text: str, limit: int = _FULL.chars) -> str:
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]} ... {len(text) - limit:,} characters left out ... {text[-(limit // 2) :]}"
