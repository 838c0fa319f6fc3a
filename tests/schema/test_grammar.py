"""What is sent of a schema as strict: all that the schema allows, in the words that grammar back-ends compile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from generated_schemas import Generator

from agent.schema.grammar import Backend, sent_schema
from agent.schema.grammar_patterns import is_writable
from agent.schema.merge import merged
from agent.schema.prepare import prepare
from agent.schema.references import UnusableSchema

Json = dict[str, Any]


def sent(schema: object, backend: Backend = "any") -> Any:
    """Return what is sent of the schema of one property."""
    parameters: Json = {"type": "object", "properties": {"a": schema}, "additionalProperties": False}
    return sent_schema(parameters, backend=backend)["properties"]["a"]  # type: ignore[index, call-overload]


UNCHANGED: tuple[Json, ...] = (
    {"type": "string", "description": "A name.", "default": "x", "examples": ["y"], "title": "Name"},
    {"type": "string", "enum": ["a", 'say "b"\n', "ä"]},
    {"type": ["string", "null"], "default": None},
    {"type": "string", "format": "uuid"},
    {"type": "string", "pattern": "^[a-z0-9-]{1,63}$"},
    {"type": "integer", "minimum": 0, "maximum": 2**53},
    {"type": "integer", "exclusiveMinimum": -5},
    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 10},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2, "maxItems": 2},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"x": {}}, "required": ["x"], "additionalProperties": False},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"const": 5},
    {},
)


@pytest.mark.parametrize("schema", UNCHANGED, ids=json.dumps)
@pytest.mark.parametrize("backend", ["any", "guidance"])
def test_what_both_back_ends_compile_is_sent_as_it_is(schema: Json, backend: Backend):
    parameters = {"type": "object", "properties": {"a": schema}, "additionalProperties": False}
    assert sent_schema(parameters, backend=backend) is parameters


@pytest.mark.parametrize("backend", ["any", "guidance"])
def test_the_tools_that_the_pocket_model_was_trained_on_are_sent_as_they_are(backend: Backend):
    tools = json.loads((Path(__file__).parents[1] / "data" / "pocket_tools.json").read_text())
    for tool in tools:
        parameters = tool["function"]["parameters"]
        assert sent_schema(parameters, backend=backend) is parameters


def also(rule: str) -> str:
    return f"Must also satisfy {rule}."


TEXT, ANY = {"type": "string"}, {"type": "object", "additionalProperties": True}

TRANSLATED: dict[str, tuple[Json, Json]] = {
    "unknown format": (
        {"type": "string", "format": "path", "description": "A file."},
        {"description": "A file. " + also('{"format": "path"}'), "type": "string"},
    ),
    "a date-time need not have an offset, but grammars write one": (
        {"type": "string", "format": "date-time"},
        {"type": "string", "description": also('{"format": "date-time"}')},
    ),
    "look-ahead": (
        {"type": "string", "pattern": "^(?=a)b$"},
        {"type": "string", "description": also('{"pattern": "^(?=a)b$"}')},
    ),
    "zod record": (
        {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "integer"}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
    ),
    "propertyNames": (
        {"type": "object", "propertyNames": {"maxLength": 3}, "additionalProperties": TEXT},
        {"type": "object", "additionalProperties": TEXT, "description": also('{"propertyNames": {"maxLength": 3}}')},
    ),
    "bound of 64 bits": (
        {"type": "integer", "minimum": -(2**63), "maximum": 5},
        {"type": "integer", "maximum": 5, "description": also('{"minimum": -9223372036854775808}')},
    ),
    "bound between integers": (
        {"type": "integer", "minimum": 1.5, "exclusiveMaximum": 9.5},
        {"type": "integer", "minimum": 2, "exclusiveMaximum": 10},
    ),
    "nothing between the bounds": (
        {"type": "integer", "minimum": 5, "maximum": 1},
        {"type": "integer", "description": also('{"minimum": 5, "maximum": 1}')},
    ),
    "multipleOf": (
        {"type": "number", "multipleOf": 0.01},
        {"type": "number", "description": also('{"multipleOf": 0.01}')},
    ),
    "size as a float": (
        {"type": "array", "items": TEXT, "maxItems": 10.0},
        {"type": "array", "items": TEXT, "maxItems": 10},
    ),
    "uniqueItems": (
        {"type": "array", "items": TEXT, "uniqueItems": True},
        {"type": "array", "items": TEXT, "description": also('{"uniqueItems": true}')},
    ),
    "uniqueItems false": ({"type": "array", "items": TEXT, "uniqueItems": False}, {"type": "array", "items": TEXT}),
    "items unsaid": ({"type": "array", "minItems": 1}, {"type": "array", "items": {}, "minItems": 1}),
    "many items": (
        {"type": "array", "items": TEXT, "maxItems": 100_000},
        {"type": "array", "items": TEXT, "description": also('{"maxItems": 100000}')},
    ),
    "open object": (
        {"type": "object", "properties": {"x": TEXT}},
        {"type": "object", "properties": {"x": TEXT}, "additionalProperties": True},
    ),
    "property that must not exist": (
        {"type": "object", "properties": {"x": TEXT, "old": False}, "additionalProperties": False},
        {"type": "object", "properties": {"x": TEXT}, "additionalProperties": False},
    ),
    "required but unknown": (
        {"type": "object", "properties": {"x": TEXT}, "required": ["y"]},
        {"type": "object", "properties": {"x": TEXT, "y": {}}, "additionalProperties": True, "required": ["y"]},
    ),
    "patternProperties": (
        {"type": "object", "patternProperties": {"^x-": TEXT}, "additionalProperties": False},
        {"type": "object", "additionalProperties": TEXT,
         "description": also('{"patternProperties": {"^x-": {"type": "string"}}}')},
    ),
    "if and not": (
        {**ANY, "if": {"required": ["x"]}, "then": {"required": ["y"]}, "not": {"required": ["z"]}},
        {**ANY, "description": also(
            '{"if": {"required": ["x"]}, "then": {"required": ["y"]}, "not": {"required": ["z"]}}'
        )},
    ),
    "unevaluatedProperties": (
        {"type": "object", "properties": {"x": TEXT}, "unevaluatedProperties": False},
        {"type": "object", "properties": {"x": TEXT}, "additionalProperties": False},
    ),
    "oneOf": ({"oneOf": [TEXT, {"type": "integer"}]}, {"anyOf": [TEXT, {"type": "integer"}]}),
    "one of two keys": (
        {"type": "object", "properties": {"x": TEXT, "y": TEXT}, "additionalProperties": False,
         "anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
        {"type": "object", "properties": {"x": TEXT, "y": TEXT}, "additionalProperties": False,
         "description": also('{"anyOf": [{"required": ["x"]}, {"required": ["y"]}]}')},
    ),
    "branches without a type": (
        {"type": "object", "oneOf": [{"properties": {"x": TEXT}, "required": ["x"]}]},
        {"type": "object", "anyOf": [
            {"type": "object", "properties": {"x": TEXT}, "required": ["x"], "additionalProperties": True}
        ]},
    ),
    "branch that nothing fits": (
        {"type": "string", "anyOf": [{"type": "integer"}, {"enum": ["a"]}]},
        {"type": "string", "anyOf": [{"enum": ["a"]}]},
    ),
    "allOf": (
        {"allOf": [{"type": "object", "properties": {"x": TEXT}, "required": ["x"]},
                   {"type": "object", "properties": {"y": TEXT}, "required": ["y"]}]},
        {"type": "object", "properties": {"y": TEXT, "x": TEXT}, "required": ["x", "y"], "additionalProperties": True},
    ),
    "type that no value of the enum has": ({"type": "array", "enum": ["a"]}, {"enum": ["a"]}),
    "values of other types": ({"type": "integer", "enum": [1, "a", 2.5]}, {"type": "integer", "enum": [1]}),
    "integer of 70 bits": ({"enum": [2**70, 1]}, {"description": also('{"enum": [1180591620717411303424, 1]}')}),
    "no type": (
        {"minLength": 2},
        {"type": ["object", "array", "string", "number", "boolean", "null"], "items": {}, "additionalProperties": True,
         "description": also('{"minLength": 2}')},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSLATED)
def test_what_a_back_end_refuses_is_translated_or_told_to_the_model(name: str):
    given, expected = TRANSLATED[name]
    assert sent(given) == expected


def test_what_xgrammar_cannot_write_is_sent_only_where_guidance_is_used():
    # xgrammar writes no quote and no new line in a text with a length, and six digits after the point beside a bound.
    assert sent({"type": "string", "minLength": 1}) == {**TEXT, "description": also('{"minLength": 1}')}
    assert sent({"type": "string", "minLength": 1}, "guidance") == {"type": "string", "minLength": 1}
    assert sent({"type": "number", "minimum": 0}) == {"type": "number", "description": also('{"minimum": 0}')}
    assert sent({"type": "number", "minimum": 0}, "guidance") == {"type": "number", "minimum": 0}


def test_a_length_beside_a_pattern_is_not_sent_since_vllm_refuses_it():
    schema = {"type": "string", "pattern": "^[a-z]+$", "maxLength": 9}
    expected = {"type": "string", "pattern": "^[a-z]+$", "description": also('{"maxLength": 9}')}
    assert sent(schema) == sent(schema, "guidance") == expected


def test_a_reference_to_the_root_is_one_to_a_definition():
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
    inner = {**node, "properties": {"next": {"$ref": "#/$defs/arguments"}}}
    assert sent_schema(node) == {**inner, "$defs": {"arguments": inner}}


def test_definitions_that_are_used_are_translated_and_others_left_out():
    parameters = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/Node"}},
        "additionalProperties": False,
        "$defs": {
            "Node": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "uniqueItems": True},
            "Unused": {"type": "string"},
        },
    }
    assert sent_schema(parameters) == {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/Node"}},
        "additionalProperties": False,
        "$defs": {
            "Node": {
                "type": "array",
                "items": {"$ref": "#/$defs/Node"},
                "description": also('{"uniqueItems": true}'),
            }
        },
    }


def test_a_schema_that_is_nested_deeper_than_vllm_takes_is_open_from_there():
    deep: Json = {"type": "string"}
    for _ in range(60):
        deep = {"type": "object", "properties": {"a": deep}, "additionalProperties": False}

    def levels(node: Any) -> int:
        members = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        return 1 + max(map(levels, members), default=0) if isinstance(node, (dict, list)) else 0

    assert levels(sent_schema(deep)) <= 64 - 4


def test_a_note_that_would_be_long_is_left_out():
    schema = {"type": "string", "not": {"enum": [f"word {number}" for number in range(100)]}}
    assert sent(schema) == {"type": "string"}


@pytest.mark.parametrize(
    "pattern",
    [r"^\d{4}-\d{2}$", "^[a-zA-Z0-9_-]+$", "^(a|b)$", r"^v\d+\.\d+$", "^#[0-9a-f]{6}$", "^(?:x|y)*$", "^$"],
)
def test_a_plain_pattern_of_the_whole_text_is_sent(pattern: str):
    assert is_writable(pattern, by_xgrammar=True)


@pytest.mark.parametrize(
    "pattern", ["abc", "^abc", r"^\S+$", "^.*$", '^[^"]+$', "^a|b$", r"^\s$", '^"$', r"^\\$", r"^\n$"]
)
def test_a_pattern_that_xgrammar_reads_in_another_way_is_sent_only_where_guidance_is_used(pattern: str):
    assert is_writable(pattern, by_xgrammar=False)
    assert not is_writable(pattern, by_xgrammar=True)


@pytest.mark.parametrize(
    "pattern",
    [r"^(?=a)", r"(?<!a)b", r"\bfoo", r"(a)\1", r"^\p{L}$", "(?i)a", "^[[:alpha:]]$", "^[a&&b]$", "^a{200}$", "a^b",
     "a$b", "^{x}$", "^a{3,1}$", "(", r"^\cA$", r"\ud83d", "^[]$"],
)  # fmt: skip
def test_a_pattern_that_a_back_end_refuses_or_reads_in_another_way_is_not_sent(pattern: str):
    assert not is_writable(pattern, by_xgrammar=False)


@pytest.mark.parametrize("seed", range(0, 1_000, 50))
def test_what_a_schema_allows_is_allowed_by_what_is_sent(seed: int):
    tried = 0
    for number in range(seed, seed + 50):
        generator = Generator(number)
        try:
            prepared = prepare(generator.parameters())
        except UnusableSchema:
            continue
        schema = prepared.schema
        values = [generator.value(schema, schema.get("$defs", {})) for _ in range(8)]  # type: ignore[arg-type]
        texts = [text for text in map(json.dumps, values) if not isinstance(prepared.validator.check(text), tuple)]
        for backend in ("any", "guidance"):
            narrower = prepare(sent_schema(schema, backend=backend)).validator
            for text in texts:
                tried += 1
                assert not isinstance(narrower.check(text), tuple), (number, backend, text)
    assert tried > 50


def test_merging_keeps_a_tuple_from_one_schema():
    first = {"prefixItems": [{"type": "string"}]}
    second = {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "null"}}
    assert merged({"allOf": [first, second]}, {}, lambda _: True) == first


def test_a_circular_reference_beside_other_rules_is_not_written_out():
    child = {"allOf": [{"$ref": "#/$defs/Node"}, {"required": ["left"]}]}
    node = {"type": "object", "properties": {"left": child, "right": child}, "additionalProperties": False}
    parameters = {"type": "object", "properties": {"a": child}, "additionalProperties": False, "$defs": {"Node": node}}
    reference = {"$ref": "#/$defs/Node"}
    assert sent_schema(parameters) == {
        "type": "object",
        "properties": {"a": reference},
        "additionalProperties": False,
        "$defs": {"Node": {**node, "properties": {"left": reference, "right": reference}}},
    }


def test_definitions_that_use_each_other_twice_are_not_written_out_without_end():
    def both(number: int) -> Json:
        return {"allOf": [{"$ref": f"#/$defs/d{number}"}, {"required": ["l"]}]}

    definitions: Json = {
        f"d{n}": {"type": "object", "properties": {"l": both(n + 1), "r": both(n + 1)}} for n in range(25)
    }
    definitions["d25"] = {"type": "string"}
    parameters = {"type": "object", "properties": {"a": both(0)}, "$defs": definitions}
    assert len(json.dumps(sent_schema(parameters))) < 30_000
