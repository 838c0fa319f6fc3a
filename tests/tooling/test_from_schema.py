"""A tool declared by a JSON Schema alone validates like any other, and a bad schema is refused at once."""

from pathlib import Path
from typing import cast

import pytest

from agent.errors import ConfigError
from agent.tooling.arguments import Issue
from agent.tooling.context import ToolContext
from agent.tooling.from_schema import tool_from_schema
from agent.tooling.tool import Tool


async def echo(value: dict) -> str:
    return f"got {value}"


def made(parameters: dict) -> Tool:
    return tool_from_schema(echo, name="foreign", description=" Do it. ", parameters=parameters)


SHAPE = {
    "type": "object",
    "properties": {
        "n": {"type": ["integer", "null"]},
        "size": {"enum": ["S", 1]},
        "low": {"type": "number", "minimum": 3},
        "inner": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "required": ["n", "low"],
}


def test_a_tool_keeps_its_description_and_schema_and_refuses_unknown_keys() -> None:
    tool = made(SHAPE)
    assert (tool.name, tool.description) == ("foreign", "Do it.")
    assert tool.parameters == {"additionalProperties": False, **SHAPE}


def test_a_schema_that_allows_additional_keys_still_does() -> None:
    tool = made({"type": "object", "additionalProperties": True})
    assert tool.arguments.check('{"any": 1}') == {"any": 1}


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        (
            '{"n": "1", "low": 3}',
            (Issue(path=("n",), problem="type", expected="an integer or null", sent="1"),),
        ),
        (
            '{"n": true, "low": 3}',
            (Issue(path=("n",), problem="type", expected="an integer or null", sent=True),),
        ),
        (
            "{}",
            (
                Issue(path=("n",), problem="missing", expected="a value"),
                Issue(path=("low",), problem="missing", expected="a value"),
            ),
        ),
        (
            '{"n": 1, "low": 2}',
            (Issue(path=("low",), problem="value", expected="at least 3", sent=2),),
        ),
        (
            '{"n": 1, "low": 3, "size": "L"}',
            (Issue(path=("size",), problem="value", expected='one of "S", 1', sent="L"),),
        ),
        (
            '{"n": 1, "low": 3, "x-a": "b", "other": 1}',
            (Issue(path=("other",), problem="extra", expected="no such field", sent=1),),
        ),
        (
            '{"n": 1, "low": 3, "inner": {}}',
            (Issue(path=("inner", "id"), problem="missing", expected="a value"),),
        ),
    ],
)
def test_each_mismatch_is_an_issue(text: str, issues: tuple[Issue, ...]) -> None:
    assert made(SHAPE).arguments.check(text) == issues


async def test_the_body_gets_the_arguments_object() -> None:
    tool = made(SHAPE)
    value = tool.arguments.check('{"n": 1, "low": 3.5}')
    assert await tool.body(value, ToolContext(workspace=Path("/"))) == "got {'n': 1, 'low': 3.5}"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (
            {"type": "array"},
            "Tool 'foreign': `parameters` must be a JSON Schema with \"type\": \"object\", got 'array'.",
        ),
        (
            {"$ref": "#/$defs/text", "$defs": {"text": {"type": "string"}}},
            "Tool 'foreign': `parameters` must be a JSON Schema with \"type\": \"object\", got 'string'.",
        ),
        (
            {"type": "object", "required": "n"},
            "Tool 'foreign': `parameters` is not a valid JSON Schema at $.required: 'n' is not of type 'array'",
        ),
        (
            {"type": "object", "properties": {"n": {"pattern": "("}}},
            "Tool 'foreign': `parameters` is not a valid JSON Schema at $.properties.n.pattern: '(' is not a 'regex'",
        ),
        (
            {"type": "object", "properties": {"n": {"anyOf": [{"$ref": "#/$defs/n"}]}}, "$defs": {}},
            "Tool 'foreign': `parameters` refers to '#/$defs/n', which it does not contain. "
            "Put that schema under $defs and refer to it as #/$defs/...",
        ),
    ],
)
def test_a_bad_schema_is_refused_at_once(parameters: dict, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(parameters)
    assert str(caught.value) == problem


def test_references_within_the_schema_are_followed() -> None:
    tool = made(
        {
            "type": "object",
            "properties": {"tree": {"$ref": "#/$defs/tree"}, "first": {"$ref": "#/$defs/tree/properties/kids"}},
            "$defs": {"tree": {"type": "object", "properties": {"kids": {"items": {"$ref": "#/$defs/tree"}}}}},
        }
    )
    assert tool.arguments.check('{"tree": {"kids": [{"kids": [1]}]}}') == (
        Issue(path=("tree", "kids", 0, "kids", 0), problem="type", expected="an object", sent=1),
    )


# Schemas of real servers and hostile ones.


def test_a_call_with_a_property_that_the_schema_forbids_does_not_end_the_run() -> None:
    """`false` as a schema raised AttributeError."""
    tool = made({"type": "object", "properties": {"a": {}, "old": False}})
    assert tool.arguments.check('{"old": 1}') == (Issue(path=("old",), problem="value", expected="left out", sent=1),)


@pytest.mark.parametrize(
    "parameters",
    [{"$ref": "#"}, {"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}],
)
def test_a_reference_in_a_cycle_is_found_when_the_tool_is_made(parameters: dict) -> None:
    """The first call raised RecursionError."""
    with pytest.raises(ConfigError, match=r"^Tool 'foreign': `parameters` contains itself without end: #"):
        made(parameters)


def test_a_pattern_that_backtracks_does_not_hold_the_run_up() -> None:
    """Python's `re` would take longer than anyone waits."""
    tool = made({"type": "object", "properties": {"s": {"type": "string", "pattern": "^(a+)+$"}}})
    (issue,) = cast("tuple[Issue, ...]", tool.arguments.check('{"s": "' + "a" * 32 + '!"}'))
    assert issue.expected == "a string that matches the pattern ^(a+)+$"


def test_integers_reach_the_tool_as_integers() -> None:
    tool = made({"type": "object", "properties": {"n": {"type": "integer"}}})
    assert repr(tool.arguments.check('{"n": 9007199254740993.0}')) == "{'n': 9007199254740993}"


def test_the_dialect_of_the_schema_is_honoured_and_what_cannot_be_checked_is_noted() -> None:
    tool = made(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {"pair": {"items": [{"type": "integer"}]}, "a": {"type": "string", "pattern": "^(?!x)"}},
            "dependencies": {"a": ["pair"]},
        }
    )
    assert tool.parameters == {
        "additionalProperties": False,
        "type": "object",
        "properties": {
            "pair": {"prefixItems": [{"type": "integer"}]},
            "a": {"type": "string", "pattern": "^(?!x)"},
        },
        "dependentRequired": {"a": ["pair"]},
    }
    assert tool.notes == ("$.a: the pattern ^(?!x) is not checked: it looks ahead",)
