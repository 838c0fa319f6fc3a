"""The report of a test run lies where the tests can write: whatever they put there, run_tests ends and says so."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import ToolContext
from tools import _report_file
from tools._report_file import read_report
from tools.testing_tools import run_tests

if TYPE_CHECKING:
    from conftest import Called

ENV = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

REPLACED = """\
import os
REPORT = os.environ["TRAMONTANE_TEST_REPORT"]

def test_a():
    pass

def pytest_sessionfinish():
    os.unlink(REPORT)
    {}
"""


def context(workspace: Path) -> ToolContext[Any]:
    return ToolContext(workspace=workspace, env=ENV)


@pytest.mark.parametrize(
    ("instead", "what"),
    [
        ("os.mkfifo(REPORT)", "something that is not a readable file"),
        ("os.mkdir(REPORT)", "something that is not a readable file"),
        ("os.symlink('/etc/passwd', REPORT)", "a symlink"),
    ],
    ids=["fifo", "folder", "symlink"],
)
async def test_a_report_that_the_tests_replaced_is_neither_waited_for_nor_followed(
    tmp_path: Path, called: Called, instead: str, what: str
):
    """A FIFO there was opened for reading and hung for ever; a symlink was followed out of the sandbox."""
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    (tmp_path / "conftest.py").write_text(REPLACED.format(instead))
    answer = await called(run_tests, context(tmp_path))
    assert answer.splitlines()[:2] == [
        f"!The tests replaced pytest's report with {what}, so their results are unknown. Output:",
        ".                                                                        [100%]",
    ]
    assert "1 passed in " in answer


async def test_lines_of_others_in_the_report_are_ignored_and_counted(tmp_path: Path, called: Called):
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n\ndef test_b():\n    assert 0\n")
    (tmp_path / "conftest.py").write_text(
        "import os\n\ndef pytest_runtest_setup():\n"
        "    with open(os.environ['TRAMONTANE_TEST_REPORT'], 'ab') as file:\n"
        "        file.write(b'[' * 100_000 + b'\\n\\xff\\n')\n"
    )
    assert await called(run_tests, context(tmp_path)) == (
        "1 failed, 1 passed.\n"
        "Ignored 4 lines of pytest's report that are not results; some may be missing.\n"
        "\n"
        "FAILED test_a.py::test_b\n"
        "  assert 0\n"
        "  at test_a.py:5: assert 0"
    )


async def test_a_test_whose_result_was_lost_has_no_result_and_was_not_left_out(tmp_path: Path, called: Called):
    (tmp_path / "test_a.py").write_text(
        "import os\n\ndef test_a():\n    pass\n\ndef test_b():\n"
        "    with open(os.environ['TRAMONTANE_TEST_REPORT'], 'ab') as file:\n"
        "        file.write(b'{')\n"
    )
    assert await called(run_tests, context(tmp_path)) == (
        "1 passed.\nIgnored 1 line of pytest's report that are not results; some may be missing.\n1 test has no result."
    )


async def test_a_passing_run_without_a_report_is_not_said_to_have_run_no_tests(tmp_path: Path, called: Called):
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    (tmp_path / "conftest.py").write_text(REPLACED.format("pass"))
    answer = await called(run_tests, context(tmp_path))
    assert answer.startswith("!pytest reported no test. Output:\n.")
    assert "1 passed in " in answer


def test_only_the_first_part_of_a_huge_report_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It was read whole: a test could fill the memory of the framework."""
    line = '{"event": "result", "id": "test_a.py::test_%d"}\n'  # 47 bytes
    (tmp_path / "report").write_text("".join(line % number for number in range(10)))
    monkeypatch.setattr(_report_file, "MAX_BYTES", 3 * 47)
    report = read_report(tmp_path, "report", tmp_path)
    assert [case.name for case in report.cases] == ["test_a.py::test_0", "test_a.py::test_1", "test_a.py::test_2"]
    assert report.problems == (
        "The report is larger than 141 bytes; later results are missing. Run fewer tests at once.",
    )
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1_000_000_000_000)
    monkeypatch.setattr(_report_file, "MAX_BYTES", 1_000)
    monkeypatch.setattr(_report_file, "MAX_LINE_BYTES", 400)
    assert read_report(tmp_path, "sparse", tmp_path).problems == (
        "Ignored 2 lines of pytest's report that are not results; some may be missing.",
        "The report is larger than 1,000 bytes; later results are missing. Run fewer tests at once.",
    )


async def test_a_failure_with_half_a_character_is_reported(tmp_path: Path, called: Called):
    """JSON cannot hold one, so the result was lost, and the test was said to be not run."""
    (tmp_path / "test_a.py").write_text("def test_a():\n    assert 0, 'name\\udcff'\n\ndef test_b():\n    pass\n")
    assert await called(run_tests, context(tmp_path)) == (
        "1 failed, 1 passed.\n"
        "\n"
        "FAILED test_a.py::test_a\n"
        "  AssertionError: name\\udcff\n"
        "  assert 0\n"
        "  at test_a.py:2: assert 0, 'name\\udcff'"
    )


async def test_the_text_of_the_first_failures_is_complete_and_that_of_hundreds_more_is_cut(
    tmp_path: Path, called: Called
):
    """What a report holds of each failure is bounded, so that no real report is too large to be read."""
    (tmp_path / "test_a.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.parametrize('number', range(302))\n"
        "def test_a(number):\n"
        "    a = b = c = d = e = f = g = h = i = j = 'x' * 500\n"
        "    assert number == 299, 'z' * 5_000\n"
    )
    run_context = context(tmp_path)
    await called(run_tests, run_context)
    first = await called(run_tests, run_context, failure="test_a.py::test_a[0]")
    last = await called(run_tests, run_context, failure="test_a.py::test_a[301]")
    assert "z" * 5_000 in first
    assert first.count("\n      ") == 11
    assert f"{'z' * 100} ... 3,034 characters left out ... {'z' * 100}" in last
    assert last.count("\n      ") == 10
