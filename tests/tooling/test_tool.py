"""A typed function or a model becomes a tool; what cannot be described to a model is refused with advice."""

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from agent.errors import ConfigError
from agent.tooling.context import ToolContext
from agent.tooling.tool import Tool, tool

CONTEXT = ToolContext(workspace=Path("/work"), deps={"user": "ada"})


async def result_of(made: Tool, arguments: str) -> object:
    return await made.body(made.arguments.check(arguments), CONTEXT)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    """A place on the paper."""

    x: int
    y: Annotated[int, Field(ge=0, description="Up is positive.")] = 0


@tool
def draw(
    name: str,
    points: list[Point],
    color: Color = Color.RED,
    width: Annotated[float, Field(gt=0)] = 1.5,
    style: Literal["solid", "dashed"] | None = None,
) -> str:
    """Draw a line.

    It goes through all points.

    Args:
        name: what the line is called.
        points: where it goes.
        color: its color.
    """
    return f"{name} {points} {color.name} {width} {style}"


def test_a_function_becomes_a_schema() -> None:
    assert draw.definition() == {
        "type": "function",
        "function": {
            "name": "draw",
            "description": "Draw a line.\nIt goes through all points.",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "what the line is called."},
                    "points": {
                        "type": "array",
                        "description": "where it goes.",
                        "items": {
                            "type": "object",
                            "description": "A place on the paper.",
                            "properties": {
                                "x": {"type": "integer"},
                                "y": {"type": "integer", "minimum": 0, "default": 0, "description": "Up is positive."},
                            },
                            "required": ["x"],
                            "additionalProperties": False,
                        },
                    },
                    "color": {
                        "type": "string",
                        "enum": ["red", "blue"],
                        "default": "red",
                        "description": "its color.",
                    },
                    "width": {"type": "number", "exclusiveMinimum": 0, "default": 1.5},
                    "style": {
                        "anyOf": [{"type": "string", "enum": ["solid", "dashed"]}, {"type": "null"}],
                        "default": None,
                    },
                },
                "required": ["name", "points"],
                "additionalProperties": False,
            },
        },
    }


async def test_the_function_is_called_with_python_values() -> None:
    assert await result_of(draw, '{"name": "l", "points": [{"x": 1}], "color": "blue"}') == (
        "l [Point(x=1, y=0)] BLUE 1.5 None"
    )


async def test_an_async_function_gets_the_context() -> None:
    @tool(name="who-am-i", read_only=True, exclusive=True, timeout_s=3, output_limit_chars=100)
    async def who(greeting: str, context: ToolContext[dict[str, str]]) -> str:
        """Greet the user."""
        return f"{greeting} {context.deps['user']} in {context.workspace}"

    assert (who.name, who.read_only, who.exclusive, who.timeout_s, who.output_limit_chars) == (
        "who-am-i",
        True,
        True,
        3,
        100,
    )
    assert who.parameters["required"] == ["greeting"]
    assert await result_of(who, '{"greeting": "I am"}') == "I am ada in /work"


async def test_a_model_with_run_becomes_a_tool_that_refuses_unknown_keys() -> None:
    @tool
    class ReadPage(BaseModel):
        """Read a page."""

        page: int

        def run(self, context: ToolContext[Any]) -> str:
            return f"page {self.page} of {context.workspace}"

    assert (ReadPage.name, ReadPage.description) == ("read_page", "Read a page.")
    assert await result_of(ReadPage, '{"page": 3}') == "page 3 of /work"
    assert isinstance(ReadPage.arguments.check('{"page": 3, "book": 1}'), tuple)


async def test_a_parameter_may_be_named_like_a_method_of_pydantic() -> None:
    @tool
    def validate(schema: str, json: int, copy: bool = False) -> str:
        """Validate."""
        return f"{schema} {json} {copy}"

    assert await result_of(validate, '{"schema": "s", "json": 1}') == "s 1 False"


class Tree(BaseModel):
    kids: "list[Tree]" = []


def test_a_recursive_type_keeps_its_reference() -> None:
    @tool
    def plant(tree: Tree) -> str:
        """Plant it."""
        return str(tree)

    kid: dict[str, Any] = {
        "type": "object",
        "properties": {"kids": {"type": "array", "default": [], "items": {"$ref": "#/$defs/Tree"}}},
        "additionalProperties": False,
    }
    assert plant.parameters == {
        "type": "object",
        "properties": {"tree": kid},
        "required": ["tree"],
        "additionalProperties": False,
        "$defs": {"Tree": kid},
    }


def undescribed(a: int) -> int:
    return a


def unannotated(a) -> int:  # type: ignore[no-untyped-def]
    """Do it."""
    return a


def starred(*numbers: int) -> int:
    """Do it."""
    return sum(numbers)


def positional(a: int, /) -> int:
    """Do it."""
    return a


def called(back: Callable[[], int]) -> int:
    """Do it."""
    return back()


class Opaque:
    pass


def opaque(a: Opaque) -> str:
    """Do it."""
    return str(a)


def unresolvable(a: "Nowhere") -> str:  # noqa: F821  # type: ignore[name-defined]
    """Do it."""
    return str(a)


class NoRun(BaseModel):
    """Do it."""


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            undescribed,
            "Tool 'undescribed' has no description, so the model cannot know when to call it. Write a docstring.",
        ),
        (unannotated, "Tool 'unannotated': parameter 'a' has no type annotation. Add one."),
        (
            starred,
            "Tool 'starred': parameter '*numbers: int' cannot be described to a model. "
            "Use named parameters that can be passed by keyword.",
        ),
        (
            positional,
            "Tool 'positional': parameter 'a: int' cannot be described to a model. "
            "Use named parameters that can be passed by keyword.",
        ),
        (
            unresolvable,
            "Tool 'unresolvable': an annotation cannot be resolved: name 'Nowhere' is not defined. "
            "Import that name at module level.",
        ),
        (
            NoRun,
            "Tool 'no_run': the model NoRun has no `run` method. Add `def run(self) -> str:`.",
        ),
    ],
)
def test_what_cannot_be_described_to_a_model_is_refused(source: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tool(source)
    assert str(caught.value) == problem


@pytest.mark.parametrize("source", [called, opaque])
def test_what_pydantic_cannot_describe_is_refused(source: Any) -> None:
    with pytest.raises(ConfigError, match="its parameters have no JSON Schema: "):
        tool(source)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("read file", "read_file"), ("größe", "gr_e"), ("x" * 65, "x" * 64), ("!", "tool")],
)
def test_a_name_that_mistral_refuses_is_refused_with_a_suggestion(name: str, suggestion: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tool(name=name)(undescribed)
    assert str(caught.value) == (
        f"Tool name {name!r} is not allowed: it must be 1 to 64 characters of A-Z, a-z, 0-9, underscore and dash. "
        f"Set another name, such as @tool(name={suggestion!r})."
    )
