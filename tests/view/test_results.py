"""Labels of calls: what tells calls of one tool in a turn from each other."""

from __future__ import annotations

import pytest

from agent.messages import ToolCall
from agent.view.results import labels_of


@pytest.mark.parametrize(
    ("calls", "labels"),
    [
        ([("look", "{}")], ["look"]),
        ([("look", '{"path": "a"}'), ("read", '{"path": "b"}')], ["look", "read"]),
        ([("look", '{"path": "a"}'), ("look", '{"path": "b"}')], ["look a", "look b"]),
        (
            [("read", '{"path": "a", "line": 1}'), ("read", '{"path": "a", "line": 90}')],
            ["read 1", "read 90"],
        ),
        ([("read", '{"path": "a"}'), ("read", '{"path": "a", "line": 90}')], ["read #1", "read 90"]),
        (
            [("look", '{"path": "a"}'), ("look", '{"path": "b"}'), ("look", '{"path": "a"}')],
            ["look a", "look b", "look a #2"],
        ),
        ([("undo", "{}"), ("undo", "{}")], ["undo #1", "undo #2"]),
        ([("look", "not json"), ("look", "[1]"), ("look", '{"path": "a"}')], ["look #1", "look #2", "look a"]),
        (
            [("run_tests", '{"tests": ["test_a.py", "test_b.py"]}'), ("run_tests", '{"tests": []}')],
            ["run_tests test_a.py test_b.py", "run_tests #1"],
        ),
        (
            [("look", '{"path": "a/very/long/path/to/module_a.py"}'), ("look", '{"path": "b"}')],
            ["look ...g/path/to/module_a.py", "look b"],
        ),
        (
            [("run", '{"command": "printf one\\nand then much more"}'), ("run", '{"command": "b\\u001b[2Jc"}')],
            ["run printf one and then m...", "run bc"],
        ),
        ([("made\nup \x1b[2J" + "x" * 90, "{}")], ["made up " + "x" * 29 + "..."]),
        ([("look", '{"deep": true}'), ("look", '{"deep": {"x": 1}}')], ["look true", 'look {"x": 1}']),
    ],
)
def test_a_call_is_labelled_by_its_tool_and_what_differs(calls: list[tuple[str, str]], labels: list[str]):
    made = [ToolCall(id=f"c{at}", name=name, arguments=text) for at, (name, text) in enumerate(calls)]
    assert [labels_of(made)[call.id] for call in made] == labels
