"""Run the tests of the workspace, or read another runner's report; return what failed, where and why."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agent import CommandResult, ToolContext, ToolError, tool

from . import _paths
from ._commands import check_pytest, describe_exit, python_of
from ._junit import from_junit
from ._report_file import read_report
from ._test_candidates import where_tests_are
from ._test_memory import Selection, TestHistory
from ._test_pages import PAGE_CHARS
from ._test_report import Report, readable
from ._test_selection import check_files, describe_missing_test, pytest_arguments, select
from ._test_text import Asked, page_of_report, summary_lines

MAX_TIMEOUT_S = 1_800
MAX_REPORT_BYTES = 20_000_000
_COLLECT_TIMEOUT_S = 60
_PLUGIN = "tramontane_test_report"
_REPORT = "report.jsonl"
_REPORT_ENV = "TRAMONTANE_TEST_REPORT"  # as in _reporter.py, which only the Python of the tests can import
_MAX_OUTPUT_LINES = 20
"""Shown from the beginning and from the end."""
_MAX_LINE_CHARS = 500
_MAX_REFUSED = 5
# pytest.ExitCode, version 9.2: all passed, some failed, a file could not be collected. The report covers all three.
_REPORTED_CODES = frozenset({0, 1, 2})
_NOT_COLLECTED = re.compile(r"PytestCollectionWarning: (cannot collect .+)")
_USAGE_CODE = 4
_NO_TESTS_CODE = 5

Context = ToolContext[Any]
Failure = Annotated[
    str, Field(description="Id of a failed test of the last report: show that failure in full. Runs no test.")
]
Page = Annotated[int, Field(ge=1, description="From 2: show this page of the last report. Runs no test.")]


@dataclass(kw_only=True)
class _TestRuns:
    """What earlier calls of these tools found."""

    histories: dict[str, TestHistory] = field(default_factory=dict[str, TestHistory])
    """By report; an empty string stands for pytest."""
    report: Report | None = None
    """Of the last pytest run."""
    head: list[str] = field(default_factory=list[str])
    """The first lines of its text."""

    def history(self, path: str = "") -> TestHistory:
        return self.histories.setdefault(path, TestHistory())

    def on_context_renewed(self) -> None:
        """Forget everything: the model no longer knows what it was told, and files may have been restored."""
        self.histories.clear()
        self.report, self.head = None, []


@dataclass(frozen=True, kw_only=True)
class _Ran:
    command: CommandResult
    report: Report


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 2 * _COLLECT_TIMEOUT_S)
async def run_tests(
    context: Context,
    tests: Annotated[
        tuple[str, ...], Field(description="Files, folders or ids such as test_a.py::test_b; empty runs all tests.")
    ] = (),
    ignore: Annotated[tuple[str, ...], Field(description="Files and folders to leave out.")] = (),
    timeout_s: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S)] = 300,
    failure: Failure = "",
    page: Page = 1,
) -> str:
    """Run Python tests with pytest; returns what failed, where, with which values, and changes since the last run."""
    runs = context.resources.get(_TestRuns)
    asked = Asked(call="run_tests with", page=page, failure=failure, page_chars=_page_chars(context))
    if failure or page > 1:
        if runs.report is None:
            msg = "No tests have run yet. Call run_tests without failure and page first."
            raise ToolError(msg)
        return page_of_report(runs.report, runs.head, asked)
    selection = select(context.workspace, tests, ignore)
    ran = await _run_pytest(context, pytest_arguments(context.workspace, selection), timeout_s)
    note = ""
    if ran.command.exit_code == _USAGE_CODE and (unknown := _unknown_options(ran.command.output)):
        # Most often a plugin that the project's settings use is not installed.
        note = f"pytest does not know {unknown}, which the project's settings use: it ran without its addopts."
        ran = await _run_pytest(context, ["-o", "addopts=", *pytest_arguments(context.workspace, selection)], timeout_s)
    report, code = ran.report, ran.command.exit_code
    if not report.cases:
        raise ToolError(await _failure_message(context, ran, selection, timeout_s))
    lines = summary_lines(report, elapsed_s=ran.command.elapsed_s, ignored=selection.ignored)
    aborted = "" if report.uncollected and code is not None else _abort_message(code, timeout_s, report.running)
    not_run = _not_run(report, is_aborted=bool(aborted))
    lines += [line for line in (aborted, *report.problems, not_run, note) if line]
    runs.report, runs.head = report, [*lines, *runs.history().compare(report, selection)]
    return page_of_report(report, runs.head, asked)


@tool(read_only=True)
def read_test_report(context: Context, path: str, failure: Failure = "", page: Page = 1) -> str:
    """Read a JUnit XML report of another test runner; returns what failed, and changes since the last run."""
    relative = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, relative) as file:
        data = file.read(MAX_REPORT_BYTES + 1)
    if len(data) > MAX_REPORT_BYTES:
        msg = f'"{relative}" is larger than {MAX_REPORT_BYTES:,} bytes. Run fewer tests, or search the file.'
        raise ToolError(msg)
    try:
        report = _redacted(from_junit(data), context)
    except ValueError as error:
        msg = f'"{relative}" is not a JUnit XML report: {error}. Make the test runner write one, then set path to it.'
        raise ToolError(msg) from error
    call = f'read_test_report with path="{relative}",'
    asked = Asked(call=call, page=page, failure=failure, page_chars=_page_chars(context))
    head = summary_lines(report)
    if not failure and page == 1:
        head += context.resources.get(_TestRuns).history(relative).compare(report, Selection())
    return page_of_report(report, head, asked)


def _redacted(report: Report, context: Context) -> Report:
    """Return the report without secrets in the texts of its failures, which are cut when they are shown."""
    redacted = cache(context.redacted)  # of a large report, most texts are the same
    for at, case in enumerate(report.cases):
        if case.outcome != "passed":
            message, printed = redacted(case.message), redacted(case.printed)
            if (message, printed) != (case.message, case.printed):
                report.cases[at] = replace(case, message=message, printed=printed)
    return report


def _page_chars(context: Context) -> int:
    # The head of a report, and the names of later failures, need room besides.
    return min(PAGE_CHARS, context.output_limit_chars * 3 // 4)


async def _run_pytest(context: Context, arguments: list[str], timeout_s: int) -> _Ran:
    python = python_of(context.env)
    with context.private_folder() as folder:
        shutil.copyfile(Path(__file__).with_name("_reporter.py"), folder / f"{_PLUGIN}.py")
        path = [str(folder), *filter(None, [context.env.get("PYTHONPATH")])]
        env = {**context.env, "PYTHONPATH": ":".join(path), _REPORT_ENV: str(folder / _REPORT)}
        env["PYTHONDONTWRITEBYTECODE"] = "1"  # Python would use a stale .pyc of a file edited within the same second
        # After the project's own options, so that these win.
        options = ["-q", "-p", _PLUGIN, "--tb=short", "--showlocals", "--no-header", "--color=no"]
        argv = [python, "-m", "pytest", *options, *arguments]
        command = await context.run(argv, timeout_s=timeout_s, env=env, write=[folder])
        read = await asyncio.to_thread(read_report, folder, _REPORT, context.workspace.resolve())
        report = await asyncio.to_thread(_redacted, read, context)
    return _Ran(command=command, report=report)


def _unknown_options(output: str) -> str:
    found = re.search(r"^.*error: unrecognized arguments: (.+)$", output, re.MULTILINE)
    return found[1].strip() if found else ""


def _abort_message(code: int | None, timeout_s: int, running: str) -> str:
    at = f" while {running} was running" if running else ""
    if code is None:
        return (
            f"pytest did not end within {timeout_s} s and was killed{at}. Run fewer tests, or set a larger timeout_s."
        )
    if running or code not in _REPORTED_CODES:
        return f"pytest exited early ({describe_exit(code)}){at}."
    return ""


def _not_run(report: Report, *, is_aborted: bool) -> str:
    if not report.not_run or report.uncollected:
        return ""
    count = "1 test" if report.not_run == 1 else f"{report.not_run} tests"
    if report.problems:
        return f"{count} {'has' if report.not_run == 1 else 'have'} no result."
    if is_aborted:
        return f"{count} did not run."
    if re.search(r"(?:^|\s)(?:-x|--exitfirst|--maxfail|--sw|--stepwise)\b", report.settings):
        why = f"at a failure, as the project's settings ask ({report.settings})"
        return f"{count} did not run: pytest stopped {why}. To run them, set tests to them."
    return f"{count} did not run: pytest stopped early."


async def _failure_message(context: Context, ran: _Ran, selection: Selection, timeout_s: int) -> str:
    code, output = ran.command.exit_code, ran.command.output
    check_pytest(output, context.env)
    if code == _NO_TESTS_CODE:
        return await asyncio.to_thread(_no_tests_message, context.workspace, ran, selection)
    if code == _USAGE_CODE:
        await asyncio.to_thread(check_files, context.workspace, selection)
        if missing := await _missing_test(context, selection):
            return missing
    aborted = _abort_message(code, timeout_s, ran.report.running)
    reason = " ".join(filter(None, [aborted, *ran.report.problems])) or "pytest reported no test."
    lines = [line[:_MAX_LINE_CHARS] for line in context.redacted(readable(output)).strip().splitlines()]
    if len(lines) > 2 * _MAX_OUTPUT_LINES:
        left_out = f"... {len(lines) - 2 * _MAX_OUTPUT_LINES} lines left out ..."
        lines = [*lines[:_MAX_OUTPUT_LINES], left_out, *lines[-_MAX_OUTPUT_LINES:]]
    return "\n".join([f"{reason} Output:", *lines]) if lines else reason


def _no_tests_message(workspace: Path, ran: _Ran, selection: Selection) -> str:
    report = ran.report
    count = len(report.deselected)
    if not count:
        asked = ", ".join(filter(None, selection.targets))
        refused = list(dict.fromkeys(_NOT_COLLECTED.findall(ran.command.output)))[:_MAX_REFUSED]
        if refused:
            reason = "".join(f"\n  {text}" for text in refused)
        else:
            reason = f" {where_tests_are(workspace, selection, is_selective=bool(asked))}"
        return f"pytest found no tests{f' in {asked}' if asked else ''}.{reason}"
    names = " ".join(filter(None, selection.targets))
    return (
        f"pytest found {'1 test' if count == 1 else f'{count} tests'}, which the project's settings deselect "
        f'({report.settings}). To run what they deselect: run_shell with `python -m pytest -o addopts="" {names}`.'
    )


async def _missing_test(context: Context, selection: Selection) -> str:
    wanted = [name for name in selection.targets if "::" in name]
    files = dict.fromkeys(name.partition("::")[0] for name in wanted)
    if not files:
        return ""
    ran = await _run_pytest(context, ["-o", "addopts=", "--collect-only", *files], _COLLECT_TIMEOUT_S)
    known = ran.report.collected or frozenset()
    for name in wanted:
        if not any(one == name or one.startswith((f"{name}::", f"{name}[")) for one in known):
            file = name.partition("::")[0]
            return describe_missing_test(name, sorted(one for one in known if one.startswith(f"{file}::")))
    return ""
