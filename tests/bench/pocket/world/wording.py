"""The fixed texts of the conversations about bugs: the user's requests and the model's answers."""

from random import Random

from pocket.world.projects import Project

_PROMPTS = (
    "The tests of this project fail. Find the bug and fix it. Run the tests with: {}",
    "The tests of this project fail. Find the bug and fix it. Run the tests with: {}",
    "The tests of this project fail. Find the bug and fix it. Run the tests with: {}",
    "A test fails. Fix the bug. The tests are run with `{}`.",
    "Fix the failing test. Run {} to see it.",
    "There is a bug in this project. Run `{}`, find the bug and repair it.",
    "Make the tests pass: {}",
    "Please fix this project. One test fails; run it with {}.",
    "Run {}. Fix what is wrong.",
    "Find and fix the bug. Use {} to run the tests.",
    "Something is broken here. Check with {} and repair the code, not the tests.",
)
GAVE_UP = "I could not find the bug: a test still fails."
EARLY = "The bug is fixed."
NOTHING_TO_DO = "All tests pass. There is nothing to fix."
REASONS = (
    "verification failed.", "the same call came again.", "no progress.", "a tool failed several times in a row.",
    "nothing on the rung below is left to try.",
)  # fmt: skip
PRINTED = (
    "FAILURES short test summary info FAILED AssertionError assert where passed failed exit code None True False and "
    "or is not in def return for if range len sum min max from import Try No Yes Now must be test tests"
)
"""Words of Python, pytest and the reasoning, whose tokens are never exchanged."""


def prompt(rng: Random, command: str) -> str:
    """Return a request for a repair; its wording is left to chance."""
    return rng.choice(_PROMPTS).format(command)


def done(project: Project) -> str:
    """Return the answer after a repair."""
    return f"I fixed {project.function} in {project.path}. The tests pass now."
