"""What a summary tells of failed verifications."""

from __future__ import annotations

from typing import Literal

from agent import Verify
from agent.journal.events import VerifyEnded
from agent.loop.summary_verifications import show_failures
from agent.loop.verify import Verification, feedback

Files = Literal["same", "changed", "restored"]
PYTEST = """\
F.                                                                       [100%]
=================================== FAILURES ===================================
__________________________ CaseA.test_end_of_a_list ___________________________

    def test_end_of_a_list(self):
>       apply(obj, '/foo/-')
E       TypeError: list indices must be integers or slices, not str

pkg.py:238: TypeError

During handling of the above exception, another exception occurred:

>           raise Conflict(msg)
E           pkg.Conflict: can't remove a non-existent object '-'
E           and more

pkg.py:241: Conflict
___________________________ CaseA.test_something_else __________________________
E       ValueError: other
=========================== short test summary info ============================
FAILED tests.py::CaseA::test_end_of_a_list[4242] - pkg.Conf...
2 failed, 108 passed in 0.31s"""


def failure(attempt: int, output: str = PYTEST, **settings: str) -> VerifyEnded:
    found = Verification(command="pytest -q", ok=False, exit_code=1, output=output, elapsed_s=1.0)
    verify = Verify(command="pytest -q", **settings)  # pyright: ignore[reportArgumentType]
    say = feedback(found, verify, attempt=attempt)
    return VerifyEnded(attempt=attempt, ok=False, exit_code=1, output=output, elapsed_s=1.0, say=say)


def shown(*failures: VerifyEnded, files: Files = "same", attempts_left: int | None = None) -> str:
    return show_failures(failures, files=files, attempts_left=attempts_left, max_chars=5_000)


def test_without_a_failure_there_is_nothing_to_tell():
    assert shown() == ""


def test_only_the_last_output_is_shown_whole_and_an_earlier_one_in_one_line():
    """Both stood there in full, with the same closing sentences."""
    last = failure(2, "no tests ran")
    assert shown(failure(1), last) == (
        "Earlier: verification failed (attempt 1 of 3). Result: 2 failed, 108 passed. Failing tests: "
        f"tests.py::CaseA::test_end_of_a_list. pkg.Conflict: can't remove a non-existent object '-'\n{last.say}"
    )


def test_of_an_earlier_output_without_tests_the_last_two_lines_are_kept():
    text = shown(failure(1, "a\nb\n  c"), failure(2))
    assert text.startswith("Earlier: verification failed (attempt 1 of 3). Exit code: 1 b c\nVerification failed (")


def test_an_earlier_failure_shows_no_more_than_the_model_was_allowed_to_read():
    assert shown(failure(1, show="summary"), failure(2, show="summary")).startswith(
        "Earlier: verification failed (attempt 1 of 3). Result: 2 failed, 108 passed. Failing tests: "
        "tests.py::CaseA::test_end_of_a_list.\nVerification failed (attempt 2 of 3).\n"
    )
    nothing = shown(failure(1, show="nothing"), failure(2, show="nothing"))
    assert nothing.startswith(
        "Earlier: verification failed (attempt 1 of 3). \nVerification failed (attempt 2 of 3). Its"
    )


def test_an_equal_failure_is_told_once_and_of_many_only_the_last_ones():
    assert shown(failure(1), failure(1)) == failure(1).say
    text = shown(*[failure(number) for number in range(1, 7)])
    assert text.startswith("Attempts before these that failed too: 2.\nEarlier: verification failed (attempt 3 of 3).")
    assert text.count("Earlier: ") == 3


def test_the_lines_of_a_traceback_are_those_of_the_files_before_the_restore_and_the_model_reads_so():
    note = "Line numbers in this output are those of your changed files, not of the files as they are now."
    assert shown(failure(1), files="restored") == f"{failure(1).say}\n{note}"
    since = "Line numbers in this output are those of the files as you submitted them."
    assert shown(failure(1), files="changed") == f"{failure(1).say}\n{since}"
    assert shown(failure(1), files="same") == failure(1).say
    assert note not in shown(failure(1, show="nothing"), files="restored")


def test_the_model_reads_how_many_attempts_are_left():
    """After a resume the feedback said "attempt 3 of 3", though three more were left."""
    assert shown(failure(3), attempts_left=3) == f"{failure(3).say}\nAttempts left: 3."


def test_a_long_output_loses_its_middle_and_keeps_the_notes():
    long = failure(1, "first\n" + "x\n" * 5_000 + "last")
    text = show_failures([long], files="restored", attempts_left=2, max_chars=1_000)
    assert "Output:\nfirst\nx\n" in text
    assert "\nlast\nLine numbers in" in text
    assert text.endswith("\nAttempts left: 2.")
    assert 900 < len(text) <= 1_000
