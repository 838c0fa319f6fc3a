"""Every draft, and OpenAPI 3.0, is converted to 2020-12 with local references; the rest is noted or refused."""

from typing import cast

import pytest

from agent.schema.dialect import to_2020_12
from agent.schema.references import UnusableSchema

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
A_HERE = {"a": {"$ref": "#here"}}
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"


def converted(**properties: object) -> dict:
    found = to_2020_12({"type": "object", "properties": properties})
    assert not found.notes
    return cast("dict", found.schema["properties"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"items": [{"type": "integer"}]}, {"prefixItems": [{"type": "integer"}]}),
        ({"items": [{}, {}], "additionalItems": False}, {"prefixItems": [{}, {}], "items": False}),
        ({"items": {"type": "integer"}, "additionalItems": False}, {"items": {"type": "integer"}}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"exclusiveMinimum": True}, {}),
        ({"dependencies": {"a": ["b"]}}, {"dependentRequired": {"a": ["b"]}}),
        ({"dependencies": {"a": {"required": ["b"]}}}, {"dependentSchemas": {"a": {"required": ["b"]}}}),
        (
            {"dependencies": {"a": ["b"]}, "dependentRequired": {"a": ["c"]}},
            {"dependentRequired": {"a": ["c", "b"]}},
        ),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"const": "a", "nullable": True}, {"enum": ["a", None]}),
        (
            {"description": "It.", "allOf": [{"type": "string"}], "nullable": True},
            {"description": "It.", "anyOf": [{"allOf": [{"type": "string"}]}, {"type": "null"}]},
        ),
        ({"type": "object", "required": None, "properties": None, "title": None}, {"type": "object"}),
        ({"enum": None, "default": None}, {"default": None}),
        (
            {"properties": {"a": {"required": True}, "b": {"required": False}}},
            {"properties": {"a": {}, "b": {}}, "required": ["a"]},
        ),
        ({"type": ["string", "string"]}, {"type": "string"}),
        ({"description": 5, "examples": "one", "type": "string"}, {"type": "string"}),
        ({"const": {"$ref": "#/nowhere"}}, {"const": {"$ref": "#/nowhere"}}),
        (
            {"properties": {"$ref": {"type": "string"}, "id": {}}},
            {"properties": {"$ref": {"type": "string"}, "id": {}}},
        ),
    ],
)
def test_an_older_form_becomes_that_of_2020_12(given: dict, expected: dict) -> None:
    assert converted(x=given) == {"x": expected}


def test_the_schema_that_is_given_stays_as_it_is() -> None:
    given = {"properties": {"a": {"items": [{"nullable": True, "type": "string"}]}}}
    to_2020_12(given)
    assert given == {"properties": {"a": {"items": [{"nullable": True, "type": "string"}]}}}


@pytest.mark.parametrize("draft", [DRAFT_4, DRAFT_7])
def test_siblings_of_a_reference_are_ignored_up_to_draft_7(draft: str) -> None:
    schema = {
        "$schema": draft,
        "properties": {"a": {"$ref": "#/definitions/n", "maximum": 3, "description": "One."}},
        "definitions": {"n": {"type": "integer"}},
    }
    assert to_2020_12(schema).schema == {
        "properties": {"a": {"$ref": "#/$defs/n", "description": "One."}},
        "$defs": {"n": {"type": "integer"}},
    }


@pytest.mark.parametrize("stated", [{}, {"$schema": DRAFT_2019}])
def test_siblings_of_a_reference_apply_in_newer_drafts(stated: dict) -> None:
    schema = {**stated, "properties": {"a": {"$ref": "#/$defs/n", "maximum": 3}}, "$defs": {"n": {"type": "integer"}}}
    assert to_2020_12(schema).schema["properties"] == {"a": {"$ref": "#/$defs/n", "maximum": 3}}


def test_what_is_legal_in_draft_4_only_makes_a_schema_one_of_draft_4() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/definitions/n", "maximum": 3}},
        "definitions": {"n": {"minimum": 1, "exclusiveMinimum": True}},
    }
    assert to_2020_12(schema).schema["properties"] == {"a": {"$ref": "#/$defs/n"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#here"}}, "$defs": {"x": {"$anchor": "here", "type": "integer"}}},
        {"$schema": DRAFT_7, "properties": A_HERE, "definitions": {"x": {"$id": "#here", "type": "integer"}}},
        {"$schema": DRAFT_4, "properties": A_HERE, "definitions": {"x": {"id": "#here", "type": "integer"}}},
        {"properties": {"a": {"$ref": "int.json"}}, "$defs": {"x": {"$id": "int.json", "type": "integer"}}},
        {
            "$id": "https://example.org/root.json",
            "properties": {"a": {"$ref": "https://example.org/int.json"}},
            "$defs": {"x": {"$id": "int.json", "type": "integer"}},
        },
        {"properties": {"a": {"$ref": "#/$defs/x%25y~1z"}}, "$defs": {"x%y/z": {"type": "integer"}}},
        {"properties": {"a": {"$ref": "#/components/x"}}, "components": {"x": {"type": "integer"}}},
        {"properties": {"a": {"$ref": "#/$defs/x/items/0"}}, "$defs": {"x": {"items": [{"type": "integer"}]}}},
        {"properties": {"a": {"$dynamicRef": "#here"}}, "$defs": {"x": {"$dynamicAnchor": "here", "type": "integer"}}},
    ],
)  # fmt: skip
def test_a_reference_of_any_form_becomes_a_local_pointer(schema: dict) -> None:
    found = to_2020_12(schema)
    ((name, target),) = cast("dict", found.schema["$defs"]).items()
    assert found.schema["properties"] == {"a": {"$ref": f"#/$defs/{name}"}}
    assert target == {"type": "integer"}
    assert not found.notes


def test_a_recursive_reference_means_the_root_that_has_the_anchor() -> None:
    schema = {"$schema": DRAFT_2019, "$recursiveAnchor": True, "properties": {"kid": {"$recursiveRef": "#"}}}
    assert to_2020_12(schema).schema == {"properties": {"kid": {"$ref": "#"}}}


def test_a_reference_that_leads_outside_is_not_fetched_but_noted_at_its_place() -> None:
    schema = {"properties": {"a": {"items": {"$ref": "https://example.org/a.json", "maxLength": 3}}}}
    found = to_2020_12(schema)
    assert found.schema == {"properties": {"a": {"items": {"maxLength": 3}}}}
    assert found.notes == (
        "$.a[]: the reference 'https://example.org/a.json' is not checked: it leads outside of the schema",
    )


@pytest.mark.parametrize("reference", ["http://[", "Pet", "urn:x:y", "other.json#/a", "http://json-schema.org/none"])
def test_a_reference_to_nothing_that_is_known_is_noted(reference: str) -> None:
    found = to_2020_12({"$id": "http://[]x", "properties": {"a": {"$ref": reference, "type": "string"}}})
    assert found.schema == {"properties": {"a": {"type": "string"}}}
    assert found.notes == (f"$.a: the reference {reference!r} is not checked: it leads outside of the schema",)


@pytest.mark.parametrize("uri", [DRAFT_4, DRAFT_7, DRAFT_2019, "https://json-schema.org/draft/2020-12/schema"])
def test_a_metaschema_is_known_without_network(uri: str) -> None:
    found = to_2020_12({"properties": {"schema": {"$ref": uri}}})
    assert not found.notes
    assert found.schema["properties"] == {"schema": {"$ref": "#/$defs/schema"}}


def test_an_unknown_dialect_is_noted() -> None:
    found = to_2020_12({"$schema": "https://example.org/mine", "type": "object"})
    assert found.notes == (
        "$: the dialect https://example.org/mine is not known, so the schema is read as JSON Schema 2020-12",
    )


def test_a_pattern_that_is_not_checked_is_noted_at_its_place() -> None:
    given = {"items": {"pattern": "^(?!x)"}, "patternProperties": {"(?<=a)b": {}}}
    assert to_2020_12({"properties": {"list": given}}).notes == (
        "$.list[]: the pattern ^(?!x) is not checked: it looks ahead",
        "$.list: the pattern (?<=a)b is not checked: it looks behind",
    )


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("dict", 'write "object"'),
        ("Dict[str, int]", 'write "object"'),
        ("float", 'write "number"'),
        ("int", 'write "integer"'),
        ("list", 'write "array"'),
        ("tuple", 'write "array"'),
        ("str", 'write "string"'),
        ("bool", 'write "boolean"'),
        ("None", 'write "null"'),
        (None, 'write "null"'),
        ("STRING", 'write "string"'),
        ("strng", 'write "string"'),
        ("any", "leave `type` out, so that any value is accepted"),
        ("file", "write one of them"),
        (["string", "int"], 'write "integer"'),
    ],
)
def test_a_type_of_a_programming_language_is_answered_with_the_word_of_json(word: object, advice: str) -> None:
    with pytest.raises(UnusableSchema) as caught:
        to_2020_12({"type": "object", "properties": {"x": {"items": {"type": word}}}})
    named = word[1] if isinstance(word, list) else word
    assert str(caught.value) == (
        f"`parameters` is not a valid JSON Schema at $.properties.x.items.type: {named!r} is not a type; {advice}. "
        "The types are array, boolean, integer, null, number, object and string."
    )


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(UnusableSchema, match=r"`parameters` is not JSON: it contains <object"):
        to_2020_12({"type": "object", "default": object()})
    endless: dict = {"type": "object"}
    endless["properties"] = {"x": endless}
    with pytest.raises(UnusableSchema, match="nested too deeply, or contains itself"):
        to_2020_12(endless)


def test_a_reference_to_something_else_than_a_schema_is_refused() -> None:
    with pytest.raises(UnusableSchema, match=r"refers to \['a'\], which is not a schema"):
        to_2020_12({"properties": {"a": {"$ref": "#/required"}}, "required": ["a"]})
