"""A JUnit report of any size is parsed within bounds, and means what it says."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import pytest

from agent import ToolContext
from tools._junit import from_junit
from tools._test_report import Case, from_plugin
from tools.testing_tools import read_test_report

MILLION = 1_000_000
DEEP = "it has more than 100 elements inside one another"
MANY = "it has more than 1,000,000 elements"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"<testsuite>" + b"<a>" * 3 * MILLION + b"</a>" * 3 * MILLION, DEEP),
        (b"<testsuite>" + b"<testcase>" * 101, DEEP),
        (b"<testsuite>" + b"<testcase><failure>" * 51, DEEP),
        (b"<testsuite>" + b"<a/>" * 2 * MILLION + b"</testsuite>", MANY),
        (b"<testsuite><!--" + b"-x" * 4 * MILLION, "it is not well-formed XML (unclosed token: line 1, column 11)"),
        (b"<testsuite><testcase name='a'>", "it is not well-formed XML (no element found: line 1, column 30)"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "it is not well-formed XML (unknown encoding: klingon)"),
        (b"", "it is not well-formed XML (no element found: line 1, column 0)"),
    ],
    ids=["deep", "cases", "failures", "many", "comment", "cut", "encoding", "empty"],
)
def test_a_report_made_to_stall_its_reader_is_refused_soon(data: bytes, why: str):
    """19 MB of elements inside one another took 31 s."""
    began = time.process_time()
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        from_junit(data)
    assert time.process_time() - began < 5


def test_a_report_is_read_in_any_encoding_with_what_the_tests_printed():
    text = (
        '<?xml version="1.0" encoding="utf-16"?><testsuites><properties><property name="x"/></properties><testsuite>'
        '<testcase classname="a.B" name="one"><failure message="m\u00e9">\n  text <b>not this</b> after\n</failure>'
        "<system-out>out</system-out><system-err>err</system-err></testcase>"
        '<testcase file="f.py" name="two"><skipped message="why"/><properties><failure/></properties></testcase>'
        '<testcase name="three"><system-out>never shown</system-out></testcase>'
        '<testcase name="four"><error/><failure>second</failure></testcase></testsuite></testsuites>'
    )
    assert from_junit(text.encode("utf-16")).cases == [
        Case(name="a.B::one", outcome="failed", message="m\u00e9\n  text  after", printed="out\nerr"),
        Case(name="f.py::two", outcome="skipped", message="why"),
        Case(name="three", outcome="passed"),
        Case(name="four", outcome="error"),
    ]


def test_a_message_of_many_megabytes_is_cut():
    data = b"<testsuite><testcase name='a'><failure>" + b"x\n" * MILLION + b"</failure></testcase></testsuite>"
    (case,) = from_junit(data).cases
    assert case.message.endswith("x\n\n[cut at 1,000,000 characters]")
    assert len(case.message) < 1_000_100


def test_a_traceback_and_a_report_of_pytest_have_a_bound(tmp_path: Path):
    """500,000 frames in one line took 11 s, a million results 25 s."""
    frame = b'{"path":"a.py","line":%d,"code":"x"}'
    frames = b",".join(frame % at for at in range(2_000))
    line = b'{"event":"result","id":"a","outcome":"failed","frames":[' + frames + b"]}"
    (case,) = from_plugin([line], tmp_path).cases
    assert [shown.line for shown in case.frames] == [*range(100)]

    report = from_plugin((b"x" for _ in range(500_001)), tmp_path)
    assert report.problems == (
        "Only the first 500,000 lines of pytest's report were read. Run fewer tests at once.",
        "Ignored 500,000 lines of pytest's report that are not results; some may be missing.",
    )


def test_the_same_text_of_many_tests_is_worked_on_once(tmp_path: Path):
    """A report of 300,000 tests that were skipped for one reason took 19 s."""
    cases = "".join(f'<testcase name="t{i}"><skipped message="no GPU"/></testcase>' for i in range(1000))
    (tmp_path / "report.xml").write_text(f"<testsuite>{cases}</testsuite>")
    calls = Counter[str]()

    def count(frame: FrameType, event: str, _: object) -> None:
        calls[frame.f_code.co_name] += event == "call"

    assert read_test_report.source is not None
    context = ToolContext(workspace=tmp_path, secrets={"KEY": "correct-horse"})
    sys.setprofile(count)
    try:
        text = read_test_report.source(context, "report.xml")
    finally:
        sys.setprofile(None)
    assert "1000 skipped" in text.replace(",", "")
    assert max(calls["displayed"], calls["redacted"], calls["sub"]) < 50


def test_a_test_name_does_not_forge_lines_of_the_report():
    """An attribute holds a newline as `&#10;`."""
    data = b"<testsuite><testcase classname='a' name='b&#10;All tests passed.'><failure/></testcase></testsuite>"
    assert [case.name for case in from_junit(data).cases] == ["a::b\\nAll tests passed."]
