"""Where pytest finds no tests, run_tests names the files that hold them, as a call that can be made as it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import ToolContext
from tools import _test_candidates
from tools._test_candidates import holds_tests
from tools.testing_tools import run_tests

if TYPE_CHECKING:
    from conftest import Called

ENV = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
CASE = "import unittest\n\n\nclass Half(unittest.TestCase):\n    def test_half(self):\n        assert 4 // 2 == 2\n"
FUNCTION = "def test_half():\n    pass\n"


def context(workspace: Path) -> ToolContext[Any]:
    return ToolContext(workspace=workspace, env=ENV)


def write(workspace: Path, **files: str) -> None:
    for name, text in files.items():
        path = workspace / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


async def test_tests_in_a_file_that_pytest_does_not_collect_are_named(tmp_path: Path, called: Called):
    """The tests of a real library are in tests.py; the answer was to find them with list_files."""
    write(tmp_path, half="def half(number): return number // 2\n", tests=CASE)
    answer = await called(run_tests, context(tmp_path))
    assert answer == '!pytest found no tests. Call run_tests with tests=["tests.py"], which holds tests.'
    assert await called(run_tests, context(tmp_path), tests=["tests.py"]) == "1 passed."


async def test_a_wrong_path_is_answered_with_the_files_below_it_or_all_that_hold_tests(tmp_path: Path, called: Called):
    write(tmp_path, src__half="def half(): pass\n", tests__test_a=FUNCTION, tests__test_b=FUNCTION, src__checks=CASE)
    run_context = context(tmp_path)
    assert await called(run_tests, run_context, tests=["src"]) == (
        '!pytest found no tests in src. Call run_tests with tests=["src/checks.py"], which holds tests.'
    )
    assert await called(run_tests, run_context, tests=["src"], ignore=["src/checks.py"]) == (
        '!pytest found no tests in src. Call run_tests with tests=["tests/test_a.py", "tests/test_b.py"], which hold '
        "tests. Or leave tests out to run all."
    )
    assert await called(run_tests, run_context, tests=["unit"], ignore=["src"]) == (
        '!There is no "unit" in the workspace. Call run_tests with tests=["tests/test_a.py", "tests/test_b.py"], '
        "which hold tests. Or leave tests out to run all."
    )
    assert await called(run_tests, run_context, tests=["test"]) == (
        '!There is no "test" in the workspace. Did you mean "tests"?'
    )


async def test_a_project_without_tests_is_told_so(tmp_path: Path, called: Called):
    write(tmp_path, half="def half(): pass\n")
    (tmp_path / "lib" / "site-packages").mkdir(parents=True)
    (tmp_path / "lib" / "site-packages" / "installed.py").write_text(FUNCTION)
    assert await called(run_tests, context(tmp_path)) == (
        "!pytest found no tests. No Python file in the workspace holds any (`def test_` or a TestCase). Write them to "
        "test_NAME.py, or run tests of another kind with run_shell."
    )


async def test_a_class_that_pytest_refuses_is_named_with_its_reason(tmp_path: Path, called: Called):
    write(tmp_path, test_a="class TestA:\n    def __init__(self): pass\n    def test_x(self): pass\n")
    assert await called(run_tests, context(tmp_path)) == (
        "!pytest found no tests.\n"
        "  cannot collect test class 'TestA' because it has a __init__ constructor (from: test_a.py)"
    )


async def test_of_many_files_with_tests_the_first_are_named(
    tmp_path: Path, called: Called, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_test_candidates, "_MAX_NAMED", 2)
    write(tmp_path, a_tests=CASE, b_tests=CASE, c_tests=CASE, d_tests=CASE)
    assert await called(run_tests, context(tmp_path)) == (
        '!pytest found no tests. Call run_tests with tests=["a_tests.py", "b_tests.py"], which hold tests. So do 2 '
        "more."
    )


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (FUNCTION, True),
        ("async def test_half():\n    pass\n", True),
        (CASE, True),
        ("class TestHalf:\n    def test_half(self):\n        pass\n", True),
        ("class Half(\n    Mixin, django.TestCase\n):\n    def test_half(self):\n        pass\n", True),
        ("class Database:\n    def test_connection(self):\n        pass\n", False),
        ("class Half(unittest.TestCase):\n    pass\n", False),
        ("from unittest import TestCase\n# def test_half\n", False),
    ],
)
def test_a_method_whose_name_begins_with_test_is_a_test_only_in_a_class_for_tests(text: str, holds: bool):
    assert holds_tests(text.encode()) is holds
