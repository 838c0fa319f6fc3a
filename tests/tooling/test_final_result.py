"""The structured result: any type that pydantic describes, wrapped where it is no object, validated, typed."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, Field, RootModel

from agent import Agent, ConfigError, Limits, RunFailed, Verify
from agent.testing import ScriptedModel, calls, says
from agent.tooling.final_result import output_spec


class Report(BaseModel):
    number: int


@dataclass
class Place:
    path: str
    line: int


class Options(TypedDict):
    deep: bool


class Search(TypedDict, total=False):
    options: list[Options]


KINDS: dict[str, tuple[Any, Any, Any]] = {
    "model": (Report, {"number": 3}, Report(number=3)),
    "dataclass": (Place, {"result": {"path": "a", "line": 2}}, Place("a", 2)),
    "typed dict": (Options, {"result": {"deep": True}}, {"deep": True}),
    "list of models": (list[Report], {"result": [{"number": 3}]}, [Report(number=3)]),
    "int": (int, {"result": 3}, 3),
    "bool": (bool, {"result": False}, False),
    "union": (int | Report, {"result": {"number": 3}}, Report(number=3)),
    "list of types": ([Report, Place], {"result": {"path": "a", "line": 2}}, Place("a", 2)),
    "tuple of types": ((Report, Place), {"result": {"number": 3}}, Report(number=3)),
    "optional": (Report | None, {"result": None}, None),
    "list of typed dicts": (list[Options], {"result": [{"deep": True}]}, [{"deep": True}]),
    "typed dict or none": (Options | None, {"result": {"deep": True}}, {"deep": True}),
    "typed dict by name": (
        dict[str, Annotated[Search, "x"]],
        {"result": {"a": {"options": [{"deep": True}]}}},
        {"a": {"options": [{"deep": True}]}},
    ),
    "literal": (Literal["a", "b"], {"result": "b"}, "b"),
    "annotated": (Annotated[int, Field(ge=1)], {"result": 1}, 1),
    "schema": ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": 1}, {"a": 1}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_arrives_as_its_type(kind: str):
    output_type, arguments, wanted = KINDS[kind]
    model = ScriptedModel([calls(("final_result", arguments))])

    outcome = Agent(model, output_type=output_type).run_sync("Go.")

    assert outcome.output == wanted
    assert outcome.output_json == arguments
    assert type(outcome.output) is type(wanted)


def test_a_result_out_of_bounds_is_answered_and_asked_again():
    model = ScriptedModel([calls(("final_result", {"result": 0})), calls(("final_result", {"result": 2}))])
    assert Agent(model, output_type=Annotated[int, Field(ge=1)]).run_sync("Go.").output == 2


def test_a_text_answer_is_the_output_of_an_agent_without_a_type():
    outcome = Agent(ScriptedModel([says("Seven.")])).run_sync("Go.")
    assert (outcome.output, outcome.output_json) == ("Seven.", None)


def test_the_output_of_a_run_that_ended_without_one_raises_its_reason():
    outcome = Agent(ScriptedModel([says("I cannot.")]), output_type=Report).run_sync("Go.", limits=Limits(steps=1))
    assert not outcome.ok
    with pytest.raises(RunFailed) as raised:
        _ = outcome.output
    assert raised.value.status == outcome.status


def test_the_output_of_a_failed_verification_is_there():
    model = ScriptedModel([calls(("final_result", {"number": 3}))])
    outcome = Agent(model, output_type=Report, verify=Verify(command="false", attempts=1)).run_sync("Go.")
    assert (outcome.status, outcome.output) == ("verify_failed", Report(number=3))


NO_TYPES: dict[str, Any] = {"text": "Report", "empty list": [], "function": len, "object": object(), "number": 3}


@pytest.mark.parametrize("name", NO_TYPES)
def test_what_is_no_type_is_refused_when_the_agent_is_made(name: str):
    with pytest.raises(ConfigError, match=r"^`output_type` "):
        Agent(ScriptedModel([]), output_type=NO_TYPES[name])


class Counts(RootModel[list[int]]):
    pass


class Prices(RootModel[dict[str, float]]):
    pass


def test_a_root_model_that_is_no_object_is_refused_with_what_to_give():
    with pytest.raises(
        ConfigError, match=r"^`output_type` is the RootModel Counts.* Give the type that it holds"
    ) as raised:
        output_spec(Counts)
    assert raised.value.key == "output_type"
    assert output_spec(Prices) is not None


def test_the_schema_of_a_wrapped_type_is_closed_and_inlined():
    spec = output_spec(list[Report])
    assert spec is not None
    item = {
        "type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"],
        "additionalProperties": False,
    }  # fmt: skip
    assert spec.tool.parameters["properties"] == {"result": {"type": "array", "items": item}}
