"""Every call is executed as it was meant or answered with feedback that a model can act on."""

import json
from dataclasses import replace
from typing import Annotated, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from agent.messages import RawCall, ToolCall
from agent.parsing.feedback import feedback
from agent.parsing.validation import CheckedCall, InvalidCall, canonical, check
from agent.tooling.arguments import Issue
from agent.tooling.from_schema import tool_from_schema
from agent.tooling.tool import tool
from agent.tooling.toolbox import Toolbox


class Place(BaseModel):
    """A place in a file."""

    line: int
    column: int = 1


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def ping() -> str:
    """Answer pong."""
    return "pong"


@tool
def write_file(path: str, content: str, mode: Literal["new", "append"] = "new") -> str:
    """Write a file."""
    return path + content + mode


@tool
def search(
    words: list[str],
    *,
    limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ratio: float = 0.5,
    exact: bool = False,
    at: Place | None = None,
    depth: int | None = None,
) -> str:
    """Search."""
    return f"{words}{limit}{ratio}{exact}{at}{depth}"


TOOLS = Toolbox([add, ping, write_file, search])
AB = '{"a": 3, "b": 4}'
ID = "aBcDeF123"


def checked(name: str, arguments: str, toolbox: Toolbox = TOOLS) -> CheckedCall | InvalidCall:
    return check(RawCall(name=name, arguments=arguments), toolbox, call_id=ID)


# What models get wrong (faults m05 to m46 and m57 of tests/loop/test_model_faults.py), and the call that is executed.
EXECUTED = {
    "a valid call": ("add", AB, AB, ()),
    "a valid call keeps its bytes": ("add", '{"b":4,\n"a":3}', '{"b":4,\n"a":3}', ()),
    "m05 single quotes": ("add", "{'a': 3, 'b': 4}", AB, ("single_quotes",)),
    "m06 a trailing comma": ("add", '{"a": 3, "b": 4,}', AB, ("trailing_comma",)),
    "m07 python literals": (
        "search",
        "{'words': [], 'exact': True}",
        '{"words": [], "exact": true}',
        ("single_quotes", "python_literal"),
    ),
    "m08 double encoding": ("add", json.dumps(AB), AB, ("double_encoded",)),
    "m09 integers as strings": (
        "add",
        '{"a": "3", "b": "-4"}',
        '{"a": 3, "b": -4}',
        ("string_to_integer $.a", "string_to_integer $.b"),
    ),
    "m10 an integer as float": ("add", '{"a": 3.0, "b": 4}', AB, ("float_to_integer $.a",)),
    "m18 a prefix": ("functions.add", AB, AB, ("name_prefix",)),
    "m18 another prefix": ("default_api:add", AB, AB, ("name_prefix",)),
    "m19 another case": ("Add", AB, AB, ("name_spelling",)),
    "dashes for underscores": (
        "write-file",
        '{"path": "a", "content": ""}',
        '{"path": "a", "content": ""}',
        ("name_spelling",),
    ),
    "m20 whitespace around the name": (" add\n", AB, AB, ("name_blanks",)),
    "every repair of the name": (" tools.ADD ", AB, AB, ("name_blanks", "name_prefix", "name_spelling")),
    "m22 a wrapper": ("add", f'{{"name": "add", "arguments": {AB}}}', AB, ("unwrapped",)),
    "a wrapper around JSON text": ("add", f'{{"arguments": {json.dumps(AB)}}}', AB, ("unwrapped",)),
    "a wrapper around strings": (
        "add",
        '{"parameters": {"a": "3", "b": 4}}',
        AB,
        ("unwrapped", "string_to_integer $.a"),
    ),
    "m23 a fence": ("add", f"```json\n{AB}\n```", AB, ("code_fence",)),
    "m24 raw control characters": (
        "write_file",
        '{"path": "a", "content": "x\ny"}',
        '{"path": "a", "content": "x\\ny"}',
        ("control_characters",),
    ),
    "m25 a bad escape": (
        "write_file",
        r'{"path": "a", "content": "\d"}',
        r'{"path": "a", "content": "\\d"}',
        ("single_backslashes",),
    ),
    "m30 trailing text": ("add", f"{AB} Now I wait.", AB, ("trailing_text",)),
    "m31 empty arguments where none are required": ("ping", "", "{}", ("empty_arguments",)),
    "m32 null arguments where none are required": ("ping", " null", "{}", ("empty_arguments",)),
    "m42 a megabyte": (
        "write_file",
        json.dumps({"path": "a", "content": "x" * 1_000_000}),
        json.dumps({"path": "a", "content": "x" * 1_000_000}),
        (),
    ),
    "number strings, booleans and JSON text": (
        "search",
        '{"words": "[\\"a\\", 3]", "ratio": "0.250", "exact": "True", "at": "{\\"line\\": \\"7\\"}"}',
        '{"words": ["a", "3"], "ratio": 0.25, "exact": true, "at": {"line": 7}}',
        (
            "json_text_to_array $.words",
            "string_to_number $.ratio",
            "string_to_boolean $.exact",
            "json_text_to_object $.at",
            "number_to_string $.words[1]",
            "string_to_integer $.at.line",
        ),
    ),
    "numbers where strings are expected keep their spelling": (
        "write_file",
        '{"path": 5, "content": 3.10}',
        '{"path": "5", "content": "3.10"}',
        ("number_to_string $.path", "number_to_string $.content"),
    ),
    "null for an optional parameter": (
        "search",
        '{"words": [], "limit": null, "at": null}',
        '{"words": [], "at": null}',
        ("null_left_out $.limit",),
    ),
    "an enum value in another case": (
        "write_file",
        '{"path": "a", "content": "", "mode": " Append"}',
        '{"path": "a", "content": "", "mode": "append"}',
        ("enum_spelling $.mode",),
    ),
    "an optional integer as string": (
        "search",
        '{"words": [], "depth": "3"}',
        '{"words": [], "depth": 3}',
        ("string_to_integer $.depth",),
    ),
}


@pytest.mark.parametrize("name", EXECUTED)
def test_the_call_is_executed(name: str) -> None:
    called, arguments, expected, repairs = EXECUTED[name]
    found = checked(called, arguments)
    assert isinstance(found, CheckedCall), found
    assert found.call == ToolCall(id=ID, name=found.tool.name, arguments=expected, repairs=repairs)
    assert isinstance(found.value, BaseModel)
    jsonschema.validate(json.loads(expected), found.tool.parameters)


def refused(kind: str, name: str, arguments: str, reason: str) -> tuple[str, str, str, str]:
    return (kind, name, arguments, reason)


REFUSED = {
    "m01 m02 a missing brace": refused(
        "cut_off",
        "add",
        '{"a": 3, "b": 4',
        'the text ends inside the object at character 15, near "{\\"a\\": 3, \\"b\\": 4"',
    ),
    "m04 a truncated string": refused(
        "cut_off",
        "write_file",
        '{"path": "rm -rf /srv/build',
        'the text ends inside the object at character 27, near "{\\"path\\": \\"rm -rf /srv/build"',
    ),
    "m11 a fraction": refused("mismatch", "add", '{"a": 3.5, "b": 4}', "$.a must be an integer, got 3.5"),
    "m12 not a number": refused("mismatch", "add", '{"a": "three", "b": 4}', '$.a must be an integer, got "three"'),
    "m13 true for a number": refused("mismatch", "add", '{"a": true, "b": 4}', "$.a must be an integer, got true"),
    "m14 a missing parameter": refused("mismatch", "add", '{"a": 3}', "$.b is required and missing"),
    "m15 an extra parameter": refused(
        "mismatch", "add", '{"a": 3, "b": 4, "c": 5}', "$.c is not a parameter, got 5; allowed: a, b"
    ),
    "m16 null for a required parameter": refused(
        "mismatch", "add", '{"a": null, "b": 4}', "$.a must be an integer, got null"
    ),
    "m17 a tool that does not exist": refused("unknown_tool", "multiply", AB, 'Unknown tool "multiply"'),
    "m21 no name": refused("unknown_tool", "", AB, 'Unknown tool ""'),
    "a call in python": refused("unknown_tool", "add(a=3, b=4)", "{}", 'Unknown tool "add(a=3, b=4)"'),
    "m22 a wrapper of another tool": refused(
        "mismatch",
        "ping",
        f'{{"name": "add", "arguments": {AB}}}',
        '$.name is not a parameter, got "add"; allowed: none; '
        '$.arguments is not a parameter, got {"a": 3, "b": 4}; allowed: none',
    ),
    "m26 a lone surrogate": refused(
        "unparsable",
        "write_file",
        '{"path": "\\ud83d", "content": ""}',
        "a \\ud800 to \\udfff escape stands alone, which is half a character",
    ),
    "m29 two objects": refused(
        "unparsable", "add", AB + AB, f"more text follows the object at character 16, near {json.dumps(AB + AB)}"
    ),
    "m31 empty arguments where some are required": refused("unparsable", "add", "", "it is empty"),
    "m32 null where some are required": refused("unparsable", "add", "null", "it is null, not an object"),
    "m33 an array": refused("unparsable", "add", "[3, 4]", "it is an array, not an object"),
    "m38 NaN": refused("unparsable", "add", '{"a": NaN, "b": 4}', "NaN is not a JSON value"),
    "m39 a huge integer": refused("unparsable", "add", '{"a": 1' + "0" * 5000 + "}", "a number has too many digits"),
    "m40 deep nesting": refused("unparsable", "add", "[" * 5000, "it is nested more than 100 deep"),
    "m41 duplicate keys": refused("unparsable", "add", '{"a": 1, "a": 3, "b": 4}', 'the key "a" comes twice'),
    "a single value where an array is expected": refused(
        "mismatch", "search", '{"words": "a"}', '$.words must be an array, got "a"'
    ),
    "a number too large for its field": refused(
        "mismatch", "search", '{"words": [], "limit": "70"}', "$.limit must be less than or equal to 50, got 70"
    ),
    "an unknown enum value": refused(
        "mismatch",
        "write_file",
        '{"path": "a", "content": "", "mode": "over"}',
        "$.mode must be 'new' or 'append', got \"over\"",
    ),
    "digits with a leading zero": refused(
        "mismatch", "add", '{"a": "007", "b": 4}', '$.a must be an integer, got "007"'
    ),
    "one for true": refused("mismatch", "search", '{"words": [], "exact": 1}', "$.exact must be true or false, got 1"),
    "null in an array": refused("mismatch", "search", '{"words": [null]}', "$.words[0] must be a string, got null"),
    "JSON text of another type": refused(
        "mismatch", "search", '{"words": "{\\"a\\": 1}"}', '$.words must be an array, got "{\\"a\\": 1}"'
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_call_is_refused(name: str) -> None:
    kind, called, arguments, reason = REFUSED[name]
    found = checked(called, arguments)
    assert isinstance(found, InvalidCall)
    assert (found.kind, found.reason) == (kind, reason)
    assert found.trigger == ("unknown_tool" if kind == "unknown_tool" else "invalid_call")
    assert found.raw == RawCall(name=called, arguments=arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "stand_in"),
    [
        ("add", '{"a": "x"}', ToolCall(id=ID, name="add", arguments='{"a": "x"}')),
        ("functions.add", "{'a': 'x'}", ToolCall(id=ID, name="add", arguments='{"a": "x"}')),
        ("add", '{"a": ', ToolCall(id=ID, name="add", arguments="{}")),
        ("nope", AB, ToolCall(id=ID, name="nope", arguments=AB)),
        ("", "[1]", ToolCall(id=ID, name="unknown", arguments="{}")),
        ("no pe!" + "x" * 100, AB, ToolCall(id=ID, name="no_pe_" + "x" * 58, arguments=AB)),
    ],
)
def test_the_stand_in_for_an_invalid_call_is_legal_in_a_history(name: str, arguments: str, stand_in: ToolCall) -> None:
    found = checked(name, arguments)
    assert isinstance(found, InvalidCall)
    assert found.call == stand_in


def test_an_unknown_tool_has_an_intended_tool_only_if_one_name_is_near() -> None:
    one = checked("adder", AB)
    assert isinstance(one, InvalidCall)
    assert (one.tool, one.nearest) == (add, ("add",))
    two = checked("read_fil", AB, Toolbox([replace(add, name=n) for n in ("read_file", "read_files")]))
    assert isinstance(two, InvalidCall)
    assert (two.tool, two.nearest) == (None, ("read_file", "read_files"))


def test_a_name_that_matches_two_tools_after_repair_is_unknown() -> None:
    toolbox = Toolbox([replace(add, name=name) for name in ("read-file", "read_file")])
    found = checked("Read_File", AB, toolbox)
    assert isinstance(found, InvalidCall)
    assert found.kind == "unknown_tool"


def test_only_mismatches_that_could_not_be_fixed_are_reported() -> None:
    found = checked("add", '{"a": "3", "b": "x", "c": 1}')
    assert isinstance(found, InvalidCall)
    assert found.issues == (
        Issue(path=("b",), problem="type", expected="an integer", sent="x"),
        Issue(path=("c",), problem="extra", expected="no such field", sent=1),
    )


def feedback_on(name: str, arguments: str, *, attempt: int = 1, same: bool = False) -> str:
    found = checked(name, arguments)
    assert isinstance(found, InvalidCall)
    return feedback(found, attempt=attempt, same_as_before=same, toolbox=TOOLS)


FEEDBACK = {
    "one mismatch": (
        feedback_on("add", '{"a": "x", "b": 4}'),
        'Arguments for "add" do not match: $.a must be an integer, got "x" (schema: {"type":"integer"}). '
        "Send the call again.",
    ),
    "several mismatches at the second attempt": (
        feedback_on("write_file", '{"pth": "a", "content": 5, "mode": "over"}', attempt=2),
        'Arguments for "write_file" do not match (attempt 2):\n'
        '- $.path is required and missing (schema: {"type":"string"})\n'
        "- $.mode must be 'new' or 'append', got \"over\" "
        '(schema: {"default":"new","enum":["new","append"],"type":"string"})\n'
        '- $.pth is not a parameter, got "a"; allowed: path, content, mode\n'
        "Send the call again.",
    ),
    "the same mismatch again": (
        feedback_on("add", '{"a": "x", "b": 4}', attempt=2, same=True),
        'The very same call to "add" has failed before, in the same way. Sent again, it will fail again.\n'
        'Arguments for "add" do not match (attempt 2): $.a must be an integer, got "x" (schema: {"type":"integer"}).\n'
        '"add" accepts, for example: {"a": 1, "b": 1}\n'
        "Change the call, or do something else: call another tool, or say what is in the way.",
    ),
    "an unknown tool": (
        feedback_on("adder", AB),
        'Unknown tool "adder". Did you mean "add"? Available: add, ping, write_file, search. Call one of these.',
    ),
    "an unknown tool again": (
        feedback_on("multiply", AB, attempt=3, same=True),
        'The very same call to "multiply" has failed before, in the same way. Sent again, it will fail again.\n'
        'Unknown tool "multiply" (attempt 3). Available: add, ping, write_file, search.\n'
        "Change the call, or do something else: call another tool, or say what is in the way.",
    ),
    "unparsable": (
        feedback_on("add", '{"a": 3, b = 4}'),
        'Arguments for "add" are not a JSON object: expected a colon after the key at character 11, '
        'near "{\\"a\\": 3, b = 4}". Send the arguments as one JSON object.',
    ),
    "empty": (
        feedback_on("add", ""),
        'Arguments for "add" are not a JSON object: it is empty. Send the arguments as one JSON object.',
    ),
    "cut off": (
        feedback_on("write_file", '{"path": "a", "content": "' + "x" * 100),
        f'Arguments for "write_file" end early: they stop at "{"x" * 60}". '
        "Send the call again with complete arguments; split long content into several smaller calls.",
    ),
    "a long value": (
        feedback_on("add", json.dumps({"a": "x" * 300, "b": 4})),
        f'Arguments for "add" do not match: $.a must be an integer, got "{"x" * 199}… (302 characters) '
        '(schema: {"type":"integer"}). Send the call again.',
    ),
    "more than ten": (
        feedback_on("ping", json.dumps(dict.fromkeys("abcdefghijkl", 0))),
        'Arguments for "ping" do not match:\n'
        + "".join(f"- $.{key} is not a parameter, got 0; allowed: none\n" for key in "abcdefghij")
        + "- and 2 more\nSend the call again.",
    ),
    "a lone surrogate in a name": (
        feedback_on("\ud83d", "{}"),
        'Unknown tool "?". Available: add, ping, write_file, search. Call one of these.',
    ),
}


@pytest.mark.parametrize("name", FEEDBACK)
def test_the_feedback_is_exact(name: str) -> None:
    text, expected = FEEDBACK[name]
    assert text == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"b": [1, {"d": 2, "c": "é"}], "a": 3}', '{"a":3,"b":[1,{"c":"é","d":2}]}'),
        (" not json ", "not json"),
        ("", ""),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_canonical_arguments_compare_calls(arguments: str, expected: str) -> None:
    assert canonical(arguments) == expected


async def nothing(_value: dict) -> str:
    return ""


FOREIGN = tool_from_schema(
    nothing,
    name="foreign",
    description="Anything.",
    parameters={
        "type": "object",
        "properties": {
            "n": {"type": ["integer", "null"]},
            "t": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
            "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
            "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            "free": {"type": "object", "additionalProperties": {"type": "number"}},
            "size": {"enum": ["S", "s", "M"]},
        },
        "required": ["list"],
        "$defs": {"item": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
    },
)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"list": [{"id": "3"}]}', '{"list": [{"id": 3}]}'),
        ('{"list": "[{\\"id\\": 3}]", "n": "4"}', '{"list": [{"id": 3}], "n": 4}'),
        ('{"list": [{"id": 3}], "t": "true"}', '{"list": [{"id": 3}], "t": true}'),
        ('{"list": [{"id": 3}], "pair": ["1", 2]}', '{"list": [{"id": 3}], "pair": [1, "2"]}'),
        ('{"list": [{"id": 3}], "free": {"x": "1.5"}}', '{"list": [{"id": 3}], "free": {"x": 1.5}}'),
        ('{"list": [{"id": 3}], "size": "m"}', '{"list": [{"id": 3}], "size": "M"}'),
        ('{"list": [{"id": 3}], "size": " s"}', None),
        ('{"list": []}', None),
        ('{"list": "["}', None),
    ],
)
def test_an_external_schema_guides_the_coercions(arguments: str, expected: str | None) -> None:
    found = checked("foreign", arguments, Toolbox([FOREIGN]))
    if expected is None:
        assert isinstance(found, InvalidCall)
    else:
        assert isinstance(found, CheckedCall)
        assert found.call.arguments == expected


def test_the_example_for_an_external_schema_is_valid() -> None:
    found = checked("foreign", '{"list": []}', Toolbox([FOREIGN]))
    assert isinstance(found, InvalidCall)
    text = feedback(found, attempt=2, same_as_before=True, toolbox=Toolbox([FOREIGN]))
    assert '"foreign" accepts, for example: {"list": [{"id": 1}]}\n' in text


ALL = Toolbox([*TOOLS, FOREIGN])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["3", "true", "new"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "line", "x"]), inner, max_size=2)
    ),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "a",
        "b",
        "path",
        "content",
        "mode",
        "words",
        "limit",
        "exact",
        "at",
        "list",
        "n",
        "t",
        "free",
        "arguments",
        "name",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*ALL.names, "Add", "nope", ""]), st.dictionaries(keys, values, max_size=4))
def test_accepted_arguments_match_the_schema(name: str, arguments: dict) -> None:
    found = check(RawCall(name=name, arguments=json.dumps(arguments)), ALL, call_id=ID)
    if isinstance(found, CheckedCall):
        jsonschema.validate(json.loads(found.call.arguments), found.tool.parameters)
    else:
        json.loads(found.call.arguments)
        feedback(found, attempt=2, same_as_before=True, toolbox=ALL).encode()


@settings(max_examples=100, deadline=None)
@given(st.text() | st.sampled_from([*ALL.names]), st.text())
def test_check_never_raises(name: str, arguments: str) -> None:
    found = check(RawCall(name=name, arguments=arguments), ALL, call_id=ID)
    assert isinstance(json.loads(found.call.arguments), dict)
