"""Build the two tools of each leaderboard function: one from its JSON Schema, one from typed parameters."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast

from calls.bfcl import Function
from calls.values import Json
from pydantic import BaseModel, Field, JsonValue, create_model

from agent import Tool, tool, tool_from_schema

_SCALARS: Mapping[str, Any] = {"integer": int, "number": float, "string": str, "boolean": bool}
_TAKEN = re.compile(r"_.*|model_.*")


class NotTyped(ValueError):
    """Raised for a schema that no annotation says exactly."""


async def _echo(arguments: object) -> object:
    return arguments


def schema_tool(function: Function, schema: Json | None = None, *, name: str | None = None) -> Tool:
    """Return the tool as an MCP server would bring it. The top is not closed, so the product has to close it."""
    parameters = schema
    if parameters is None:
        parameters = {key: value for key, value in function.schema.items() if key != "additionalProperties"}
    return tool_from_schema(
        cast("Any", _echo), name=name or function.tool_name, description=function.description, parameters=parameters
    )


def typed_tool(function: Function) -> Tool:
    """Return the same tool with typed parameters: of a function where its names allow that, else of a model.

    Raises:
        NotTyped: the schema says something that no annotation says.
    """
    fields = {name: _field(function, name) for name in function.schema.get("properties", {})}
    if all(name.isidentifier() and not keyword.iskeyword(name) and not _TAKEN.fullmatch(name) for name in fields):
        return tool(_as_function(function, fields))
    return tool(name=function.tool_name)(_as_model(function, fields))


def _field(function: Function, name: str) -> tuple[Any, Any]:
    schema = function.schema["properties"][name]
    kind = annotation(schema, f"{function.tool_name}_{name}")
    if name in function.schema.get("required", ()):
        return kind, ...
    default = schema.get("default")
    if default is not None and _is_of(default, schema):
        return kind, default
    return kind | None if kind is not Any else Any, None


def _is_of(default: Json, schema: Json) -> bool:
    kinds = {"integer": int, "number": (int, float), "string": str, "boolean": bool}
    return schema.get("type") in kinds and isinstance(default, cast("Any", kinds[schema["type"]]))


def annotation(schema: Json, name: str) -> Any:
    """Return the annotation of a schema.

    Raises:
        NotTyped: there is none.
    """
    kind = schema.get("type")
    if schema.keys() & {"minItems", "maxItems", "maximum"}:
        raise NotTyped(name)
    if "enum" in schema:
        choices = tuple(dict.fromkeys(choice for choice in schema["enum"]))
        if kind not in {"string", "integer"} or not all(type(choice) is _SCALARS[kind] for choice in choices):
            raise NotTyped(name)
        return Literal[choices]
    if kind == "array":
        return list[_items(schema, name)]
    if kind == "object":
        return _nested(schema, name) if "properties" in schema else dict[str, JsonValue]
    return _SCALARS.get(kind, JsonValue)


def _items(schema: Json, name: str) -> Any:
    return annotation(schema["items"], name) if "items" in schema else JsonValue


def _nested(schema: Json, name: str) -> Any:
    """Return a model that keeps pydantic's own setting for unknown keys, which is to ignore them."""
    fields: dict[str, Any] = {}
    for index, (key, inner) in enumerate(schema["properties"].items()):
        kind = annotation(inner, f"{name}_{index}")
        required = key in schema.get("required", ())
        fields[f"field_{index}"] = (
            Annotated[kind if required else kind | None, Field(alias=key)],
            ... if required else None,
        )
    return create_model(name, **fields)


def _as_function(function: Function, fields: Mapping[str, tuple[Any, Any]]) -> Callable[..., object]:
    async def body(**arguments: object) -> object:
        return arguments

    empty = inspect.Parameter.empty
    body.__name__ = function.tool_name
    body.__doc__ = function.description
    body.__annotations__ = {name: kind for name, (kind, _) in fields.items()}
    cast("Any", body).__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=empty if default is ... else default)
            for name, (_, default) in fields.items()
        ]
    )
    return body


def _as_model(function: Function, fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    named = {
        f"field_{index}": (Annotated[kind, Field(alias=name)], default)
        for index, (name, (kind, default)) in enumerate(fields.items())
    }
    model = create_model("Arguments", __doc__=function.description, __base__=_Runnable, **cast("Any", named))
    model.__doc__ = function.description
    return model


class _Runnable(BaseModel):
    def run(self) -> str:
        return ""
