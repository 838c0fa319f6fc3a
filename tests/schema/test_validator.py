"""Arguments are checked exactly, in bounded time, and every mismatch has its place and words."""

import json
import time

import pytest

from agent.schema.compiled import MAX_STEPS, Mismatch
from agent.schema.prepare import prepare


def check(schema: dict, value: object) -> dict | list[tuple[str, str, str]]:
    """Check a value, or JSON text; return the arguments, or place, problem and words of each mismatch."""
    text = value if isinstance(value, str) else json.dumps(value)
    found = prepare(schema).validator.check(text)
    return [described(issue) for issue in found] if isinstance(found, tuple) else found


def described(issue: Mismatch) -> tuple[str, str, str]:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in issue.path)
    return f"${place}", issue.problem, issue.expected


def one(**properties: object) -> dict:
    return {"type": "object", "properties": properties}


def words(schema: dict, value: object) -> str:
    """Return what is expected of one argument `x`."""
    found = check(one(x=schema), {"x": value})
    assert isinstance(found, list)
    return " and ".join(expected for _, _, expected in found)


# Exact values.


@pytest.mark.parametrize(
    ("step", "value"),
    [(0.01, "19.99"), (0.01, "1.13"), (0.01, "0.07"), (0.1, "0.3"), (0.01, "1e300"), (0.0001, "0.0075"), (3, "9.0")],
)
def test_a_multiple_is_one_in_decimal_arithmetic(step: float, value: str) -> None:
    assert not isinstance(check(one(x={"multipleOf": step}), f'{{"x": {value}}}'), list)


@pytest.mark.parametrize(("step", "value"), [(0.01, "19.995"), (0.0001, "0.00751"), (3, "10"), (2, "9007199254740993")])
def test_what_is_no_multiple_is_refused(step: float, value: str) -> None:
    assert check(one(x={"multipleOf": step}), f'{{"x": {value}}}') == [("$.x", "value", f"a multiple of {step}")]


@pytest.mark.parametrize(
    ("value", "arrives"),
    [("3.0", 3), ("1e3", 1000), ("9007199254740993.0", 9007199254740993), ("1.5e1", 15), ("-0.0", 0)],
)
def test_an_integer_arrives_as_an_integer_however_it_is_spelt(value: str, arrives: int) -> None:
    found = check(one(x={"type": "integer"}), f'{{"x": {value}}}')
    assert repr(found) == repr({"x": arrives})


@pytest.mark.parametrize("value", ["5.0000000000000001", "true", "1e-400", '"5"', "1e99999999999999999999", "null"])
def test_what_is_no_integer_is_refused(value: str) -> None:
    assert check(one(x={"type": "integer"}), f'{{"x": {value}}}') == [("$.x", "type", "an integer")]


@pytest.mark.parametrize(
    ("value", "arrives"), [("0.1", 0.1), ("1.10", 1.1), ("3.0", 3.0), ("9007199254740993.0", 9007199254740993)]
)
def test_a_number_arrives_as_it_was_spelt(value: str, arrives: float) -> None:
    assert repr(check(one(x={}), f'{{"x": {value}}}')) == repr({"x": arrives})


@pytest.mark.parametrize(
    ("value", "example"),
    [
        ("5.0000000000000001", ", such as 5.0"),
        ("0.12345678901234567890", ", such as 0.12345678901234568"),
        ("1e-400", ", such as 0.0"),
        ("1e5000", ""),
    ],
)
def test_a_number_that_would_arrive_changed_is_refused(value: str, example: str) -> None:
    expected = f"a number that a 64-bit float can hold{example}"
    assert check({"type": "object"}, f'{{"x": [{value}]}}') == [("$.x[0]", "value", expected)]


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"const": 1}, "1.0", True),
        ({"const": 1}, "true", False),
        ({"enum": [False]}, "0", False),
        ({"enum": [[1, {"a": 2.0}]]}, '[1.0, {"a": 2}]', True),
        ({"maximum": 9007199254740992}, "9007199254740993", False),
        ({"maximum": 9007199254740992}, "9007199254740992.0", True),
        ({"maximum": 9007199254740992}, "9007199254740992.5", False),
        ({"minimum": 0.1}, "0.1", True),
        ({"exclusiveMinimum": 0.1}, "0.1", False),
        ({"uniqueItems": True}, "[1, true]", True),
        ({"uniqueItems": True}, "[1, 1.0]", False),
        ({"uniqueItems": True}, '[{"a": 1, "b": 2}, {"b": 2, "a": 1}]', False),
    ],
)
def test_values_are_compared_exactly(schema: dict, value: str, fits: bool) -> None:
    assert isinstance(check(one(x=schema), f'{{"x": {value}}}'), dict) is fits


# Words.


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"minimum": 3}, 2, "at least 3"),
        ({"exclusiveMaximum": 3}, 3, "less than 3"),
        ({"minLength": 2}, "a", "a string with at least 2 characters"),
        ({"maxLength": 1}, "ab", "a string with at most 1 character"),
        ({"minItems": 1}, [], "an array with at least 1 item"),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, "an object with at most 1 key"),
        ({"pattern": "^a"}, "b", "a string that matches the pattern ^a"),
        ({"enum": ["거실", "부엌"]}, "x", 'one of "거실", "부엌"'),
        ({"const": "거실"}, "x", '"거실"'),
        ({"uniqueItems": True}, [1, 2, 1], "an array without equal items; items 0 and 2 are equal"),
        ({"contains": {"type": "integer"}}, ["a"], "an array in which at least 1 of the items must be an integer"),
        (
            {"contains": {"type": "integer"}, "maxContains": 1},
            [1, 2],
            "an array in which at most 1 of the items must be an integer",
        ),
        (
            {"propertyNames": {"pattern": "^[a-z]+$"}},
            {"A": 1},
            'an object in which each key is a value that satisfies {"pattern": "^[a-z]+$"}, and "A" is not',
        ),
        ({"not": {"type": "string"}}, "a", "something other than a string"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "a", "an integer or null"),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, 0, "an integer at least 1 or null"),
        ({"oneOf": [{"const": "a"}, {"const": "b"}]}, "c", '"a" or "b"'),
        (
            {"oneOf": [{"type": "integer"}, {"minimum": 1}]},
            2,
            "only one of the alternatives, but it is 2 of them: an integer and a value that satisfies "
            '{"minimum": 1}',
        ),
        (
            {"anyOf": [{"type": "object", "properties": {"id": {}}, "required": ["id"]}, {"type": "string"}]},
            3,
            "an object with id or a string",
        ),
    ],
)  # fmt: skip
def test_the_words_name_what_is_allowed(schema: dict, value: object, expected: str) -> None:
    assert words(schema, value) == expected


def shape(kind: str, size: str) -> dict:
    properties = {"kind": {"const": kind}, size: {"type": "number"}}
    return {"type": "object", "properties": properties, "required": ["kind", size]}


SHAPES = {"oneOf": [shape("circle", "r"), shape("box", "w")]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"kind": "box", "w": "3"}, ("$.x.w", "type", "a number")),
        ({"kind": "box"}, ("$.x.w", "missing", "a value")),
        ({"kind": "line"}, ("$.x", "value", 'an object with kind "circle", r or an object with kind "box", w')),
        ({"kind": "box", "w": "3", "r": 1}, ("$.x.w", "type", "a number")),
    ],
)
def test_the_mismatch_in_the_branch_that_is_meant_is_reported(value: dict, expected: tuple) -> None:
    assert check(one(x=SHAPES), {"x": value}) == [expected]


def test_an_optional_object_is_reported_where_it_is_wrong() -> None:
    schema = {"anyOf": [{"type": "object", "properties": {"limit": {"type": "integer"}}}, {"type": "null"}]}
    assert check(one(x=schema), {"x": {"limit": "5"}}) == [("$.x.limit", "type", "an integer")]


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (one(a={}, old=False), {"old": 1}, ("$.old", "value", "left out")),
        (one(a={"prefixItems": [{}, False]}), {"a": [1, 2]}, ("$.a[1]", "value", "left out")),
        (one(a={"items": False}), {"a": [1]}, ("$.a[0]", "value", "left out")),
        (one(a={"additionalProperties": False}), {"a": {"b": 1}}, ("$.a.b", "extra", "no such field")),
        (one(a={"not": True}), {"a": 1}, ("$.a", "value", "left out")),
        (one(a={"anyOf": [False, {"type": "string"}]}), {"a": 1}, ("$.a", "value", "nothing or a string")),
        (one(a={"allOf": [True, False]}), {"a": 1}, ("$.a", "value", "left out")),
        (one(a={"if": True, "then": False}), {"a": 1}, ("$.a", "value", "left out")),
        (one(a={"contains": False}), {"a": [1]}, ("$.a", "value", "left out")),
        (one(a={"propertyNames": False}), {"a": {"b": 1}}, ("$.a", "value", "an object without keys")),
        (one(a={"dependentSchemas": {"b": False}}), {"a": {"b": 1}}, ("$.a", "value", "left out")),
        ({"patternProperties": {"^x": False}}, {"xy": 1}, ("$.xy", "value", "left out")),
        ({"$ref": "#/$defs/a", "$defs": {"a": one(b=False)}}, {"b": None}, ("$.b", "value", "left out")),
        ({"properties": {"a": {}}, "unevaluatedProperties": False}, {"b": 1}, ("$.b", "extra", "no such field")),
        (one(a={"prefixItems": [{}], "unevaluatedItems": False}), {"a": [1, 2]}, ("$.a[1]", "value", "left out")),
    ],
)  # fmt: skip
def test_a_false_schema_anywhere_gives_a_mismatch_in_words(schema: dict, value: dict, expected: tuple) -> None:
    assert check(schema, value) == [expected]


# Bounded work.


def timed(schema: dict, value: object) -> dict | list[tuple[str, str, str]]:
    """Check a value; fail if it takes so long that the run would stand still."""
    validator, text = prepare(schema).validator, json.dumps(value)
    started = time.process_time()
    found = validator.check(text)
    assert time.process_time() - started < 0.5, "50 ms are the aim; a busy machine takes longer"
    return [described(issue) for issue in found] if isinstance(found, tuple) else found


ITEMS = {"type": "array", "items": {"$ref": "#/$defs/t"}}
NESTED = {"t": {"anyOf": [ITEMS, {**ITEMS, "minItems": 1}, {"type": "string"}]}}


def test_choices_inside_choices_take_no_exponential_time() -> None:
    schema = {**one(x={"$ref": "#/$defs/t"}), "$defs": NESTED}
    value: object = 1
    for _ in range(40):
        value = [value]
    found = timed(schema, {"x": value})
    assert isinstance(found, list)
    assert found[0][0].startswith("$.x")


def test_work_without_end_is_given_up_with_a_mismatch() -> None:
    definitions: dict = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    schema = {**one(x={"$ref": "#/$defs/d0"}), "$defs": {**definitions, "d40": {"minProperties": 1}}}
    assert timed(schema, {"x": {"a": 1}}) == [("$", "value", "simpler or smaller: its check takes too long")]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"type": "integer"}}, list(range(30_000))),
        ({"uniqueItems": True}, list(range(20_000))),
        ({"uniqueItems": True}, [{"a": number} for number in range(5_000)]),
        ({"enum": list(range(20_000))}, 19_999),
        ({"items": {"properties": {"a": {"minimum": 0}}, "required": ["a"]}}, [{"a": 1}] * 3_000),
    ],
)
def test_large_arguments_are_checked_in_time(schema: dict, value: object) -> None:
    assert timed(one(x=schema), {"x": value}) == {"x": value}


def test_an_array_of_wrong_items_has_a_bounded_number_of_mismatches() -> None:
    found = timed(one(x={"items": {"type": "integer"}}), {"x": ["a"] * 20_000})
    assert len(found) == 1_000


def test_a_huge_array_is_refused_in_words() -> None:
    schema = one(x={"items": {"minimum": 1}})
    assert timed(schema, {"x": [1] * (MAX_STEPS + 1)}) == [
        ("$", "value", "simpler or smaller: its check takes too long")
    ]


def test_a_pattern_that_backtracks_elsewhere_is_refused_at_once() -> None:
    schema = one(x={"pattern": "^(a+)+$"})
    assert timed(schema, {"x": "a" * 32 + "!"}) == [("$.x", "value", "a string that matches the pattern ^(a+)+$")]


def test_an_unchecked_pattern_refuses_no_key() -> None:
    schema = {"properties": {"a": {}}, "patternProperties": {"^(?!a)": {"type": "string"}}}
    assert check(schema, {"b": 1}) == {"b": 1}


def test_a_recursive_schema_works_to_the_depth_of_arguments() -> None:
    schema = one(v={"type": "integer"}, kids={"type": "array", "items": {"$ref": "#"}})
    deep: dict = {"v": 1}
    wrong: dict = {"v": "1"}
    for _ in range(49):
        deep, wrong = {"kids": [deep]}, {"kids": [wrong]}
    assert check(schema, deep) == deep
    assert check(schema, wrong) == [("$" + ".kids[0]" * 49 + ".v", "type", "an integer")]
    for _ in range(400):
        deep = {"kids": [deep]}
    assert check(schema, deep) == [("$", "value", "an object that is nested less deeply")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "a JSON object"),
        ('{"x": ' + "1" * 5_000 + "}", "an object in which no integer has more than 4300 digits"),
        ('{"x": ' + "[" * 5_000, "an object that is nested less deeply"),
    ],
)
def test_a_text_that_cannot_be_read_is_a_mismatch(text: str, expected: str) -> None:
    assert check({}, text) == [("$", "value", expected)]
