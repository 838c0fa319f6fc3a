"""The results of test runs as a model reads them, from real pytest runs in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import ToolContext
from tools._test_report import Report, from_plugin
from tools._test_text import summary_lines
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
    return ToolContext(workspace=workspace, env=env)


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
        "    At index 1 diff: 3 != 2\n"
        "    Full diff: (-: missing in left side, +: extra in left side)\n"
        "      [\n"
        "          2,\n"
        "    -     2,\n"
        "    ?     ^\n"
        "    +     3,\n"
        "    ?     ^\n"
        "      ]\n"
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


async def test_the_line_of_the_test_stays_in_a_short_trace(project: Path, called: Called):
    """Only the innermost four frames were shown, all in the library."""
    chain = "\n\n\n".join(f"def f{n}(x):\n    return f{n + 1}(x)" for n in range(6))
    (project / "code_of.py").write_text(f"{chain}\n\n\ndef f6(x):\n    return x[0]\n")
    (project / "test_code.py").write_text(
        "import code_of\n\n\ndef check(x):\n    assert code_of.f2(x) == 1\n\n\ndef test_far():\n    check([])\n\n\n"
        "def test_farther():\n    assert code_of.f0([]) == 1\n\n\ndef test_near():\n    assert code_of.f2([]) == 1\n"
    )
    inner = [f"  at code_of.py:{4 * n + 2}: return f{n + 1}(x)" for n in (3, 4, 5)]
    inner += ["  at code_of.py:26: return x[0]", "  with x = []"]

    async def shown(test: str) -> list[str]:
        report = await called(run_tests, context(project), tests=[f"test_code.py::{test}"])
        return report.split("\n\n")[1].splitlines()[2:]

    more = '  [shortened; all of it: run_tests with failure="test_code.py::test_far", which runs no test]'
    assert await shown("test_far") == ["  at test_code.py:9: check([])", "  ... 2 frames left out", *inner, more]
    farther = await shown("test_farther")
    assert farther[:3] == ["  at test_code.py:13: assert code_of.f0([]) == 1", "  ... 3 frames left out", inner[0]]
    # A note about a single frame would take as much room as the frame.
    near = ["  at test_code.py:17: assert code_of.f2([]) == 1", "  at code_of.py:10: return f3(x)", *inner]
    assert await shown("test_near") == near


async def test_changes_since_the_tests_last_ran_are_reported(project: Path, called: Called):
    run_context = context(project)
    first = await called(run_tests, run_context, tests=["test_code.py::test_even", "test_code.py::test_odd"])
    assert first.startswith("1 failed, 1 passed.\n\nFAILED")
    (project / "code_of.py").write_text(CODE.replace("number // 2 + rest", "number // 2"))
    assert await called(run_tests, run_context, tests=["test_code.py::test_odd"]) == (
        "1 passed.\nChanges since these tests last ran:\n  now pass: test_code.py::test_odd"
    )
    (project / "code_of.py").write_text(CODE.replace("number // 2 + rest", "rest"))
    both = ["test_code.py::test_even", "test_code.py::test_odd"]
    assert "\n  newly fail: test_code.py::test_even, test_code.py::test_odd\n" in await called(
        run_tests, run_context, tests=both
    )
    assert "\n  still fail: test_code.py::test_odd\n" in await called(run_tests, run_context, tests=both[1:])


async def test_a_new_failing_test_is_a_change(project: Path, called: Called):
    run_context = context(project)
    (project / "test_code.py").write_text("def test_one():\n    pass\n")
    assert await called(run_tests, run_context) == "1 passed."
    (project / "test_code.py").write_text("def test_one():\n    pass\n\n\ndef test_two():\n    assert 0\n")
    assert await called(run_tests, run_context) == (
        "1 failed, 1 passed.\n"
        "Changes since these tests last ran:\n"
        "  new and failing: test_code.py::test_two\n"
        "\n"
        "FAILED test_code.py::test_two\n"
        "  assert 0\n"
        "  at test_code.py:6: assert 0"
    )
    (project / "test_code.py").write_text("def test_two():\n    pass\n")
    assert await called(run_tests, run_context) == (
        "1 passed.\nChanges since these tests last ran:\n"
        "  now pass: test_code.py::test_two\n  gone: test_code.py::test_one"
    )


async def test_a_renewed_context_is_not_told_changes_since_a_run_it_does_not_know(project: Path, called: Called):
    run_context = context(project)
    (project / "test_code.py").write_text("def test_one():\n    assert 0\n")
    first = await called(run_tests, run_context)
    await run_context.resources.renew_context(pytest.fail)
    assert await called(run_tests, run_context, failure="test_one") == (
        "!No tests have run yet. Call run_tests without failure and page first."
    )
    assert await called(run_tests, run_context) == first


async def test_a_collection_error_shows_the_exception_and_its_place_not_the_locals_of_the_module(
    project: Path, called: Called
):
    (project / "test_broken.py").write_text("import os\n\nSETTINGS = open('settings.ini')\n")
    assert await called(run_tests, context(project)) == (
        "1 file could not be collected, so no test ran.\n"
        'To run the other tests, call run_tests with ignore=["test_broken.py"].\n'
        "\n"
        "ERROR test_broken.py\n"
        "  FileNotFoundError: [Errno 2] No such file or directory: 'settings.ini'\n"
        "  at test_broken.py:3: SETTINGS = open('settings.ini')"
    )
    assert (await called(run_tests, context(project), ignore=["test_broken.py"])).startswith("2 failed, 1 error, ")
    (project / "test_other.py").write_text("import nothing\n")
    assert 'ignore=["test_broken.py", "test_other.py"]' in await called(
        run_tests, context(project), ignore=["test_broken.py"]
    )
    only = await called(run_tests, context(project), tests=["test_other.py::test_a"])
    assert only.startswith("1 file could not be collected, so no test ran.\n\nERROR test_other.py\n")
    assert await called(run_tests, context(project), ignore=["broken.py"]) == (
        '!There is no "broken.py" in the workspace. Did you mean "test_broken.py"?'
    )
    assert await called(run_tests, context(project), ignore=["test_code.py::test_odd"]) == (
        '!ignore takes files and folders, not tests such as "test_code.py::test_odd".'
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "from code_of import nothing\n",
            "  ImportError: cannot import name 'nothing' from 'code_of' ({}/code_of.py)\n"
            "  at test_code.py:1: from code_of import nothing",
        ),
        ("def test_a(:\n    pass\n", "  SyntaxError: invalid syntax\n  at test_code.py:1: def test_a(:"),
        (
            "import helper\n",
            "  KeyError: 'x'\n  at test_code.py:1: import helper\n  at helper.py:1: VALUE = {}['x']",
        ),
    ],
)
async def test_every_kind_of_collection_error_names_its_line(project: Path, text: str, shown: str, called: Called):
    (project / "test_code.py").write_text(text)
    (project / "helper.py").write_text("VALUE = {}['x']\n")
    assert await called(run_tests, context(project)) == (
        "1 file could not be collected, so no test ran.\n\nERROR test_code.py\n" + shown.replace("({}", f"({project}")
    )


async def test_the_same_setup_error_is_shown_once(project: Path, called: Called):
    (project / "test_code.py").write_text(
        "import pytest\n\n\n@pytest.fixture\ndef base():\n    raise RuntimeError('no database')\n\n\n"
        "@pytest.mark.parametrize('number', range(14))\ndef test_each(base, number):\n    pass\n\n\n"
        "def test_more(base):\n    pass\n"
    )
    assert await called(run_tests, context(project)) == (
        "15 errors.\n"
        "\n"
        "ERROR in 15 tests, for the same reason: "
        + ", ".join(f"test_code.py::test_each[{number}]" for number in range(10))
        + " and 5 more\n"
        "  RuntimeError: no database\n"
        "  at test_code.py:6: raise RuntimeError('no database')\n"
        '  [shortened; all of it: run_tests with failure="test_code.py::test_each[0]", which runs no test]'
    )
    in_full = await called(run_tests, run_context := context(project)) and await called(
        run_tests, run_context, failure="test_more"
    )
    assert in_full.startswith("ERROR test_code.py::test_more\n  RuntimeError: no database\n")
    assert in_full.count("\n  test_code.py::test_each[") == 14


async def test_parametrized_cases_that_fail_at_one_place_take_a_line_each(project: Path, called: Called):
    (project / "test_code.py").write_text(
        "import pytest\n\n\n@pytest.mark.parametrize('number', [1, 2, 3])\ndef test_each(number):\n"
        "    assert number == 0\n"
    )
    assert await called(run_tests, context(project)) == (
        "3 failed.\n"
        "\n"
        "FAILED test_code.py::test_each[1]\n"
        "  assert 1 == 0\n"
        "  at test_code.py:6: assert number == 0\n"
        "  with number = 1\n"
        "  also at this place:\n"
        "    test_code.py::test_each[2]: assert 2 == 0\n"
        "    test_code.py::test_each[3]: assert 3 == 0"
    )


async def test_every_failed_subtest_is_reported(project: Path, called: Called):
    (project / "test_code.py").write_text(
        "import unittest\n\n\nclass Some(unittest.TestCase):\n    def test_all(self):\n"
        "        for number in range(3):\n            with self.subTest(number=number):\n"
        "                self.assertEqual(number, 1)\n"
    )
    run_context = context(project)
    assert await called(run_tests, run_context) == (
        "1 failed, 2 subtests failed.\n"
        "\n"
        "FAILED test_code.py::Some::test_all (number=0)\n"
        "  AssertionError: 0 != 1\n"
        "  at test_code.py:8: self.assertEqual(number, 1)\n"
        "  with number = 0, self = <test_code.Some testMethod=test_all>\n"
        "  also at this place:\n"
        "    test_code.py::Some::test_all (number=2): AssertionError: 2 != 1"
    )
    again = await called(run_tests, run_context, tests=["test_code.py::Some::test_all (number=2)"])
    assert "\n  still fail: test_code.py::Some::test_all\n" in again


async def test_the_progress_of_subtests_is_not_taken_for_output_of_the_test(project: Path, called: Called):
    """A letter for each subtest, from pytest 9, stood in the captured output: `uuuuuhello`."""
    (project / "test_code.py").write_text(
        "import unittest\n\n\nclass Some(unittest.TestCase):\n    def test_all(self):\n"
        "        for number in range(3):\n            with self.subTest(number=number):\n"
        "                self.assertEqual(number, number)\n"
        "        print('hello')\n        self.fail()\n"
    )
    assert "\n  output:\n    hello" in await called(run_tests, context(project))


async def test_long_ids_of_tests_that_failed_for_one_reason_do_not_fill_the_result(project: Path, called: Called):
    """Ten ids with a page of Markdown each came before the error."""
    (project / "test_code.py").write_text(
        "import pytest\n\n\n@pytest.mark.parametrize('text', range(20), ids=lambda n: f'{n}-' + 'x' * 190)\n"
        "def test_all(text):\n    raise AttributeError('line')\n"
    )
    title = next(line for line in (await called(run_tests, context(project))).splitlines() if line.startswith("FAILED"))
    assert len(title) < 700
    assert title.endswith(" and 18 more")


async def test_what_is_cut_can_be_seen_without_another_run(project: Path, called: Called):
    (project / "test_code.py").write_text(
        "def test_long():\n    for line in range(30):\n        print('line', line)\n    first = 'x' * 200\n"
        "    assert [0] * 60 == [1] * 60\n"
    )
    run_context = context(project)
    short = await called(run_tests, run_context)
    assert re.search(r"\n  \.\.\. \d{3} lines left out \.\.\.\n", short)
    assert "\n  output (the last 10 of 30 lines):\n    line 20\n" in short
    assert short.endswith(
        '  [shortened; all of it: run_tests with failure="test_code.py::test_long", which runs no test]'
    )
    (project / "test_code.py").unlink()
    whole = await called(run_tests, run_context, failure="test_code.py::test_long")
    assert "left out" not in whole
    assert f"\n      first = '{'x' * 200}'\n      line = 29\n  output:\n    line 0\n    line 1\n" in whole
    assert await called(run_tests, run_context, failure="test_short") == (
        '!No failure of the last run is named "test_short". Set failure to one of these: test_code.py::test_long.'
    )


async def test_the_pages_of_a_report_have_room_in_a_small_window(project: Path, called: Called):
    """A page was cut in its middle, though the next call could have shown the rest."""
    tests = "".join(f"def test_{n}():\n    assert {n} == '{'x' * 200}'\n\n\n" for n in range(9))
    (project / "test_code.py").write_text(tests)
    small = ToolContext(workspace=project, env=ENV, output_limit_chars=4_000)
    first = str(await called(run_tests, small))
    assert len(first) <= 4_000
    assert "next: run_tests with page=2, which runs no test]" in first
    assert len(str(await called(run_tests, small, page=2))) <= 4_000


async def test_long_names_and_many_changes_leave_a_page_whole(project: Path, called: Called):
    """The names of failures on other pages, and of tests that changed, made a page too long, so its middle was cut."""
    tests = "".join(f"def test_{'long_' * 25}{n}():\n    assert {n} == '{'x' * 200}'\n\n\n" for n in range(20))
    (project / "test_code.py").write_text(tests)
    small = ToolContext(workspace=project, env=ENV, output_limit_chars=4_000)
    for run in (1, 2):
        first = str(await called(run_tests, small))
        assert len(first) <= 4_000, run
        assert re.search(r"\nOn the other pages: test_code.py::test_long.* and \d+ more\.\n", first)
    assert "\n  still fail: " in first


async def test_failures_beyond_the_first_page_are_named_and_can_be_read(project: Path, called: Called):
    (project / "test_code.py").write_text(
        "".join(f"def test_{number}():\n    assert {number} == 'x'\n\n\n" for number in range(10))
    )
    run_context = context(project)
    first = await called(run_tests, run_context)
    assert first.endswith(
        "\n\nOn the other pages: test_code.py::test_8, test_code.py::test_9.\n\n"
        "[page 1 of 2 (10 failures); next: run_tests with page=2, which runs no test]"
    )
    assert await called(run_tests, run_context, page=2) == (
        "FAILED test_code.py::test_8\n  AssertionError: assert 8 == 'x'\n  at test_code.py:34: assert 8 == 'x'\n\n"
        "FAILED test_code.py::test_9\n  AssertionError: assert 9 == 'x'\n  at test_code.py:38: assert 9 == 'x'\n\n"
        "[page 2 of 2 (10 failures)]"
    )
    assert await called(run_tests, run_context, page=3) == "!There is no page 3. Set page to a number from 1 to 2."


async def test_colors_and_progress_and_addresses_do_not_reach_the_model(project: Path, called: Called):
    (project / "pytest.ini").write_text("[pytest]\naddopts = --color=yes -q -q --tb=no --no-showlocals\n")
    (project / "test_code.py").write_text(
        "def test_red():\n    it = object()\n    print('10%\\r100%')\n    print('\\033[31mred\\033[0m')\n"
        "    assert {1: 'a'} == {1: 'b'}\n"
    )
    answer = await called(run_tests, context(project))
    assert "\x1b" not in answer
    assert "\n  with it = <object object at 0x...>\n  output:\n    100%\n    red" in answer
    assert answer == await called(run_tests, context(project))


async def test_large_values_are_compared_in_bounded_time_and_hints_at_options_are_left_out(
    project: Path, called: Called
):
    (project / "test_code.py").write_text("def test_large():\n    assert list(range(9_000)) == list(range(1, 9_001))\n")
    assert await called(run_tests, context(project), timeout_s=20) == (
        "1 failed.\n\n"
        "FAILED test_code.py::test_large\n"
        "  assert [0, 1, 2, 3, 4, 5, ...] == [1, 2, 3, 4, 5, 6, ...]\n"
        "    At index 0 diff: 0 != 1\n"
        "  at test_code.py:2: assert list(range(9_000)) == list(range(1, 9_001))"
    )


async def test_the_cause_of_an_exception_is_named(project: Path, called: Called):
    (project / "test_code.py").write_text(
        "def test_settings():\n    try:\n        {}['port']\n    except KeyError as error:\n"
        "        raise ValueError('bad settings') from error\n"
    )
    assert "\n  ValueError: bad settings\n  after KeyError: 'port' (line 3 of test_code.py)\n" in await called(
        run_tests, context(project)
    )


async def test_tests_that_the_settings_leave_out_are_named(project: Path, called: Called):
    (project / "pytest.ini").write_text("[pytest]\naddopts = -m 'not slow'\nmarkers = slow\n")
    (project / "test_code.py").write_text(
        "import pytest\n\n\n@pytest.mark.slow\ndef test_slow():\n    pass\n\n\ndef test_quick():\n    pass\n"
    )
    assert await called(run_tests, context(project)) == (
        "1 passed, 1 deselected.\n"
        "Deselected by the project's settings (pytest.ini: addopts = -m 'not slow'): test_code.py::test_slow."
    )
    assert await called(run_tests, context(project), tests=["test_code.py::test_slow"]) == (
        "!pytest found 1 test, which the project's settings deselect (pytest.ini: addopts = -m 'not slow'). "
        'To run what they deselect: run_shell with `python -m pytest -o addopts="" test_code.py::test_slow`.'
    )


async def test_a_run_that_the_settings_stop_at_a_failure_says_so(project: Path, called: Called):
    (project / "pytest.ini").write_text("[pytest]\naddopts = -x\n")
    (project / "test_code.py").write_text(
        "def test_a():\n    assert 0\n\n\ndef test_b():\n    assert 0\n\n\ndef test_c():\n    pass\n"
    )
    run_context = context(project)
    assert (await called(run_tests, run_context)).startswith(
        "1 failed.\n2 tests did not run: pytest stopped at a failure, as the project's settings ask "
        "(pytest.ini: addopts = -x). To run them, set tests to them.\n\nFAILED"
    )
    second = await called(run_tests, run_context, tests=["test_code.py::test_b"])
    assert "Changes" not in second, "it was collected before, but has no earlier outcome"


async def test_settings_that_need_a_missing_plugin_do_not_prevent_the_run(project: Path, called: Called):
    (project / "pytest.ini").write_text("[pytest]\naddopts = --missing-option=2\n")
    assert await called(run_tests, context(project), tests=["test_code.py::test_even"]) == (
        "1 passed.\n"
        "pytest does not know --missing-option=2, which the project's settings use: it ran without its addopts."
    )


async def test_ids_are_relative_to_the_workspace_also_with_settings_in_a_folder(project: Path, called: Called):
    (project / "sub").mkdir()
    (project / "sub" / "pytest.ini").write_text("[pytest]\n")
    (project / "sub" / "test_deep.py").write_text("def test_deep():\n    assert 0\n")
    run_context = context(project)
    first = await called(run_tests, run_context, tests=["sub/test_deep.py"])
    assert "FAILED sub/test_deep.py::test_deep\n" in first
    assert "still fail: sub/test_deep.py::test_deep" in await called(
        run_tests, run_context, tests=["./sub/test_deep.py::test_deep"]
    )


async def test_our_own_pytest_plugin_stays_out_of_the_projects_tests(project: Path, called: Called):
    (project / "test_code.py").write_text("def test_ours(scripted_model):\n    pass\n")
    env = {"PATH": ENV["PATH"]}  # with the plugins that are installed
    assert "fixture 'scripted_model' not found" in await called(run_tests, context(project, env))
    (project / "pyproject.toml").write_text("[project]\nname = 'x'\ndependencies = ['tramontane']\n")
    assert await called(run_tests, context(project, env)) == "1 passed."


async def test_a_long_run_says_how_long_it_took(project: Path, called: Called, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tools._test_text.SLOW_S", 0.0)
    (project / "test_code.py").write_text("import time\n\n\ndef test_slow():\n    time.sleep(1.1)\n")
    assert re.fullmatch(
        r"1 passed\.\nTook \d s\. Slowest: test_code\.py::test_slow 1 s\.", await called(run_tests, context(project))
    )


async def test_a_run_that_crashes_or_hangs_names_the_test(project: Path, called: Called):
    (project / "test_code.py").write_text(
        "import os, signal\n\ndef test_fine():\n    pass\n\n"
        "def test_dies():\n    os.kill(os.getpid(), signal.SIGSEGV)\n\ndef test_late():\n    pass\n"
    )
    assert await called(run_tests, context(project)) == (
        "1 passed.\n"
        "pytest exited early (exit code 139 (killed by SIGSEGV)) while test_code.py::test_dies was running.\n"
        "1 test did not run."
    )
    (project / "test_code.py").write_text(
        "import os, pytest\n\n@pytest.fixture\ndef leaves():\n    yield\n    os._exit(0)\n\n"
        "def test_leaves(leaves):\n    pass\n"
    )
    assert await called(run_tests, context(project)) == (
        "1 passed.\npytest exited early (exit code 0) while test_code.py::test_leaves was running."
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
    assert await called(run_tests, context(project, {"PATH": str(project)})) == (
        f"!There is no `python` on the PATH of this run ({project}). Do not call this again; say so in your answer."
    )


async def test_a_python_without_pytest_is_named_with_what_installs_it(project: Path, tmp_path: Path, called: Called):
    venv = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"

    told = await called(run_tests, context(project, {"PATH": str(python.parent)}))

    assert told == (
        f"!pytest is not installed for {python}, the Python of this run. Run the tests another way with run_shell, or "
        f"say in your answer that `{python} -m pip install pytest` is needed."
    )


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ("test_cod.py", 'There is no "test_cod.py" in the workspace. Did you mean "test_code.py"?'),
        ("test_deep.py::test_a", 'There is no "test_deep.py" in the workspace. Did you mean "sub/test_deep.py"?'),
        ("test_code.py::test_ode", 'There is no test "test_code.py::test_ode". Did you mean "test_code.py::test_odd"?'),
        (
            "sub/test_deep.py::test_a",
            'There is no test "sub/test_deep.py::test_a". Did you mean "sub/test_deep.py::Deep::test_a"?',
        ),
        (
            "sub/test_deep.py::unlike",
            'There is no test "sub/test_deep.py::unlike". sub/test_deep.py has Deep::test_a.',
        ),
    ],
)
async def test_a_misspelt_test_is_answered_with_the_nearest(project: Path, wanted: str, answer: str, called: Called):
    (project / "sub").mkdir()
    (project / "sub" / "test_deep.py").write_text(
        "import unittest\n\n\nclass Deep(unittest.TestCase):\n    def test_a(self):\n        pass\n"
    )
    assert await called(run_tests, context(project), tests=[wanted]) == f"!{answer}"


async def test_a_run_that_cannot_start_shows_both_ends_of_its_output(project: Path, called: Called):
    (project / "conftest.py").write_text("for _ in range(50):\n    print('noise')\nraise SystemError('no')\n")
    answer = await called(run_tests, context(project))
    assert re.match(r"!pytest exited early \(exit code 4\)\. Output:\n", answer)
    assert "\nconftest.py:3: in <module>\n" in answer
    assert "SystemError: no\n" in answer
    assert answer.endswith("lines left out ...\n" + "\n".join(["noise"] * 20))


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


async def test_a_long_report_of_another_test_runner_is_read_in_pages(tmp_path: Path, called: Called):
    cases = "".join(
        f'<testcase classname="math" name="case{number}"><failure message="expected {number}">'
        f"{'line&#10;' * 40}</failure></testcase>"
        for number in range(9)
    )
    (tmp_path / "report.xml").write_text(f"<testsuite>{cases}</testsuite>")
    run_context = context(tmp_path)
    first = await called(read_test_report, run_context, path="report.xml")
    assert "  ... 16 lines left out ...\n" in first
    assert (
        '  [shortened; all of it: read_test_report with path="report.xml", failure="math::case0", which runs no test]\n'
        in first
    )
    assert first.endswith(
        "On the other pages: math::case8.\n\n"
        '[page 1 of 2 (9 failures); next: read_test_report with path="report.xml", page=2, which runs no test]'
    )
    second = await called(read_test_report, run_context, path="report.xml", page=2)
    assert second.startswith("FAILED math::case8\n  expected 8\n")
    whole = await called(read_test_report, run_context, path="report.xml", failure="math::case0")
    assert whole == "FAILED math::case0\n  expected 0\n" + "\n".join(["  line"] * 40)


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


def _reported(*lines: dict[str, object]) -> Report:
    return from_plugin([json.dumps(line).encode() for line in lines], Path("/work"))


def test_tests_that_a_plugin_ran_again_are_counted_and_those_that_then_passed_named():
    """As pytest-rerunfailures 16.7 reports them: a test that fails half of the time was just "passed"."""
    again = {"event": "result", "id": "t.py::flaky", "outcome": "rerun"}
    report = _reported(
        again, {"event": "result", "id": "t.py::flaky", "outcome": "passed"},
        {**again, "id": "t.py::bad"}, {**again, "id": "t.py::bad"},
        {"event": "result", "id": "t.py::bad", "outcome": "failed"},
    )  # fmt: skip
    assert summary_lines(report) == ["1 failed, 1 passed, 3 reruns.", "Passed only when run again: t.py::flaky."]


def test_a_crash_that_another_process_goes_on_after_is_not_an_early_exit():
    """As pytest-xdist 3.8 reports it: "pytest exited early" was said of a run that did all its tests."""
    report = _reported(
        {"event": "start", "id": "t.py::bad"},
        {"event": "result", "id": "t.py::bad", "phase": "???", "outcome": "failed", "message": "worker 'gw0' crashed"},
        {"event": "result", "id": "t.py::good", "outcome": "passed"},
    )
    assert (report.running, summary_lines(report)) == ("", ["1 error, 1 passed."])
    assert _reported({"event": "start", "id": "t.py::bad"}).running == "t.py::bad"
