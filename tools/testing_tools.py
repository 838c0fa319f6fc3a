"""Run the tests of the workspace, or read another runner's report; return what failed, where and why."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, tool

from . import _paths
from ._commands import describe_exit, python_of
from ._reporter import REPORT_ENV
from ._test_report import Outcome, Report, format_report, from_junit, from_plugin

MAX_TIMEOUT_S = 1_800
MAX_REPORT_BYTES = 20_000_000
_PLUGIN = "tramontane_test_report"
_MAX_OUTPUT_CHARS = 4_000
# pytest.ExitCode, version 9.2: all passed, some failed, a file could not be collected. The report covers all three.
_REPORTED_CODES = frozenset({0, 1, 2})
_NO_TESTS_CODE = 5


class _LastRun:
    """The last outcome of each test."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] | None = None

    def compare(self, report: Report) -> str:
        """Format the report with the changes since the last run, and save its outcomes."""
        text = format_report(report, self.outcomes)
        self.outcomes = {**(self.outcomes or {}), **{case.name: case.outcome for case in report.cases}}
        return text


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 30.0)
async def run_tests(
    context: ToolContext[Any],
    tests: Annotated[
        tuple[str, ...], Field(description="Files, folders or ids such as test_a.py::test_b; empty runs all tests.")
    ] = (),
    timeout_s: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S)] = 300,
) -> str:
    """Run Python tests with pytest; returns what failed, where, with which values, and changes since the last run."""
    if invalid := next((name for name in tests if name.startswith("-") or "\0" in name), None):
        msg = f"{invalid!r} is not a test. Set tests to files, folders or ids such as test_a.py::test_b, not options."
        raise ToolError(msg)
    python = python_of(context.env)
    with tempfile.TemporaryDirectory(prefix="tests-") as name:
        folder = Path(name)
        shutil.copyfile(Path(__file__).with_name("_reporter.py"), folder / f"{_PLUGIN}.py")
        path = [str(folder), *filter(None, [context.env.get("PYTHONPATH")])]
        env = {**context.env, "PYTHONPATH": ":".join(path), REPORT_ENV: str(folder / "report.jsonl")}
        env["PYTHONDONTWRITEBYTECODE"] = "1"  # Python would use a stale .pyc of a file edited within the same second
        argv = [python, "-m", "pytest", "-q", "-p", _PLUGIN, "--tb=short", "--showlocals", "--no-header", *tests]
        ran = await context.run(argv, timeout_s=timeout_s, env=env, write=[folder])
        report_file = folder / "report.jsonl"
        text = report_file.read_text(encoding="utf-8") if report_file.exists() else ""
    report = from_plugin(text, context.workspace.resolve())
    if ran.exit_code != 0 and not report.cases:
        raise ToolError(_failure_message(ran.exit_code, ran.output, timeout_s, report.running))
    result = context.resources.get(_LastRun).compare(report)
    return f"{result}\n\n{_abort_message(ran.exit_code, timeout_s, report.running)}".rstrip()


@tool(read_only=True)
def read_test_report(context: ToolContext[Any], path: str) -> str:
    """Read a JUnit XML report of another test runner; returns what failed, and changes since the last run."""
    relative = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, relative) as file:
        data = file.read(MAX_REPORT_BYTES + 1)
    if len(data) > MAX_REPORT_BYTES:
        msg = f'"{relative}" is larger than {MAX_REPORT_BYTES:,} bytes. Run fewer tests, or search the file.'
        raise ToolError(msg)
    try:
        report = from_junit(data)
    except ValueError as error:
        msg = f'"{relative}" is not a JUnit XML report: {error}. Make the test runner write one, then set path to it.'
        raise ToolError(msg) from error
    return context.resources.get(_LastRun).compare(report)


def _abort_message(code: int | None, timeout_s: int, running: str) -> str:
    at = f" while {running} was running" if running else ""
    if code is None:
        return (
            f"pytest did not end within {timeout_s} s and was killed{at}. Run fewer tests, or set a larger timeout_s."
        )
    if running or code not in _REPORTED_CODES:
        return f"pytest exited early ({describe_exit(code)}){at}."
    return ""


def _failure_message(code: int | None, output: str, timeout_s: int, running: str) -> str:
    if "No module named pytest" in output:
        return "pytest is not installed for the `python` of this run. Install it, or run the tests with run_shell."
    if code == _NO_TESTS_CODE:
        return "pytest found no tests. Find the test files with list_files, then set tests to them."
    reason = _abort_message(code, timeout_s, running) or "pytest ran no tests."
    tail = output.strip()[-_MAX_OUTPUT_CHARS:]
    return f"{reason} Output:\n{tail}" if tail else reason
