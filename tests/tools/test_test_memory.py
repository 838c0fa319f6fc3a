"""The changes between test runs that are certain, and nothing else, for the selections that a model makes."""

from __future__ import annotations

from collections.abc import Mapping

from tools._test_memory import Selection, TestHistory
from tools._test_report import Case, Outcome, Report

NONE = ["Each test has the same outcome as in its last run."]


def report(outcomes: Mapping[str, Outcome], *, collected: tuple[str, ...] = (), deselected: tuple[str, ...] = (),
           message: str = "") -> Report:  # fmt: skip
    return Report(
        cases=[Case(name=name, outcome=outcome, message=message) for name, outcome in outcomes.items()],
        collected=frozenset(outcomes) | frozenset(collected),
        deselected=frozenset(deselected),
    )


def broken(*files: str, collected: tuple[str, ...] = ()) -> Report:
    cases = [Case(name=file, outcome="error", is_collection=True) for file in files]
    return Report(cases=cases, collected=frozenset(collected))


def changes(*runs: tuple[Report, Selection]) -> list[str]:
    """Return the changes that the last of these runs is told."""
    history = TestHistory()
    for before, selection in runs[:-1]:
        history.compare(before, selection)
    told = history.compare(*runs[-1])
    return [line.strip() for line in told if not line.startswith("Changes")]


ALL = Selection()
A, B = Selection(targets=("a.py",)), Selection(targets=("b.py",))


def test_a_first_run_has_no_changes_to_tell():
    assert changes((report({"a.py::x": "failed"}), ALL)) == []


def test_another_file_is_not_compared_with_the_run_before():
    assert changes((report({"a.py::x": "failed"}), A), (report({"b.py::y": "failed"}), B)) == []


def test_a_file_that_ran_before_is_compared_with_its_own_last_run():
    a, b = (report({"a.py::x": "passed"}), A), (report({"b.py::y": "failed"}), B)
    assert changes(a, b, a) == NONE
    assert changes(a, b, (report({"a.py::x": "failed", "b.py::y": "failed"}), ALL)) == [
        "newly fail: a.py::x",
        "still fail: b.py::y",
    ]


def test_a_renamed_case_of_a_failing_test_is_gone_and_the_new_one_passes():
    before, after = (
        report({"a.py::x[1]": "failed", "a.py::y": "passed"}),
        report({"a.py::x[one]": "passed", "a.py::y": "passed"}),
    )
    assert changes((before, A), (after, A)) == ["new and passing: a.py::x[one]", "gone: a.py::x[1]"]


def test_a_test_in_a_new_file_is_new_only_if_its_folder_ran_before():
    after = report({"a.py::x": "passed", "b.py::y": "failed"})
    assert changes((report({"a.py::x": "passed"}), ALL), (after, ALL)) == ["new and failing: b.py::y"]
    assert changes((report({"a.py::x": "passed"}), A), (after, ALL)) == []


def test_single_tests_do_not_make_the_others_of_their_file_new_or_gone():
    one = (report({"a.py::x": "passed"}), Selection(targets=("a.py::x",)))
    both = (report({"a.py::x": "passed", "a.py::y": "failed"}), A)
    assert changes(one, both) == []
    assert changes(both, one) == NONE


def test_a_test_that_a_run_did_not_reach_is_neither_gone_nor_new():
    stopped = (report({"a.py::x": "failed"}, collected=("a.py::y",)), A)
    whole = (report({"a.py::x": "failed", "a.py::y": "failed"}), A)
    assert changes(whole, stopped) == ["still fail: a.py::x"]
    assert changes(stopped, whole) == ["still fail: a.py::x"]


def test_deselected_and_ignored_tests_are_not_gone():
    whole = (report({"a.py::x": "passed", "b.py::y": "passed"}), ALL)
    assert changes(whole, (report({"a.py::x": "passed"}, deselected=("b.py::y",)), ALL)) == NONE
    ignoring = Selection(ignored=("b.py",))
    assert changes(whole, (report({"a.py::x": "passed"}), ignoring)) == NONE
    assert changes((report({"a.py::x": "passed"}), ignoring), whole) == []


def test_a_file_that_is_no_longer_collected_is_a_change_though_no_test_ran():
    whole = (report({"a.py::x": "passed", "b.py::y": "passed"}), ALL)
    bad = (broken("b.py", collected=("a.py::x",)), ALL)
    assert changes(whole, bad) == ["no longer collected: b.py"]
    assert changes(whole, bad, bad) == ["still not collected: b.py"]
    assert changes(whole, bad, whole) == ["collected again: b.py"]
    assert changes((report({"a.py::x": "passed"}), ALL), bad) == ["new and not collected: b.py"]
    assert changes(bad, (report({"b.py::y": "passed"}), B)) == ["collected again: b.py"]


def test_another_message_of_a_failing_test_is_a_change():
    first = (report({"a.py::x": "failed"}, message="KeyError: 1 at 0x7f00"), A)
    assert changes(first, (report({"a.py::x": "failed"}, message="KeyError: 1 at 0x7e11"), A)) == [
        "still fail: a.py::x"
    ]
    assert changes(first, (report({"a.py::x": "failed"}, message="KeyError: 2 at 0x7f00"), A)) == [
        "still fail, with another message: a.py::x"
    ]


def test_a_test_that_is_skipped_now_did_not_get_to_pass():
    assert changes((report({"a.py::x": "failed"}), A), (report({"a.py::x": "skipped"}), A)) == ["now skipped: a.py::x"]
    assert changes((report({"a.py::x": "xfailed"}), A), (report({"a.py::x": "passed"}), A)) == ["now pass: a.py::x"]


def test_many_names_are_counted():
    names = [f"a.py::x{number}" for number in range(10)]
    before, after = report(dict.fromkeys(names, "passed")), report(dict.fromkeys(names, "failed"))
    assert changes((before, A), (after, A)) == [f"newly fail: {', '.join(names[:8])} and 2 more"]


def test_the_same_outcomes_do_not_read_as_if_an_edit_had_not_arrived():
    """It said "No changes since these tests last ran." after edits that changed no outcome."""
    passing = (report({"a.py::x": "passed"}), A)
    assert TestHistory().compare(*passing) == []
    assert changes(passing, passing) == ["Each test has the same outcome as in its last run."]


def test_the_cases_of_a_new_parametrized_test_are_counted_not_listed():
    """Eight new cases with long parameters took a line of 1,100 characters."""
    before = report({"a.py::x": "passed", "a.py::old[1]": "passed", "a.py::old[2]": "passed"})
    after = report({"a.py::x": "passed", **{f"a.py::T::y[{n * 'a'}]": "passed" for n in range(8)}, "a.py::z": "passed"})
    assert changes((before, A), (after, A)) == [
        "new and passing: a.py::T::y (8 cases), a.py::z",
        "gone: a.py::old (2 cases)",
    ]


def test_failing_cases_are_listed_by_their_ids():
    names = ("a.py::y[1]", "a.py::y[2]")
    passed, failed = report(dict.fromkeys(names, "passed")), report(dict.fromkeys(names, "failed"))
    assert changes((passed, A), (failed, A)) == ["newly fail: a.py::y[1], a.py::y[2]"]
    assert changes((report({"a.py::x": "passed"}), A), (failed, A))[0] == "new and failing: a.py::y[1], a.py::y[2]"
    assert changes((failed, A), (passed, A)) == ["now pass: a.py::y (2 cases)"]
