"""Build the tool whose call ends a run with a structured result, and turn its arguments into that result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, JsonValue, RootModel, create_model

from ..errors import ConfigError
from .arguments import ModelArguments
from .from_schema import tool_from_schema
from .json_schema import plain_schema
from .tool import Tool
from .typed_dicts import of_pydantic

# A tool and not response_format: tools plus response_format in one request suppress calls on vLLM (its issue 39929).
FINAL_TOOL = "final_result"
_RESULT_DESCRIPTION = "Give the final result of the task, when it is done."


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """The structured result of a run."""

    tool: Tool
    read: Callable[[JsonValue], Any]
    """Returns the result as the type that was asked for, given the arguments of the call."""


def output_spec(output_type: object) -> OutputSpec | None:
    """Return how a run ends with a result of this type. None means with a text answer: the type is `str`.

    A pydantic model's fields are the arguments of the call; any other type is its one argument `result`.

    Args:
        output_type: a type that pydantic can describe as JSON, a list of them for a union, or the JSON Schema of an
            object.

    Raises:
        ConfigError: it is none of these.
    """
    if output_type is None or output_type is str:
        return None
    if isinstance(output_type, Mapping):
        schema = cast("Mapping[str, JsonValue]", output_type)
        tool = tool_from_schema(_accept, name=FINAL_TOOL, description=_RESULT_DESCRIPTION, parameters=schema)
        return OutputSpec(tool=tool, read=lambda arguments: arguments)
    if isinstance(output_type, type) and issubclass(output_type, BaseModel):
        model: type[BaseModel] = output_type
        return OutputSpec(
            tool=_model_tool(model), read=lambda arguments: model.model_validate_json(json.dumps(arguments))
        )
    wrapper = _wrapper(cast("object", output_type))

    def read(arguments: JsonValue) -> object:
        return cast("Any", wrapper.model_validate_json(json.dumps(arguments))).result

    return OutputSpec(tool=_tool(wrapper), read=read)


def _model_tool(model: type[BaseModel]) -> Tool:
    try:
        return _tool(model)
    except ConfigError as error:
        if not issubclass(model, RootModel):
            raise
        msg = (
            f"`output_type` is the RootModel {model.__name__}, whose value is not an object. "
            "Give the type that it holds, such as list[int], or a pydantic model with a field of it."
        )
        raise ConfigError(msg, key="output_type") from error


def _tool(model: type[BaseModel]) -> Tool:
    return Tool(
        name=FINAL_TOOL,
        description=_RESULT_DESCRIPTION,
        parameters=plain_schema(model, name=FINAL_TOOL),
        arguments=ModelArguments(model=model),
        body=_accept,
    )


def _wrapper(output_type: object) -> type[BaseModel]:
    kind: Any = _union(cast("Sequence[Any]", output_type)) if isinstance(output_type, list | tuple) else output_type
    is_function = callable(kind) and not isinstance(kind, type) and not hasattr(kind, "__origin__")
    if isinstance(kind, str | tuple) or is_function:
        msg = (
            f"`output_type` is {output_type!r}, which is not a type. Give a pydantic model, a dataclass, a TypedDict, "
            "list[...], a union, int, a list of types, or the JSON Schema of an object."
        )
        raise ConfigError(msg, key="output_type")
    try:
        return create_model(
            FINAL_TOOL, __config__=ConfigDict(extra="forbid"), result=(cast("Any", of_pydantic(kind)), ...)
        )
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"`output_type` {output_type!r} cannot be described to the model: {reason}"
        raise ConfigError(msg, key="output_type") from error


def _union(kinds: Sequence[Any]) -> object:
    """Return the union of types; what is no type stays and is refused."""
    union: Any = kinds[0] if kinds else ()
    for kind in kinds[1:]:
        union = union | kind
    return union


async def _accept(*_: object) -> str:
    return "The result is received."
