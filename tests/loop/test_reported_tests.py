"""What a model reads of hidden tests: counts and names from real outputs of pytest and unittest, no expected value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import Agent, Sandbox, Verify
from agent.loop.reported_tests import reported_tests
from agent.testing import ScriptedModel, says

ENV = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
# "SECRET" stands in every place that may hold an expected value: sources, parameters, reasons, prints, subtests.
HIDDEN = '''
import unittest
import pytest

@pytest.mark.parametrize(("given", "wanted"), [("1", "SECRET-1"), ("2", "SECRET two - with a dash"), ("3", "3")])
def test_parse(given, wanted):
    print("FAILED SECRET::printed")
    assert given == wanted

def test_answer():
    assert "x" == "SECRET of the source"

@pytest.fixture
def broken():
    raise RuntimeError("SECRET fixture")

def test_fixture(broken):
    pass

class Case(unittest.TestCase):
    def test_sub(self):
        for number in range(3):
            with self.subTest(value=f"SECRET {number}"):
                self.assertEqual(number, 0)

    def test_equal(self):
        """SECRET docstring"""
        self.assertEqual("a", "SECRET b")

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("SECRET setup")

    def test_never(self):
        pass
'''
PYTEST = (
    "Result: 6 failed, 2 passed, 2 errors, 1 subtests passed.\n"
    "Failing tests: test_hidden.py::test_parse (2 cases), test_hidden.py::test_answer, "
    "test_hidden.py::Case::test_equal, test_hidden.py::Case::test_sub (2 cases), test_hidden.py::test_fixture, "
    "test_hidden.py::Broken::test_never."
)


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "test_hidden.py").write_text(HIDDEN)
    (folder / "test_broken.py").write_text("import SECRET_module\n")
    return folder


def output_of(folder: Path, *arguments: str) -> str:
    """Return what Python prints with these arguments, on a machine that is not a CI server, which cuts less."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, check=False)
    text = (done.stdout + done.stderr).decode()
    assert "SECRET" in text
    return text


def run_pytest(folder: Path, *arguments: str) -> str:
    return output_of(folder, "pytest", "-p", "no:cacheprovider", *arguments)


def test_pytest(hidden: Path):
    assert reported_tests(run_pytest(hidden, "-q", "test_hidden.py")) == PYTEST


def test_pytest_in_colour_and_with_headlines(hidden: Path):
    text = run_pytest(hidden, "--color=yes", "test_hidden.py")
    assert "\x1b[31mFAILED\x1b[0m" in text
    assert reported_tests(text) == PYTEST.replace(", 1 subtests passed", "")


def test_a_file_that_cannot_be_imported(hidden: Path):
    assert reported_tests(run_pytest(hidden)) == "Result: 1 error.\nFailing tests: test_broken.py."


def test_unittest(hidden: Path):
    assert reported_tests(output_of(hidden, "unittest", "test_hidden")) == (
        "Result: ran 2 tests, failures=3, errors=1.\n"
        "Failing tests: test_hidden.Broken.setUpClass, test_hidden.Case.test_equal, "
        "test_hidden.Case.test_sub (2 cases)."
    )


def test_an_output_that_was_cut_has_the_names_above_the_counts():
    text = (
        "first\n[... 9 bytes cut ...]\nE  assert SECRET\nFAILED t.py::test_a[SECRET] - assert 1 == SECRET\n"
        "ERROR t.py::test_b - SECRET\n2 failed in 0.10s"
    )
    assert reported_tests(text) == "Result: 2 failed.\nFailing tests: t.py::test_a, t.py::test_b."


def test_an_output_without_tests_reports_nothing():
    assert reported_tests("FAILED SECRET\nERROR: SECRET is missing\nRan SECRET tests\nExpected 42") == ""


def test_of_many_failing_tests_forty_are_named():
    text = "= short test summary info =\n" + "\n".join(f"FAILED t.py::test_{n}" for n in range(50))
    names = ", ".join(f"t.py::test_{n}" for n in range(40))
    assert reported_tests(text) == f"Failing tests: {names} and 10 more."


async def test_a_hidden_pytest_printed_its_expected_values_into_the_conversation(hidden: Path, tmp_path: Path):
    model = ScriptedModel([says("Done.")] * 2)
    command = f"{sys.executable} -m pytest -q -p no:cacheprovider {hidden}/test_hidden.py --rootdir {hidden}"
    verify = Verify(command=command, attempts=2, show="summary")

    agent = Agent(model, workspace=tmp_path, verify=verify, env=ENV, sandbox=Sandbox())
    outcome = await agent.run("Fix it.")

    said = model.bodies[1]["messages"][-1]["content"]
    assert said == (
        f"Verification failed (attempt 1 of 2).\nExit code: 1\n{PYTEST}\n"
        "The tests belong to the verification: their files may not be in this folder."
    ).replace("test_hidden.py", f"{os.path.relpath(hidden, tmp_path)}/test_hidden.py")
    assert "SECRET" not in str(model.bodies)
    assert "SECRET" in outcome.reason, "the user reads the whole output"
