"""The results of test runs as a model reads them, from real pytest runs in a temporary folder."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import ToolContext
from tools.testing_tools import read_test_report, run_tests

if TYPE_CHECKING:
    from conftest import Called

ENV = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

CODE = """\
def half(number):
    rest = number % 2
    return number // 2 + rest


def halves(numbers):
    return [half(number) for number in numbers]
"""
TESTS = """\
import pytest
from code_of import half, halves


def test_even():
    assert half(4) == 2


def test_odd():
    print("looking at 5")
    assert halves([4, 5]) == [2, 2]


@pytest.fixture
def broken():
    raise RuntimeError("no database")


def test_with_fixture(broken):
    pass


@pytest.mark.skip(reason="later")
def test_later():
    pass


@pytest.mark.xfail
def test_known():
    assert half(1) == 7


def test_raises():
    half("x")
"""


def context(workspace: Path, env: dict[str, str] = ENV) -> ToolContext[Any]:
    return ToolContext(workspace=workspace, state=None, env=env)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "code_of.py").write_text(CODE)
    (tmp_path / "test_code.py").write_text(TESTS)
    return tmp_path


async def test_failures_are_reported_with_location_and_values(project: Path, called: Called):
    assert await called(run_tests, context(project)) == (
        "2 failed, 1 error, 1 passed, 1 skipped, 1 xfailed.\n"
        "\n"
        "FAILED test_code.py::test_odd\n"
        "  assert [2, 3] == [2, 2]\n"
        "    \n"
        "    At index 1 diff: 3 != 2\n"
        "    Use -v to get more diff\n"
        "  at test_code.py:11: assert halves([4, 5]) == [2, 2]\n"
        "  output:\n"
        "    looking at 5\n"
        "\n"
        "ERROR test_code.py::test_with_fixture\n"
        "  RuntimeError: no database\n"
        '  at test_code.py:16: raise RuntimeError("no database")\n'
        "\n"
        "FAILED test_code.py::test_raises\n"
        "  TypeError: not all arguments converted during string formatting\n"
        '  at test_code.py:34: half("x")\n'
        "  at code_of.py:2: rest = number % 2\n"
        "  with number = 'x'"
    )


async def test_changes_since_the_last_run_are_reported(project: Path, called: Called):
    run_context = context(project)
    first = await called(run_tests, run_context, tests=["test_code.py::test_even", "test_code.py::test_odd"])
    assert first.startswith("1 failed, 1 passed.\n\nFAILED")
    (project / "code_of.py").write_text(CODE.replace("number // 2 + rest", "number // 2"))
    assert await called(run_tests, run_context, tests=["test_code.py::test_odd"]) == (
        "1 passed.\nSince the last run: now pass: test_code.py::test_odd."
    )
    (project / "code_of.py").write_text(CODE.replace("number // 2 + rest", "rest"))
    assert "\nSince the last run: newly fail: test_code.py::test_even, test_code.py::test_odd.\n" in await called(
        run_tests, run_context, tests=["test_code.py::test_even", "test_code.py::test_odd"]
    )
    assert "still fail: test_code.py::test_odd." in await called(
        run_tests, run_context, tests=["test_code.py::test_odd"]
    )


async def test_a_file_that_cannot_be_imported_is_reported_as_an_error_with_the_reason(project: Path, called: Called):
    (project / "test_code.py").write_text("from code_of import nothing\n")
    answer = await called(run_tests, context(project))
    assert answer.startswith("1 error.\n\nERROR test_code.py\n")
    assert "cannot import name 'nothing' from 'code_of'" in answer


async def test_a_run_that_crashes_or_hangs_names_the_test(project: Path, called: Called):
    (project / "test_code.py").write_text(
        "import os, signal\n\ndef test_fine():\n    pass\n\n"
        "def test_dies():\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    assert await called(run_tests, context(project), tests=["test_code.py::test_fine", "test_code.py::test_dies"]) == (
        "1 passed.\n\n"
        "pytest exited early (exit code 139 (killed by SIGSEGV)) while test_code.py::test_dies was running."
    )
    (project / "test_code.py").write_text(
        "import os, pytest\n\n@pytest.fixture\ndef leaves():\n    yield\n    os._exit(0)\n\n"
        "def test_leaves(leaves):\n    pass\n"
    )
    assert await called(run_tests, context(project)) == (
        "1 passed.\n\npytest exited early (exit code 0) while test_code.py::test_leaves was running."
    )
    (project / "test_code.py").write_text("import time\n\ndef test_hangs():\n    time.sleep(60)\n")
    assert await called(run_tests, context(project), tests=["test_code.py::test_hangs"], timeout_s=2) == (
        "!pytest did not end within 2 s and was killed while test_code.py::test_hangs was running. Run fewer tests, "
        "or set a larger timeout_s."
    )


async def test_arguments_that_are_not_tests_are_refused_with_what_to_pass(project: Path, called: Called):
    assert await called(run_tests, context(project), tests=["-x"]) == (
        "!'-x' is not a test. Set tests to files, folders or ids such as test_a.py::test_b, not options."
    )
    (project / "test_code.py").unlink()
    assert await called(run_tests, context(project)) == (
        "!pytest found no tests. Find the test files with list_files, then set tests to them."
    )
    missing = await called(run_tests, context(project), tests=["test_gone.py"])
    assert re.match(r"!pytest exited early \(exit code 4\)\. Output:\n.*test_gone\.py", missing, re.DOTALL)
    assert await called(run_tests, context(project, {"PATH": str(project)})) == (
        "!There is no `python` on the PATH of this run. Say so in your answer."
    )


async def test_the_report_of_another_test_runner_is_read(tmp_path: Path, called: Called):
    (tmp_path / "report.xml").write_text(
        '<testsuites><testsuite name="a"><testcase classname="math" name="adds"/>'
        '<testcase classname="math" name="halves"><failure message="expected 2">at math.js:3</failure>'
        "<system-out>hello</system-out></testcase>"
        '<testcase name="later"><skipped/></testcase></testsuite></testsuites>'
    )
    assert await called(read_test_report, context(tmp_path), path="report.xml") == (
        "1 failed, 1 passed, 1 skipped.\n\nFAILED math::halves\n  expected 2\n  at math.js:3\n  output:\n    hello"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no xml", "it is not well-formed XML (syntax error: line 1, column 0)"),
        ("<html/>", "its root is <html>, not <testsuites> or <testsuite>"),
        (
            '<!DOCTYPE a [<!ENTITY b "c">]><testsuite>&b;</testsuite>',
            "it is not well-formed XML (EntitiesForbidden(name='b', system_id=None, public_id=None))",
        ),
    ],
)
async def test_a_file_that_is_not_a_report_is_refused_with_the_reason(
    tmp_path: Path, text: str, why: str, called: Called
):
    (tmp_path / "report.xml").write_text(text)
    assert await called(read_test_report, context(tmp_path), path="report.xml") == (
        f'!"report.xml" is not a JUnit XML report: {why}. Make the test runner write one, then set path to it.'
    )
