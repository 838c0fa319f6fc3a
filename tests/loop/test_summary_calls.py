"""What a summary tells of calls: a line for each, and the results that the model has not used yet."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.loop.summary_calls import CallRecord, call_lines, carry_results, read_files
from agent.messages import ToolCall, ToolResult, ToolStatus

TITLE = "The results:"


def call(
    name: str, content: str = "fine", *, at: int = 0, status: ToolStatus = "ok", is_read: bool = False,
    had_image: bool = False, **arguments: object,
) -> CallRecord:  # fmt: skip
    made = ToolCall(id=f"call{at:05}", name=name, arguments=json.dumps(arguments))
    result = ToolResult(tool_call_id=made.id, name=name, content=content, status=status)
    return CallRecord(call=made, result=result, is_read=is_read, had_image=had_image)


def line(record: CallRecord) -> str:
    return call_lines([record], 2_000).removeprefix("Your calls so far, oldest first:\n- ")


# One line for each call.


def test_the_line_of_a_read_does_not_quote_its_first_line():
    """`read_file ... -> ok: 1: #` and `diff {} -> ok: 4 files changed:` told nothing."""
    assert line(call("read_file", "1: #\n2: # Copyright\n", is_read=True, path="a.py")) == 'read_file {"path": "a.py"}'
    assert line(call("diff", "4 files changed:\n  changed  a.py", is_read=True)) == "diff {}"


def test_the_line_of_a_read_keeps_an_answer_of_one_line_and_an_error():
    none = call("search", 'No match for "CASE" in 1 file.', is_read=True, pattern="CASE")
    assert line(none) == 'search {"pattern": "CASE"} -> No match for "CASE" in 1 file.'
    missing = call("read_file", "Error: There is no b.py.\nDid you mean a.py?", status="error", is_read=True, path="b")
    assert line(missing) == 'read_file {"path": "b"} -> error: Error: There is no b.py.'


def test_the_line_of_a_page_of_failures_names_the_tests():
    """It was `ok: [page 2 of 3 (11 failures); next: run_tests with page=3, which runs no test]`."""
    page = (
        "FAILED t.py::a\n  ValueError: no\n\nFAILED t.py::b\n  at t.py:1: f()\n\n[page 2 of 3 (11 failures); next: x]"
    )
    assert line(call("run_tests", page, page=2)) == 'run_tests {"page": 2} -> ok: FAILED t.py::a | FAILED t.py::b'
    first = "8 failed, 9 passed.\n\nFAILED t.py::c\n  no\n\nOn the other pages: t.py::a, t.py::b.\n\n[page 1 of 3]"
    assert line(call("run_tests", first)) == (
        "run_tests {} -> ok: 8 failed, 9 passed. | FAILED t.py::c | On the other pages: t.py::a, t.py::b."
    )


def test_the_line_of_a_test_run_is_bounded():
    many = "9 failed.\n" + "".join(f"FAILED t.py::{number} {'x' * 120}\n" for number in range(9))
    assert line(call("run_tests", many)).endswith(f"FAILED t.py::2 {'x' * 120} | and 6 more such lines")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("13c13\n< a\n---\n> b\nFAILED t.py::a\nFAILED t.py::b\nFAILED t.py::c\n= 9 failed, 38 passed in 0.29s =\n",
         "ok: = 9 failed, 38 passed in 0.29s = | FAILED t.py::a | FAILED t.py::b | FAILED t.py::c"),
        ("FAILED t.py::a - no\n1 failed, 1 passed in 0.4s\nmended\n..  [100%]\n2 passed in 0.3s\n",
         "ok: 2 passed in 0.3s"),  # run before and after a change
        ("1 failed, 99 passed, 1 skipped.\nChanges since these tests last ran:\n\nFAILED t.py::a\n  ValueError: no\n"
         "  at t.py:1: f()\n", "ok: 1 failed, 99 passed, 1 skipped. | FAILED t.py::a"),
        ("461 passed, 3 xfailed.\nEach test has the same outcome as in its last run.", "ok: 461 passed, 3 xfailed."),
        ("FAIL: test_a (t.A)\n\nRan 2 tests in 0.1s\n\nFAILED (failures=1)\n\nexit code 1",
         "exit code 1: FAIL: test_a (t.A) | Ran 2 tests in 0.1s | FAILED (failures=1)"),
        ("one\ntwo\nthree\nfour", "ok: two | three | four"),
        (f"{'x' * 150}\n{'y' * 150}\nthree", f"ok: {'y' * 150} | three"),
        ("exit code 3", "exit code 3"),
    ],
)  # fmt: skip
def test_the_line_of_a_command_ends_with_what_it_printed_last_or_with_the_counts_of_its_tests(content: str, shown: str):
    """It quoted the first line: `-> ok: 13c13` for a test run with nine failures."""
    assert line(call("run_shell", content, command="x")) == f'run_shell {{"command": "x"}} -> {shown}'


# Results that the model has not used yet.


def test_results_that_fit_are_carried_over_whole():
    carried = carry_results(
        [call("read_file", "1: a\n2: b\n", path="a.py"), call("run_tests", "Error: no tests", at=1, status="error")],
        title=TITLE, max_chars=1_000,
    )  # fmt: skip
    assert carried.text == (
        f'{TITLE}\n\n=== read_file {{"path": "a.py"}} -> ok\n1: a\n2: b\n\n=== run_tests {{}} -> error\nError: no tests'
    )
    assert set(carried.whole) == {"call00000", "call00001"}


def test_of_results_that_do_not_fit_the_long_ones_are_shortened_in_the_middle():
    lines = "\n".join(f"{number}: {'x' * 50}" for number in range(100))
    carried = carry_results([call("read_file", lines, path="a.py"), call("run_tests", "3 passed", at=1)],
                            title=TITLE, max_chars=1_500)  # fmt: skip
    head, _, rest = carried.text.partition(" characters omitted ...]\n")
    assert head.startswith(f'{TITLE}\n\n=== read_file {{"path": "a.py"}} -> ok, shortened\n0: xxx')
    assert rest.startswith("84: xxx")
    assert rest.endswith("99: " + "x" * 50 + "\n\n=== run_tests {} -> ok\n3 passed")
    assert set(carried.whole) == {"call00001"}
    assert len(carried.text) <= 1_500


def test_results_without_room_are_named_as_never_seen():
    """They were listed among the calls that were done, and their files among those that were read."""
    records = [call("read_file", "x" * 5_000, at=at, is_read=True, path=f"{at}.py") for at in range(3)]
    carried = carry_results(records, title=TITLE, max_chars=700)
    assert carried.text == (
        f"{TITLE}\n\nNot shown for lack of room, so you have not seen the results of: "
        'read_file {"path": "0.py"} (5,000 characters); read_file {"path": "1.py"} (5,000 characters); '
        'read_file {"path": "2.py"} (5,000 characters)'
    )
    assert not carried.whole


def test_of_several_long_reads_some_are_shown_rather_than_a_little_of_each():
    """Each was cut to its first and last lines, so all had to be called again."""
    records = [call("read_file", f"{at}" * 4_000, at=at, is_read=True, path=f"{at}.py") for at in range(4)]
    records.append(call("run_shell", "out" * 1_000, at=4, command="x"))
    text = carry_results(records, title=TITLE, max_chars=7_500).text
    shown = [line.partition(" -> ")[0] for line in text.splitlines() if line.startswith("===")]
    assert shown == [
        '=== read_file {"path": "2.py"}',
        '=== read_file {"path": "3.py"}',
        '=== run_shell {"command": "x"}',
    ]
    assert text.endswith(
        "so you have not seen the results of: "
        'read_file {"path": "0.py"} (4,000 characters); read_file {"path": "1.py"} (4,000 characters)'
    )
    assert text.count("3") > 2_000


def test_the_image_of_a_result_is_not_carried_over_and_the_model_reads_so():
    shown = call("view_image", "(an image: image/png)", had_image=True, path="a.png")
    assert carry_results([shown], title=TITLE, max_chars=900).text.endswith(
        "-> ok\n(an image: image/png)\n[The image is not carried over: call it again to see it.]"
    )


def test_a_file_whose_content_the_model_has_not_seen_does_not_count_as_read():
    records = [call("read_file", at=at, path=f"{at}.py") for at in range(3)]
    records += [call("read_file", at=3, had_image=True, path="3.png")]
    assert read_files([*records, "- (a note)"], unread={"call00001"}) == "0.py, 2.py"


@given(contents=st.lists(st.text(alphabet="ab\n", max_size=3_000), max_size=9), max_chars=st.integers(1_000, 9_000))
def test_carried_results_never_exceed_their_bound(contents: list[str], max_chars: int):
    records = [call("read_file", content, at=at, path=f"{at}.py") for at, content in enumerate(contents)]
    carried = carry_results(records, title=TITLE, max_chars=max_chars)
    assert len(carried.text) <= max_chars
    for record in records:
        assert (record.call.id in carried.whole) <= (record.result.content.strip("\n") in carried.text)
