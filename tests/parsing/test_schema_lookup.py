"""A schema is found at a path through references and choices, and no schema makes a lookup grow without bound."""

import json
import time

import pytest

from agent.parsing.schema_lookup import allowed_names, excerpt, is_required, minimal_example, schemas_at
from agent.schema.prepare import prepare

ID = {"properties": {"id": {"type": "integer"}}, "required": ["id"]}
NAME = {"properties": {"name": {"type": "string", "minLength": 2}}, "required": ["name"]}
PAIR = {"type": "array", "items": [ID, NAME], "minItems": 1}


@pytest.mark.parametrize(
    ("schema", "path", "types"),
    [
        ({"allOf": [ID, NAME]}, ("id",), ["integer"]),
        ({"oneOf": [ID, {"properties": {"id": {"type": "string"}}}]}, ("id",), ["integer", "string"]),
        ({**ID, "$ref": "#/$defs/n", "$defs": {"n": NAME}}, ("name",), ["string"]),
        ({**ID, "if": ID, "then": NAME}, ("name",), ["string"]),
        ({**ID, "dependentSchemas": {"id": NAME}}, ("name",), ["string"]),
        ({"properties": {"a": {"type": "string", "anyOf": [{"minLength": 1}, {"pattern": "b"}]}}}, ("a",), ["string"]),
        ({"properties": {"kids": {"items": {"$ref": "#"}}, "id": {"type": "null"}}}, ("kids", 0, "id"), ["null"]),
        ({"patternProperties": {r"^\p{L}+$": {"type": "integer"}}}, ("ä",), ["integer"]),
        ({"patternProperties": {"^(?!x)": {"type": "integer"}}}, ("a",), ["integer"]),
    ],
)
def test_a_schema_is_found_wherever_it_applies(schema: dict, path: tuple, types: list) -> None:
    found = [node["type"] for node in schemas_at(prepare(schema).schema, path) if "type" in node]
    assert found == types


def test_a_key_that_one_of_several_schemas_requires_is_required() -> None:
    assert is_required({"type": "object", "allOf": [ID, {"properties": {"id": {}}}]}, ("id",))
    assert not is_required({"type": "object", "properties": {"id": {}}}, ("id",))


def test_a_key_that_must_be_left_out_is_not_offered() -> None:
    assert allowed_names({"properties": {"a": {}, "old": False}}, (), like="x") == ("a",)


def test_an_excerpt_shows_what_a_reference_means() -> None:
    schema = {"properties": {"a": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}, "$defs": {"n": NAME}}
    assert json.loads(excerpt(schema, ("a",))) == {"anyOf": [NAME, {"type": "null"}]}


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"allOf": [ID, NAME]}, {"id": 1, "name": "text"}),
        ({"oneOf": [NAME, ID]}, {"name": "text"}),
        ({**ID, "$ref": "#/$defs/n", "$defs": {"n": NAME}}, {"id": 1, "name": "text"}),
        ({"properties": {"a": {"nullable": True, "type": "string"}}, "required": ["a"]}, {"a": "text"}),
        ({"properties": {"a": PAIR}, "required": ["a"]}, {"a": [{"id": 1}]}),
    ],
)
def test_the_smallest_example_fits(schema: dict, example: dict) -> None:
    made = prepare(schema)
    assert minimal_example(made.schema) == example
    assert made.validator.check(json.dumps(example)) == example


def test_a_lookup_in_a_schema_that_branches_everywhere_ends() -> None:
    two = {"allOf": [{"$ref": "#/$defs/d{}"}] * 2, "properties": {"p": {"$ref": "#/$defs/d{}"}}, "required": ["p", "q"]}
    definitions = {f"d{i}": json.loads(json.dumps(two).replace("{}", str(i + 1))) for i in range(60)}
    schema = {"properties": {"x": {"$ref": "#/$defs/d0"}}, "required": ["x"], "$defs": {**definitions, "d60": ID}}
    started = time.process_time()
    assert schemas_at(schema, ("x", "p", "p"))
    assert excerpt(schema, ("x",))
    minimal_example(schema)
    minimal_example({"type": "array", "minItems": 10**9, "items": {"type": "string", "minLength": 10**9}})
    assert time.process_time() - started < 2
