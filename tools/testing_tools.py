"""Run the tests of the workspace, or read another runner's report; answer with what failed, where and why."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, tool

from . import _paths
from ._commands import ended, python_of
from ._reporter import REPORT_ENV
from ._test_report import Outcome, Report, from_junit, from_plugin, told

MAX_TIMEOUT_S = 1_800
MAX_REPORT_BYTES = 20_000_000
_PLUGIN = "tramontane_test_report"
_MOST_OUTPUT_CHARS = 4_000
# pytest.ExitCode, version 9.2. Passed and failed are told by the tests, a file that cannot be collected by its error.
_TOLD = frozenset({0, 1, 2})
_NOTHING_RAN = 5


class _LastRun:
    """How each test ended when it ran last."""

    def __init__(self) -> None:
        self.ended: dict[str, Outcome] | None = None

    def compared(self, report: Report) -> str:
        """Word the report beside what was before, and remember it."""
        text = told(report, self.ended)
        self.ended = {**(self.ended or {}), **{case.name: case.outcome for case in report.cases}}
        return text


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 30.0)
async def run_tests(
    context: ToolContext[Any],
    tests: Annotated[
        tuple[str, ...], Field(description="Files, folders or ids such as test_a.py::test_b; none: all.")
    ] = (),
    timeout_s: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S)] = 300,
) -> str:
    """Run the Python tests with pytest; tells what failed, where, with which values, and what changed since."""
    if wrong := next((name for name in tests if name.startswith("-") or "\0" in name), None):
        msg = f"{wrong!r} is no test. Give files, folders or ids such as test_a.py::test_b, not options."
        raise ToolError(msg)
    python = python_of(context.env)
    with tempfile.TemporaryDirectory(prefix="tests-") as name:
        folder = Path(name)
        shutil.copyfile(Path(__file__).with_name("_reporter.py"), folder / f"{_PLUGIN}.py")
        path = [str(folder), *filter(None, [context.env.get("PYTHONPATH")])]
        env = {**context.env, "PYTHONPATH": ":".join(path), REPORT_ENV: str(folder / "report.jsonl")}
        env["PYTHONDONTWRITEBYTECODE"] = "1"  # a .pyc is taken for that of a file edited within the same second
        argv = [python, "-m", "pytest", "-q", "-p", _PLUGIN, "--tb=short", "--showlocals", "--no-header", *tests]
        ran = await context.run(argv, timeout_s=timeout_s, env=env, write=[folder])
        report_file = folder / "report.jsonl"
        text = report_file.read_text(encoding="utf-8") if report_file.exists() else ""
    report = from_plugin(text, context.workspace.resolve())
    if ran.exit_code != 0 and not report.cases:
        raise ToolError(_no_report(ran.exit_code, ran.output, timeout_s, report.running))
    answer = context.resources.get(_LastRun).compared(report)
    return f"{answer}\n\n{_cut_short(ran.exit_code, timeout_s, report.running)}".rstrip()


@tool(read_only=True)
def read_test_report(context: ToolContext[Any], path: str) -> str:
    """Read a JUnit XML report, as other test runners write it; tells what failed, and what changed since."""
    shown = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, shown) as file:
        data = file.read(MAX_REPORT_BYTES + 1)
    if len(data) > MAX_REPORT_BYTES:
        msg = f'"{shown}" is larger than {MAX_REPORT_BYTES:,} bytes. Run fewer tests, or use search on it.'
        raise ToolError(msg)
    try:
        report = from_junit(data)
    except ValueError as error:
        msg = f'"{shown}" is no JUnit XML report: {error}. Let the test runner write one, then give its path.'
        raise ToolError(msg) from error
    return context.resources.get(_LastRun).compared(report)


def _cut_short(code: int | None, timeout_s: int, running: str) -> str:
    at = f" while {running} was running" if running else ""
    if code is None:
        return f"The run did not end within {timeout_s} s and was killed{at}. Give fewer tests, or a larger timeout_s."
    if running or code not in _TOLD:
        return f"The run broke off ({ended(code)}){at}."
    return ""


def _no_report(code: int | None, printed: str, timeout_s: int, running: str) -> str:
    if "No module named pytest" in printed:
        return "pytest is not installed for the `python` of this run. Install it, or run the tests with run_shell."
    if code == _NOTHING_RAN:
        return "pytest found no test. Give the file of the tests, or look for them with list_files."
    reason = _cut_short(code, timeout_s, running) or "pytest ran no test."
    tail = printed.strip()[-_MOST_OUTPUT_CHARS:]
    return f"{reason} It printed:\n{tail}" if tail else reason
