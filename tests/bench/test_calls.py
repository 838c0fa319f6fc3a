"""The bench of calls, its deterministic part: hand-written calls, schemas, types and signatures; nothing is downloaded.

What a case means is written beside it or known to the mutation that made it; see `calls.judging`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from random import Random

import pytest
from calls.bfcl import Function, converted
from calls.handmade import schema_faults, signature_faults, type_faults
from calls.handmade_schemas import SCHEMAS, HandMade
from calls.handmade_signatures import SIGNATURES, Signature
from calls.handmade_types import TYPES, Typed
from calls.hostile import hostile
from calls.judging import Case, Tally, judge
from calls.mutations import True_, mutations
from calls.tools_of import schema_tool, typed_tool
from calls.values import Json, NotJson, exact, obeys, rounded, same

from agent import Tool
from agent.tooling.toolbox import Toolbox

NEVER = ("executed wrong, flagged", "executed wrong, unflagged", "repaired, not flagged", "raised", "stuck")
"""What no case may become. Refusals and rounded fractions are counted by the bench itself."""


def function(name: str, properties: Json, *, required: tuple[str, ...], call: Json) -> Function:
    own = {"type": "dict", "properties": properties, "required": list(required)}
    return Function(name=name, description="A function of these tests.", own=own, schema=converted(own), calls=(call,))


FUNCTIONS = (
    function(
        "hotel.book",
        {
            "city": {"type": "string"},
            "nights": {"type": "integer"},
            "price": {"type": "float"},
            "room": {"type": "string", "enum": ["single", "double", "Sea View"]},
            "breakfast": {"type": "boolean"},
            "guests": {"type": "array", "items": {"type": "string"}},
            "note": {"type": "string"},
        },
        required=("city", "nights", "room"),
        call={
            "city": "São Paulo",
            "nights": 3,
            "price": 99.5,
            "room": "Sea View",
            "breakfast": True,
            "guests": ["Ann"],
        },
    ),
    function(
        "crm_update",
        {
            "id": {"type": "long"},
            "change": {
                "type": "dict",
                "properties": {"field": {"type": "string"}, "value": {"type": "any"}, "limit": {"type": "integer"}},
                "required": ["field"],
            },
            "labels": {"type": "HashMap"},
            "sizes": {"type": "array", "items": {"type": "integer"}},
        },
        required=("change",),
        call={"id": 7, "change": {"field": 'a "b"', "value": 5}, "labels": {"env": "prod"}, "sizes": [1, 2]},
    ),
    function("ping", {"note": {"type": "string"}}, required=(), call={}),
)


def both_tools(function: Function) -> tuple[Tool, Tool]:
    return schema_tool(function), typed_tool(function)


@pytest.mark.parametrize("typed", [False, True], ids=["schema", "typed"])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.name)
def test_a_damaged_call_is_executed_as_it_was_meant_or_not_at_all(function: Function, typed: bool):
    call = true_call(function, typed=typed)
    assert faults(mutations(call, Random(13)), both_tools(function)[typed], call) == []


@pytest.mark.parametrize("typed", [False, True], ids=["schema", "typed"])
@pytest.mark.parametrize("function", FUNCTIONS[:2], ids=lambda one: one.name)
def test_a_hostile_value_arrives_as_it_is_spelt_or_not_at_all(function: Function, typed: bool):
    call = true_call(function, typed=typed)
    cases = hostile(call, Random(13), values=200)
    assert faults(cases, both_tools(function)[typed], call) == []


def true_call(function: Function, *, typed: bool) -> True_:
    (arguments,) = function.calls
    name = function.tool_name
    return True_(name=name, own_name=function.name, arguments=arguments, schema=function.schema, typed=typed)


def faults(cases: Iterable[Case], tool: Tool, call: True_) -> list[str]:
    toolbox, tally = Toolbox([tool]), Tally()
    for case in cases:
        tally.add(case, judge(case, toolbox, tool.name, call.schema), tool.name)
    assert sum(tally.counts.values()) > 30
    return [
        f"{verdict}: {line}" for (_, verdict), lines in tally.examples.items() for line in lines if verdict in NEVER
    ]


@pytest.mark.parametrize("one", SCHEMAS, ids=lambda one: one.name)
def test_a_schema_becomes_a_tool_that_accepts_what_it_says(one: HandMade):
    assert list(schema_faults(one)) == []


@pytest.mark.parametrize("one", TYPES, ids=lambda one: one.name)
def test_a_typed_value_arrives_exactly_or_not_at_all(one: Typed):
    assert list(type_faults(one)) == []


@pytest.mark.parametrize("one", SIGNATURES, ids=lambda one: one.name)
def test_a_signature_becomes_a_tool_or_is_refused_with_what_to_do(one: Signature):
    assert list(signature_faults(one)) == []


@pytest.mark.parametrize(
    ("text", "arrived", "is_same"),
    [
        ("0.1", 0.1, True),
        ("1.50", 1.5, True),
        ("3.0", 3, True),
        ("1e3", 1000, True),
        ("9007199254740993", 9007199254740993, True),
        ("9007199254740993", 9007199254740992.0, False),
        ("9007199254740993.0", 9007199254740992.0, False),
        ("5.0000000000000001", 5.0, False),
        ("12345678901234567.89", 12345678901234567.89, False),
        ("1e400", float("inf"), False),
        ("true", 1, False),
        ("1", True, False),
        ("null", 0, False),
        ('"1"', 1, False),
        ('{"a": [1.0, {"b": null}]}', {"a": [1, {"b": None}]}, True),
        ('{"a": 1}', {"a": 1, "b": None}, False),
        ("[1, 2]", [2, 1], False),
    ],
)
def test_the_oracle_compares_numbers_by_their_spelling(text: str, arrived: Json, is_same: bool):
    assert same(exact(text), arrived) is is_same


def test_only_a_fraction_may_be_called_rounded():
    assert rounded(Decimal("3.14159265358979323846"), 3.141592653589793)
    assert not rounded(Decimal("9007199254740993.0"), 9007199254740992.0)
    assert not rounded(Decimal("5.0000000000000001"), 5.0)


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a": 1, "a": 1}', "{'a': 1}", "[1,]", "1" * 5_000, "[" * 100_000])
def test_the_oracle_takes_only_strict_json(text: str):
    with pytest.raises(NotJson):
        exact(text)


def test_the_oracle_does_not_take_a_fraction_for_an_integer():
    schema = {"type": "integer"}
    assert [obeys(exact(text), schema) for text in ("5", "5.0", "1e3", "1e400", "5.0000000000000001", "true")] == [
        *(True, True, True, True, False, False)
    ]


@pytest.mark.parametrize(
    ("sent", "right", "verdict"),
    [
        ('{"note": "x"}', ({"note": "x"},), "accepted as is"),
        ('{"note": "x"}', ({"note": "y"},), "executed wrong, unflagged"),
        ('{"note": "x"}', (), "executed wrong, unflagged"),
        ('{"note": "x",}', ({"note": "x"},), "repaired rightly, flagged"),
        ('{"note": "x",}', (), "executed wrong, flagged"),
        ('{"note": "x"', (), "refused rightly"),
        ('{"note": "x"', ({"note": "x"},), "refused though plain"),
        ('{"other": "x"}', (), "refused rightly"),
    ],
)
def test_a_verdict_says_what_became_of_the_call(sent: str, right: tuple[Json, ...], verdict: str):
    function = FUNCTIONS[2]
    case = Case(kind="test", arguments=sent, right=right, plain=True)
    assert judge(case, Toolbox([schema_tool(function)]), "ping", function.schema).verdict == verdict


def test_the_leaderboards_own_dialect_becomes_json_schema():
    own = {
        "type": "dict",
        "properties": {
            "a": {"type": "float", "description": "A."},
            "b": {"type": "any"},
            "c": {"type": "tuple", "items": {"type": "long"}},
            "d": {"type": "HashMap"},
        },
        "required": ["a", "ghost"],
    }
    assert converted(own) == {
        "type": "object",
        "properties": {
            "a": {"type": "number", "description": "A."},
            "b": {},
            "c": {"type": "array", "items": {"type": "integer"}},
            "d": {"type": "object"},
        },
        "additionalProperties": False,
        "required": ["a"],
    }
