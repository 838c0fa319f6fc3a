"""Whatever Python can call becomes a tool that is right, or a ConfigError says what to do."""

import asyncio
import enum
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ParamSpec, Required, TypedDict

import pytest
from pydantic import BaseModel, EmailStr, Field, RootModel

from agent.errors import ConfigError
from agent.tooling.context import ToolContext
from agent.tooling.tool import Tool, tool

CONTEXT = ToolContext(workspace=Path("/work"))


def result_of(made: Tool, arguments: dict[str, Any]) -> object:
    value = made.arguments.check(json.dumps(arguments))
    assert not isinstance(value, tuple), value
    return asyncio.run(made.body(value, CONTEXT))


def names_of(made: Tool) -> list[str]:
    properties = made.parameters["properties"]
    assert isinstance(properties, dict)
    return list(properties)


def find(words: str, limit: int = 10, *, key: str = "none") -> str:
    """Find words.

    Args:
        words: what to look for.
    """
    return f"{words} {limit} {key}"


async def fetch(words: str, context: ToolContext[Any], limit: int = 10) -> str:
    """Fetch words."""
    return f"{words} {limit} {context.workspace}"


class Finder:
    """A class that finds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, words: str) -> str:
        """Find with a limit."""
        return f"{words} {self.limit}"

    def method(self, words: str) -> str:
        """Find by a method."""
        return f"{words} {self.limit}"

    @classmethod
    def of_class(cls, words: str) -> str:
        """Find by the class."""
        return f"{words} {cls.__name__}"

    @staticmethod
    def static(words: str) -> str:
        """Find without anything."""
        return words


class AsyncFinder:
    """Find later."""

    async def __call__(self, words: str) -> str:
        return f"{words} later"


def logged(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def wrapper(*args: object, **keywords: object) -> object:
        return f"logged {function(*args, **keywords)}"

    return wrapper


SOURCES: dict[str, tuple[Any, str, str, list[str], dict[str, Any], str]] = {
    "a partial": (functools.partial(find, "cat"), "find", "Find words.", ["limit", "key"], {"limit": 3}, "cat 3 none"),
    "a partial by keyword": (
        functools.partial(find, limit=3, key="secret"),
        "find",
        "Find words.",
        ["words"],
        {"words": "cat"},
        "cat 3 secret",
    ),
    "an async partial": (functools.partial(fetch, "cat"), "fetch", "Fetch words.", ["limit"], {}, "cat 10 /work"),
    "a partial of a partial": (
        functools.partial(functools.partial(find, "cat"), key="secret"),
        "find",
        "Find words.",
        ["limit"],
        {"limit": 1},
        "cat 1 secret",
    ),
    "a partial of an object": (functools.partial(Finder(3), "cat"), "finder", "Find with a limit.", [], {}, "cat 3"),
    "an object": (Finder(3), "finder", "Find with a limit.", ["words"], {"words": "cat"}, "cat 3"),
    "an async object": (AsyncFinder(), "async_finder", "Find later.", ["words"], {"words": "cat"}, "cat later"),
    "a bound method": (Finder(3).method, "method", "Find by a method.", ["words"], {"words": "cat"}, "cat 3"),
    "a class method": (Finder.of_class, "of_class", "Find by the class.", ["words"], {"words": "cat"}, "cat Finder"),
    "a static method": (Finder.static, "static", "Find without anything.", ["words"], {"words": "cat"}, "cat"),
    "a wrapped function": (
        logged(find),
        "find",
        "Find words.",
        ["words", "limit", "key"],
        {"words": "cat"},
        "logged cat 10 none",
    ),
    "a cached function": (
        functools.lru_cache(find),
        "find",
        "Find words.",
        ["words", "limit", "key"],
        {"words": "cat"},
        "cat 10 none",
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_callable_becomes_a_tool(kind: str) -> None:
    source, name, description, parameters, arguments, result = SOURCES[kind]
    made = tool(source)
    assert (made.name, made.description, names_of(made)) == (name, description, parameters)
    assert result_of(made, arguments) == result


class Line(TypedDict, total=False):
    text: Required[Annotated[str, Field(min_length=1)]]
    marks: "list[Mark]"


class Mark(TypedDict):
    """A mark."""

    at: int


def test_a_typed_dict_of_typing_is_a_parameter_on_every_python() -> None:
    """Before Python 3.12, pydantic takes none, and it was refused with pydantic's words."""

    @tool
    def draw(lines: list[Line], mark: Mark | None = None) -> str:
        """Draw."""
        return f"{lines} {mark}"

    found = result_of(draw, {"lines": [{"text": "a", "marks": [{"at": 3}]}]})
    assert found == "[{'text': 'a', 'marks': [{'at': 3}]}] None"
    items: Any = draw.parameters["properties"]
    line = items["lines"]["items"]
    assert (line["required"], line["properties"]["text"]) == (["text"], {"type": "string", "minLength": 1})
    assert line["properties"]["marks"]["items"]["properties"] == {"at": {"type": "integer"}}


def test_a_value_that_a_partial_binds_is_neither_shown_nor_replaced() -> None:
    made = tool(functools.partial(find, key="secret"))
    assert "secret" not in json.dumps(made.definition())
    assert isinstance(made.arguments.check('{"words": "cat", "key": "other"}'), tuple)


def test_a_parameter_may_have_any_name_that_python_allows() -> None:
    def named(
        model_dump: int, model_fields: int, model_config: int, schema: int, json: int, copy: int, _x: int,
        construct: int, self: int, cls: int, model_name: int, parameter_copy: int, validate: int = 13,
    ) -> str:  # fmt: skip
        """Name it."""
        return str(list(locals().values()))

    made = tool(named)
    names = (
        "model_dump model_fields model_config schema json copy _x construct self cls model_name parameter_copy validate"
    )
    assert names_of(made) == names.split()
    assert result_of(made, dict(zip(names.split(), range(1, 13), strict=False))) == str(list(range(1, 14)))


class Color(enum.Enum):
    RED = "red"


def test_defaults_that_are_not_json_are_left_out_of_the_schema() -> None:
    def paint(
        where: Path = Path("/wall"),
        weight: float = float("inf"),
        mark: Any = Color,
        color: Color = Color.RED,
        level: Annotated[int, "a remark", Field(ge=1), object()] = 1,
    ) -> str:
        """Paint."""
        return f"{where} {weight} {mark} {color} {level}"

    made = tool(paint)
    json.dumps(made.definition(), allow_nan=False)
    properties: Any = made.parameters["properties"]
    assert {key: schema.get("default") for key, schema in properties.items()} == {
        "where": "/wall", "weight": None, "mark": None, "color": "red", "level": 1,
    }  # fmt: skip
    assert result_of(made, {}) == f"/wall inf {Color} Color.RED 1"


async def later(n: int) -> AsyncIterator[int]:
    """Count."""
    yield n


def now(n: int) -> Iterator[int]:
    """Count."""
    yield n


class Counting(BaseModel):
    """Count."""

    async def run(self) -> AsyncIterator[int]:
        yield 1


class Listed(RootModel[list[int]]):
    """List."""

    def run(self) -> str:
        return ""


P = ParamSpec("P")


def passing(function: Callable[P, object]) -> Callable[P, object]:
    def passed(*args: P.args, **keywords: P.kwargs) -> object:
        """Pass."""
        return function(*args, **keywords)

    return passed


def mailed(to: EmailStr) -> str:
    """Mail."""
    return to


def doubled(a: Annotated[int, Field(alias="b")], b: int) -> int:
    """Add."""
    return a + b


def misspelt(a: "int |") -> int:  # type: ignore[valid-type]  # noqa: F722
    """Do it."""
    return a


def contextual(ctx: object) -> str:
    """Do it."""
    return str(ctx)


del contextual.__annotations__["ctx"]

GENERATOR = (
    "the function is a generator, and a tool gives one result. Return everything that it yields, such as in a list."
)
CLASS = "Finder is a class whose instances can be called. Give an instance, such as tool(Finder(...))."
LAMBDA = "A lambda has no name, annotations or docstring. Write a function with annotated parameters and a docstring."


class Spotter(Finder):
    """A class that finds what its parent finds."""


def made() -> Callable[[int], int]:
    return lambda x: x


unnamed = made()
REFUSED: list[tuple[Any, str]] = [
    (later, f"Tool 'later': {GENERATOR}"),
    (now, f"Tool 'now': {GENERATOR}"),
    (functools.partial(later, 1), f"Tool 'later': {GENERATOR}"),
    (Counting, f"Tool 'counting': {GENERATOR}"),
    (
        Listed,
        "Tool 'listed': its arguments must be one object with a key for each, and Listed is none. "
        "Make it a field of a pydantic model, such as `items: Listed`.",
    ),
    (Finder, f"Tool 'Finder': {CLASS}"),
    (AsyncFinder, f"Tool 'AsyncFinder': {CLASS.replace('Finder', 'AsyncFinder')}"),
    (functools.partial(Finder, 3), f"Tool 'Finder': {CLASS}"),
    (Spotter, f"Tool 'Spotter': {CLASS.replace('Finder', 'Spotter')}"),
    (unnamed, LAMBDA),
    (functools.partial(unnamed, 1), LAMBDA),
    (
        Finder.method,
        "Tool 'method': parameter 'self' has no type annotation. If it is a method, bind it: tool(instance.method).",
    ),
    (
        passing(find),
        "Tool 'passed': parameter '*args: P.args' cannot be described to a model. "
        "Use named parameters that can be passed by keyword.",
    ),
    (
        max,
        "Tool 'max': Python cannot read its signature (no signature found for builtin <built-in function max>). "
        "Wrap it in a function with annotations.",
    ),
    (
        "find",
        "Cannot make a tool of 'find': it cannot be called. Use a function, an object with `__call__`, or a pydantic "
        "model with a `run` method. A class method becomes a tool as tool(ItsClass.method).",
    ),
    (
        contextual,
        "Tool 'contextual': parameter 'ctx' has no type annotation. To get the run's context, annotate it: "
        "ToolContext.",
    ),
    (doubled, "Tool 'doubled': two parameters are sent as 'b'. Change the alias of one."),
    (
        misspelt,
        "Tool 'misspelt': its annotations cannot be read: Forward reference must be an expression -- got 'int |'. "
        "Use types, such as `int` or `list[str]`.",
    ),
]


@pytest.mark.parametrize(("source", "problem"), REFUSED)
def test_what_cannot_be_a_tool_is_refused_with_what_to_do(source: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tool(source)
    assert str(caught.value) == problem


def test_a_named_lambda_with_a_parameter_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"'x' has no type annotation. Write a function with annotated parameters."):
        tool(name="same", description="Return the same.")(unnamed)


def test_a_class_whose_instances_cannot_be_called_is_a_tool_that_makes_one() -> None:
    @dataclass
    class Note:
        """Take a note."""

        text: str

    assert result_of(tool(Note), {"text": "Hi"}) == Note("Hi")


def test_a_type_whose_package_is_missing_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "email_validator", None)
    with pytest.raises(ConfigError, match=r"needs a package that is not installed: .*pip install 'pydantic\[email\]'"):
        tool(mailed)
