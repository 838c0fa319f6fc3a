"""Cases by hand of what the suite of JSON Schema asks in each draft; the whole suite runs in tests/bench/calls."""

import pytest

from agent.schema.prepare import prepare

DRAFTS = {
    4: "http://json-schema.org/draft-04/schema#",
    6: "http://json-schema.org/draft-06/schema#",
    7: "http://json-schema.org/draft-07/schema#",
    2019: "https://json-schema.org/draft/2019-09/schema",
    2020: "https://json-schema.org/draft/2020-12/schema",
}
ALL, OLD, NEW = tuple(DRAFTS), (4, 6, 7, 2019), (2019, 2020)
FOO = {"properties": {"foo": {"type": "string"}}}
EVEN = {"multipleOf": 2}


# Each case: the drafts that it holds in, the schema of `v`, values that fit, and values that do not, as JSON.
CASES = [
    (ALL, {"type": "integer"}, ["1", "1.0"], ["1.1", '"1"', "true"]),
    (ALL, {"type": "number"}, ["1", "1.1"], ["false", '"1"']),
    (ALL, {"minLength": 2}, ['"😀😀"', "1"], ['"😀"']),
    (ALL, {"enum": [{"a": [1]}, None]}, ['{"a": [1.0]}', "null"], ["0", "false", '{"a": [true]}']),
    (ALL, {"uniqueItems": True}, ["[1, true]", '[{"a": 1}, {"a": true}]', "[[1], [true]]"], ["[1.0, 1.00]"]),
    (ALL, {"not": {"type": "integer"}}, ['"a"'], ["1"]),
    (ALL, {"oneOf": [{"minimum": 2}, {"type": "integer"}]}, ["1", "2.5"], ["3", "1.5"]),
    (ALL, {"patternProperties": {"^f": {"type": "integer"}}, **FOO}, ['{"fo": 1}'], ['{"foo": "a"}', '{"fo": "a"}']),
    (ALL, {**FOO, "additionalProperties": {"type": "integer"}}, ['{"a": 1, "foo": ""}'], ['{"a": ""}']),
    (ALL, {"required": ["constructor", "__proto__"]}, ['{"constructor": 1, "__proto__": 2}', "[]"], ["{}"]),
    (ALL, {"multipleOf": 0.0001}, ["0.0075"], ["0.00751"]),
    (ALL, {"properties": {"$ref": {"type": "string"}}}, ['{"$ref": "a"}'], ['{"$ref": 2}']),
    (OLD, {"items": [{"type": "integer"}], "additionalItems": False}, ["[1]", "[]"], ["[1, 2]", '["a"]']),
    (OLD, {"items": [{}], "additionalItems": {"type": "integer"}}, ['["a", 1]'], ['["a", "b"]']),
    (OLD, {"items": {}, "additionalItems": False}, ["[1, 2, 3]"], []),
    (OLD, {"dependencies": {"a": ["b"], "c": {"minProperties": 3}}}, ['{"a": 1, "b": 2}'], ['{"a": 1}', '{"c": 1}']),
    ((4,), {"minimum": 1, "exclusiveMinimum": True}, ["1.1"], ["1"]),
    ((6, 7, 2019, 2020), {"exclusiveMinimum": 1}, ["1.1"], ["1"]),
    ((6, 7, 2019, 2020), {"const": 1}, ["1.0"], ["true", "2"]),
    ((6, 7, 2019, 2020), {"contains": {"minimum": 5}}, ["[1, 5]", "{}"], ["[1]", "[]"]),
    ((6, 7, 2019, 2020), {"propertyNames": {"maxLength": 1}}, ['{"a": 1}', "{}"], ['{"ab": 1}']),
    ((6, 7, 2019, 2020), {"properties": {"a": False}}, ["{}"], ['{"a": 1}', '{"a": null}']),
    ((7, 2019, 2020), {"if": {"minimum": 0}, "then": EVEN, "else": {"const": -1}}, ["4", "-1"], ["3", "-2"]),
    ((7, 2019, 2020), {"then": False}, ["1"], []),
    (NEW, {"dependentRequired": {"a": ["b"]}}, ['{"a": 1, "b": 1}', "{}"], ['{"a": 1}']),
    (NEW, {"contains": {"const": 1}, "minContains": 2, "maxContains": 3}, ["[1, 1]"], ["[1]", "[1, 1, 1, 1]"]),
    (NEW, {"contains": {"const": 1}, "minContains": 0}, ["[]"], []),
    (NEW, {**FOO, "unevaluatedProperties": False}, ['{"foo": "a"}'], ['{"bar": 1}']),
    (NEW, {"allOf": [FOO], "unevaluatedProperties": False}, ['{"foo": "a"}'], ['{"bar": 1}']),
    (NEW, {"allOf": [FOO, {"unevaluatedProperties": False}]}, ["{}"], ['{"foo": "a"}']),
    (NEW, {"anyOf": [FOO, {"required": ["x"]}], "unevaluatedProperties": False}, ["{}"], ['{"foo": 1, "x": 1}']),
    (NEW, {"if": {**FOO, "required": ["foo"]}, "unevaluatedProperties": False}, ['{"foo": "a"}'], ['{"foo": 1}']),
    ((2019,), {"items": [{}], "unevaluatedItems": False}, ["[1]"], ["[1, 2]"]),
    ((2019,), {"contains": {"const": 1}, "unevaluatedItems": False}, [], ["[1]"]),
    ((2020,), {"contains": {"const": 1}, "unevaluatedItems": False}, ["[1]"], ["[1, 2]"]),
    ((2020,), {"prefixItems": [{"type": "integer"}], "items": False}, ["[1]"], ["[1, 2]", '["a"]']),
    ((2020,), {"prefixItems": [{}], "unevaluatedItems": {"type": "integer"}}, ['["a", 1]'], ['["a", "b"]']),
    (ALL, {"format": "email"}, ['"not an address"'], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("draft", "case"), [(draft, index) for index, (drafts, *_) in enumerate(CASES) for draft in drafts]
)
def test_a_value_fits_exactly_where_its_draft_says_so(draft: int, case: int) -> None:
    _, schema, fitting, other = CASES[case]
    made = prepare({"$schema": DRAFTS[draft], "type": "object", "properties": {"v": schema}})
    assert not [note for note in made.notes if "is not checked" in note]
    verdicts = {text: isinstance(made.validator.check(f'{{"v": {text}}}'), dict) for text in [*fitting, *other]}
    assert verdicts == {**dict.fromkeys(fitting, True), **dict.fromkeys(other, False)}
