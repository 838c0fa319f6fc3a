"""A call with an unknown key, at any depth, is refused exactly if the schema that was sent forbids it."""

import dataclasses
import itertools
import json
from collections.abc import Iterator
from typing import Any, Generic, Literal, NotRequired, TypeVar

import jsonschema
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, create_model
from typing_extensions import TypedDict

from agent.messages import RawCall
from agent.parsing.validation import CheckedCall, InvalidCall, check
from agent.tooling.final_result import output_spec
from agent.tooling.tool import Tool, tool
from agent.tooling.toolbox import Toolbox

ItemT = TypeVar("ItemT")


class Options(BaseModel):
    name: str
    limit: int = 1000


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Careless(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


class Node(BaseModel):
    name: str
    kids: "list[Node]" = []


class Box(BaseModel, Generic[ItemT]):
    item: ItemT


class Names(RootModel[dict[str, int]]):
    pass


class Made(BaseModel):
    """Has an `__init__` of its own, which pydantic leaves all checks to."""

    name: str

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)


class Typed(TypedDict):
    name: str
    limit: NotRequired[int]


@dataclasses.dataclass
class Plain:
    name: str
    limit: int = 1000


@pydantic.dataclasses.dataclass
class Validated:
    name: str


class Cat(BaseModel):
    kind: Literal["cat"]
    name: str


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


def typed(annotation: Any) -> Tool:
    def take(x: Any) -> str:
        return str(x)

    take.__doc__ = "Take it."
    take.__annotations__ = {"x": annotation}
    return tool(take)


def sent_to(made: Tool, arguments: JsonValue) -> CheckedCall | InvalidCall:
    return check(RawCall(name=made.name, arguments=json.dumps(arguments)), Toolbox([made]), call_id="aBcDeF123")


N: dict[str, JsonValue] = {"name": "a", "limti": 5}
REFUSED: dict[str, tuple[Any, JsonValue, str]] = {
    "a model": (Options, N, "$.x.limti is not a parameter, got 5; allowed: limit, name"),
    "an optional model": (Options | None, N, "$.x.limti is not a parameter, got 5; allowed: limit, name"),
    "a model in a list": (list[Options], [N], "$.x[0].limti is not a parameter, got 5; allowed: limit, name"),
    "a model in a dict": (dict[str, Options], {"k": N}, "$.x.k.limti is not a parameter, got 5; allowed: limit, name"),
    "a model in a tuple": (tuple[int, Options], [1, N], "$.x[1].limti is not a parameter, got 5; allowed: limit, name"),
    "a dataclass": (Plain, N, "$.x.limti is not a parameter, got 5; allowed: limit, name"),
    "a pydantic dataclass": (Validated, N, "$.x.limti is not a parameter, got 5; allowed: name"),
    "a TypedDict": (Typed, N, "$.x.limti is not a parameter, got 5; allowed: limit, name"),
    "a recursive model": (
        Node,
        {"name": "a", "kids": [N]},
        "$.x.kids[0].limti is not a parameter, got 5; allowed: name, kids",
    ),
    "a generic model": (Box[Options], {"item": N}, "$.x.item.limti is not a parameter, got 5; allowed: limit, name"),
    "a model that says so itself": (Closed, N, "$.x.limti is not a parameter, got 5; allowed: name"),
    "a model with its own __init__": (Made, N, "$.x.limti is not a parameter, got 5; allowed: name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unknown_key_of_a_nested_model_is_refused(name: str) -> None:
    annotation, value, reason = REFUSED[name]
    found = sent_to(typed(annotation), {"x": value})
    assert isinstance(found, InvalidCall)
    assert found.reason == reason


@pytest.mark.parametrize("annotation", [Options | Typed, Options | int, Cat | Dog, list[Options | None]])
def test_an_unknown_key_is_refused_in_every_branch_of_a_union(annotation: Any) -> None:
    value = [N] if annotation == list[Options | None] else {**N, "kind": "cat"} if annotation == Cat | Dog else N
    assert isinstance(sent_to(typed(annotation), {"x": value}), InvalidCall)


@pytest.mark.parametrize("annotation", [Open, Careless])
def test_an_authors_own_extra_is_respected_and_the_schema_says_so(annotation: type[BaseModel]) -> None:
    made = typed(annotation)
    assert isinstance(sent_to(made, {"x": N}), CheckedCall)
    schema: Any = made.parameters
    assert schema["properties"]["x"]["additionalProperties"] is True
    assert schema["additionalProperties"] is False


def test_an_authors_own_extra_of_the_arguments_themselves_is_respected() -> None:
    @tool
    class Search(Open):
        """Search."""

        def run(self) -> str:
            return str(self.model_extra)

    assert Search.parameters["additionalProperties"] is True
    assert isinstance(sent_to(Search, N), CheckedCall)


def test_a_final_result_with_an_unknown_key_is_refused() -> None:
    spec = output_spec(Options)
    assert spec is not None
    found = sent_to(spec.tool, N)
    assert isinstance(found, InvalidCall)
    assert found.reason == "$.limti is not a parameter, got 5; allowed: limit, name"


def test_a_map_takes_any_key() -> None:
    assert isinstance(sent_to(typed(Names), {"x": {"a": 1}}), CheckedCall)


def test_a_field_has_one_key_so_that_no_second_one_is_dropped() -> None:
    class Aliased(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        count: int = Field(1, validation_alias=pydantic.AliasChoices("n", "number"))

    made = typed(Aliased)
    assert isinstance(sent_to(made, {"x": {"n": 2}}), CheckedCall)
    for other in ("count", "number"):
        assert isinstance(sent_to(made, {"x": {"n": 2, other: 3}}), InvalidCall)


@dataclasses.dataclass(frozen=True)
class Case:
    """An annotation and a value that fits it."""

    annotation: Any
    value: Any


_serial = itertools.count()


def _object(draw: st.DrawFn, inner: st.SearchStrategy[Case]) -> Case:
    fields = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1, max_size=2))
    hints = {key: case.annotation for key, case in fields.items()}
    extra = draw(st.sampled_from([None, None, "allow", "ignore", "forbid"]))
    config = ConfigDict(extra=extra) if extra else ConfigDict()
    name = f"Made{next(_serial)}"
    kind = draw(st.sampled_from(["model", "typed dict", "dataclass", "pydantic dataclass"]))
    if kind == "model":
        definitions: Any = {key: (hint, ...) for key, hint in hints.items()}
        made: Any = create_model(name, __config__=config, **definitions)
    elif kind == "typed dict":
        made = TypedDict(name, hints)  # type: ignore[operator]
        made.__pydantic_config__ = config
    else:
        made = dataclasses.make_dataclass(name, list(hints.items()))
        made = made if kind == "dataclass" else pydantic.dataclasses.dataclass(made, config=config)
    return Case(made, {key: case.value for key, case in fields.items()})


def _containers(inner: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    return st.one_of(
        st.composite(_object)(inner),
        inner.map(lambda case: Case(list[case.annotation], [case.value])),
        inner.map(lambda case: Case(dict[str, case.annotation], {"key": case.value})),
        inner.map(lambda case: Case(case.annotation | None, case.value)),
        inner.map(lambda case: Case(tuple[int, case.annotation], [1, case.value])),
        inner.map(lambda case: Case(case.annotation | bool, case.value)),
    )


cases = st.recursive(st.just(Case(int, 1)), _containers, max_leaves=4)


def _with_unknown_key(value: Any) -> Iterator[Any]:
    """Yield the value with an unknown key in each of its objects."""
    if isinstance(value, dict):
        yield {**value, "unknown": 1}
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        for changed in _with_unknown_key(inner):
            copy = json.loads(json.dumps(value))
            copy[key] = changed
            yield copy


@settings(max_examples=150, deadline=None)
@given(cases)
def test_a_call_with_an_unknown_key_is_refused_exactly_if_the_sent_schema_forbids_it(case: Case) -> None:
    made = typed(case.annotation)
    validator = jsonschema.Draft202012Validator(made.parameters)
    for arguments in ({"x": case.value}, *_with_unknown_key({"x": case.value})):
        forbids = not validator.is_valid(arguments)  # type: ignore[arg-type]
        assert isinstance(sent_to(made, arguments), InvalidCall) is forbids, (arguments, made.parameters)
