"""A schema becomes one of an object without a change of meaning; cycles and schemas of other things are refused."""

import pytest

from agent.schema.prepare import prepare
from agent.schema.references import UnusableSchema

ID = {"properties": {"id": {"type": "integer"}}, "required": ["id"]}
X_IS_A = {"properties": {"x": {"$ref": "#/$defs/a"}}}
NAME = {"properties": {"name": {"type": "string"}}, "required": ["name"]}


def fits(schema: dict, text: str) -> bool:
    return not isinstance(prepare(schema).validator.check(text), tuple)


# The root.


@pytest.mark.parametrize(
    ("schema", "accepted", "refused"),
    [
        ({}, ["{}", '{"a": 1}'], []),
        ({"type": "object"}, ["{}", '{"a": 1}'], []),
        ({"properties": {"a": {"type": "integer"}}}, ['{"a": 1}'], ['{"a": "1"}', '{"b": 1}']),
        ({"type": ["object", "null"], **ID}, ['{"id": 1}'], ["{}"]),
        ({"type": "object", "nullable": True, **ID}, ['{"id": 1}'], ["{}"]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", **ID}}}, ['{"id": 1}'], ["{}", '{"id": 1, "x": 2}']),
        ({"oneOf": [ID, NAME]}, ['{"id": 1}', '{"name": "a"}'], ["{}", '{"id": 1, "name": "a"}']),
        ({"type": "object", "anyOf": [ID, NAME]}, ['{"id": 1}', '{"id": 1, "name": "a"}'], ["{}"]),
        ({"type": "object", "allOf": [ID, NAME]}, ['{"id": 1, "name": "a"}'], ['{"id": 1}']),
        ({**ID, "allOf": [NAME]}, ['{"id": 1, "name": "a"}'], ['{"id": 1}']),
        ({**ID, "$ref": "#/$defs/n", "$defs": {"n": NAME}}, ['{"id": 1, "name": "a"}'], ['{"id": 1}']),
        ({**ID, "if": ID, "then": NAME}, ['{"id": 1, "name": "a"}'], ['{"id": 1}']),
        ({**ID, "dependentSchemas": {"id": NAME}}, ['{"id": 1, "name": "a"}'], ['{"id": 1}']),
        ({**ID, "dependencies": {"id": ["name"]}}, ['{"id": 1, "name": "a"}'], ['{"id": 1}']),
        ({**ID, "required": ["name"]}, ['{"name": 1}'], ['{"id": 1}']),
        ({**ID, "minProperties": 2}, ['{"id": 1, "x": 2}'], ['{"id": 1}']),
        ({**ID, "propertyNames": {"maxLength": 2}}, ['{"id": 1, "x": 2}'], ['{"id": 1, "long": 2}']),
        ({**ID, "patternProperties": {"^x-": {}}}, ['{"id": 1, "x-a": 2}'], ['{"id": 1, "a": 2}']),
        ({**ID, "unevaluatedProperties": {"type": "integer"}}, ['{"id": 1, "x": 2}'], ['{"id": 1, "x": "2"}']),
        ({**ID, "not": {"required": ["x"]}}, ['{"id": 1, "y": 2}'], ['{"id": 1, "x": 2}']),
        ({**ID, "additionalProperties": True}, ['{"id": 1, "x": 2}'], ["{}"]),
        ({"properties": {}}, ["{}"], ['{"a": 1}']),
    ],
)  # fmt: skip
def test_every_form_of_an_object_is_a_schema_of_arguments(schema: dict, accepted: list, refused: list) -> None:
    assert prepare(schema).schema["type"] == "object"
    assert [text for text in accepted if not fits(schema, text)] == []
    assert [text for text in refused if fits(schema, text)] == []


def test_only_the_root_is_closed_and_not_what_refers_to_it() -> None:
    schema = {"properties": {"kid": {"$ref": "#"}}}
    assert fits(schema, '{"kid": {"more": 1}}')
    assert fits(schema, '{"kid": null}')
    assert not fits(schema, '{"more": 1}')


def test_definitions_that_nothing_refers_to_are_left_out() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {}, "c": {}}}
    assert set(prepare(schema).schema["$defs"] or ()) == {"a", "b"}  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "'string'"),
        ({"type": ["array", "null"]}, "['array', 'null']"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array"}}}, "'array'"),
    ],
)
def test_a_schema_of_something_else_is_refused(schema: dict, kind: str) -> None:
    with pytest.raises(UnusableSchema) as caught:
        prepare(schema)
    assert str(caught.value) == f'`parameters` must be a JSON Schema with "type": "object", got {kind}.'


# Cycles.


@pytest.mark.parametrize(
    ("schema", "cycle"),
    [
        ({"$ref": "#"}, "#"),
        ({"allOf": [{"$ref": "#"}]}, "#"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, "#/$defs/a"),
        (
            {**X_IS_A, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
            "#/$defs/a -> #/$defs/b -> #/$defs/a",
        ),
        ({**X_IS_A, "$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}}, "#/$defs/a"),
        ({**X_IS_A, "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "#/$defs/a"),
        ({**X_IS_A, "$defs": {"a": {"if": {"$ref": "#/$defs/a"}}}}, "#/$defs/a"),
        ({"dependentSchemas": {"x": {"$ref": "#"}}}, "#"),
        ({"dependencies": {"x": {"oneOf": [{"$ref": "#"}]}}}, "#"),
        ({"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveRef": "#"}, "#"),
    ],
)  # fmt: skip
def test_a_schema_that_applies_itself_to_the_same_value_is_refused(schema: dict, cycle: str) -> None:
    with pytest.raises(UnusableSchema) as caught:
        prepare(schema)
    end = "Remove one of these references."
    assert str(caught.value) == f"`parameters` contains itself without end: {cycle}. {end}"


def test_a_schema_that_contains_itself_in_its_members_is_fine() -> None:
    schema = {
        "properties": {"tree": {"$ref": "#/$defs/tree"}},
        "$defs": {"tree": {"properties": {"kids": {"items": {"$ref": "#/$defs/tree"}}, "v": {"type": "integer"}}}},
    }
    assert fits(schema, '{"tree": {"kids": [{"v": 1}]}}')
    assert not fits(schema, '{"tree": {"kids": [{"v": "1"}]}}')


# The form of the schema.


@pytest.mark.parametrize(
    ("keyword", "value", "problem"),
    [
        ("properties", [], "$.properties: [] is not of type 'object'"),
        ("properties", {"a": 1}, "$.properties.a: 1 is not of type 'object', 'boolean'"),
        ("required", "a", "$.required: 'a' is not of type 'array'"),
        ("required", ["a", 1], "$.required[1]: 1 is not of type 'string'"),
        ("allOf", {}, "$.allOf: {} is not of type 'array'"),
        ("anyOf", [], "$.anyOf: [] should be non-empty"),
        ("oneOf", [{}, "a"], "$.oneOf[1]: 'a' is not of type 'object', 'boolean'"),
        ("items", "a", "$.items: 'a' is not of type 'object', 'boolean'"),
        ("enum", "a", "$.enum: 'a' is not of type 'array'"),
        ("minLength", -1, "$.minLength: -1 is less than the minimum of 0"),
        ("minLength", 1.5, "$.minLength: 1.5 is not of type 'integer'"),
        ("minLength", "1", "$.minLength: '1' is not of type 'number'"),
        ("maximum", True, "$.maximum: True is not of type 'number'"),
        ("maximum", float("nan"), "$.maximum: nan is not a number of JSON"),
        ("multipleOf", 0, "$.multipleOf: 0 is not above 0"),
        ("uniqueItems", 1, "$.uniqueItems: 1 is not of type 'boolean'"),
        ("pattern", 1, "$.pattern: 1 is not of type 'string'"),
        ("pattern", "(", "$.pattern: '(' is not a 'regex'"),
        ("dependentRequired", {"a": "b"}, "$.dependentRequired.a: 'b' is not of type 'array'"),
        ("$ref", 1, "$.$ref: 1 is not of type 'string'"),
    ],
)
def test_a_keyword_with_an_impossible_value_is_refused_with_its_place(
    keyword: str, value: object, problem: str
) -> None:
    with pytest.raises(UnusableSchema) as caught:
        prepare({"type": "object", keyword: value})
    assert str(caught.value) == f"`parameters` is not a valid JSON Schema at {problem}"


def test_the_place_of_a_bad_keyword_leads_into_the_schema() -> None:
    with pytest.raises(UnusableSchema, match=r"at \$\.properties\.a\.items\[1\]\.minItems: -1|prefixItems\[1\]"):
        prepare({"properties": {"a": {"items": [{}, {"minItems": -1}]}}})


# What nothing can satisfy.


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "array", "enum": ["a", "b"]}, 'one of "a", "b" does not satisfy the other rules'),
        ({"const": "a", "type": "integer"}, 'one of "a" does not satisfy the other rules'),
        ({"enum": [1, 2], "minimum": 3}, "one of 1, 2 does not satisfy the other rules"),
        ({"allOf": [{"enum": ["a"]}, {"pattern": "^b"}]}, 'one of "a" does not satisfy the other rules'),
        ({"enum": []}, "its enum is empty"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "nothing is between `minimum` 5 and `maximum` 3"),
        (
            {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
            "nothing is between `exclusiveMinimum` 1 and `exclusiveMaximum` 2",
        ),
        ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, "nothing is between `minimum` 1.2 and `maximum` 1.8"),
        ({"type": "integer", "minimum": 1, "maximum": 4, "multipleOf": 5}, "no multiple of 5 is between 1 and 4"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, "`minLength` 5 is above `maxLength` 2"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "`minItems` 2 is above `maxItems` 1"),
        (
            {"type": "object", "required": ["a", "b"], "maxProperties": 1},
            "it has 2 required keys, but at most 1 are allowed",
        ),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "it must be an integer and a string at once"),
        ({"type": "string", "$ref": "#/$defs/n"}, "it must be a string and an integer at once"),
    ],
)
def test_a_place_that_no_value_fits_is_noted_and_the_tool_stays(schema: dict, reason: str) -> None:
    made = prepare({"properties": {"list": {"items": schema}}, "$defs": {"n": {"type": "integer"}}})
    assert made.notes == (f"$.list[]: no value fits, since {reason}",)


def test_an_alternative_that_no_value_fits_is_noted_as_one() -> None:
    made = prepare({"properties": {"a": {"anyOf": [{"type": "string"}, {"items": {"type": "integer", "const": "x"}}]}}})
    assert made.notes == (
        '$.a[], in one of the alternatives: no value fits, since one of "x" does not satisfy the other rules',
    )


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"properties": {"a": False}, "required": ["a"]}, '"a" is required, but no value is allowed there'),
        ({"properties": {"a": {"not": {}}}, "required": ["a"]}, '"a" is required, but no value is allowed there'),
        ({"additionalProperties": False, "required": ["a"]}, '"a" is required, but no such key is allowed'),
        (
            {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            '"a" is required, but it must contain itself without end',
        ),
        (
            {"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"required": ["b"]}]},
            '"b" is required, but no such key is allowed',
        ),
        (
            {"properties": {"a": {"type": "array", "items": False, "minItems": 1}}, "required": ["a"]},
            '"a" is required, but it needs 1 items, but for one of them no value is allowed there',
        ),
        (
            {"properties": {"a": {"anyOf": [False, {"type": "string", "not": {}}]}}, "required": ["a"]},
            '"a" is required, but none of its alternatives can be satisfied (no value is allowed there)',
        ),
    ],
)
def test_arguments_that_can_never_fit_are_noted(schema: dict, reason: str) -> None:
    note = f"$: no arguments fit, so every call will be refused, since {reason}"
    assert prepare({"type": "object", **schema}).notes[-1].startswith(note[:60])
    assert reason.rpartition("but ")[2] in prepare({"type": "object", **schema}).notes[-1]


def test_a_schema_whose_recursion_can_end_is_not_noted() -> None:
    """`b` needs `a`, which needs `b` or is a text: what was found on the way round held for `b` only there."""
    schema = {
        "properties": {"x": {"$ref": "#/$defs/a"}, "y": {"$ref": "#/$defs/b"}},
        "required": ["x", "y"],
        "$defs": {
            "a": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "string"}]},
            "b": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]},
        },
    }
    assert prepare(schema).notes == ()
    assert fits(schema, '{"x": "", "y": {"a": ""}}')


def test_bounds_beyond_every_float_are_compared() -> None:
    made = prepare({"properties": {"x": {"type": "integer", "minimum": 10**400, "maximum": 3}}})
    assert made.notes[0].startswith("$.x: no value fits, since nothing is between `minimum` 1000")


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 5, "maximum": 3},  # every text fits
        {"type": ["integer", "string"], "minimum": 5, "maximum": 3},
        {"type": "number", "minimum": 1, "maximum": 1},
        {"enum": ["a", 1], "type": "string"},
        {"enum": ["a", None], "type": ["string", "null"]},
        {"type": "number", "allOf": [{"type": "integer"}]},
        {"properties": {"a": False}},
        {"not": {"enum": []}},
        {"if": {"type": "string", "const": 1}},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "items": False},
        {"properties": {"kid": {"$ref": "#/$defs/t"}}},
        {"type": "string", "enum": ["b"], "pattern": "^(?!a)"},
    ],
)
def test_what_some_value_fits_is_not_noted_as_impossible(schema: dict) -> None:
    made = prepare({"properties": {"x": schema}, "$defs": {"t": {"properties": {"kid": {"$ref": "#/$defs/t"}}}}})
    assert not [note for note in made.notes if "fits" in note or "fit," in note]
