"""Build the tool whose call ends a run with a structured result."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, JsonValue

from .arguments import ModelArguments
from .from_schema import tool_from_schema
from .json_schema import plain_schema
from .tool import Tool

# A tool and not response_format: tools plus response_format in one request suppress calls on vLLM (its issue 39929).
FINAL_TOOL = "final_result"
_RESULT_DESCRIPTION = "Give the final result of the task, when it is done."


def result_tool(result_type: type[BaseModel] | Mapping[str, JsonValue]) -> Tool:
    """Return the tool whose call ends a run with a structured result of this type.

    Raises:
        ConfigError: it is a mapping but not the JSON Schema of an object.
    """
    if not isinstance(result_type, type):
        return tool_from_schema(_accept, name=FINAL_TOOL, description=_RESULT_DESCRIPTION, parameters=result_type)
    return Tool(
        name=FINAL_TOOL,
        description=_RESULT_DESCRIPTION,
        parameters=plain_schema(result_type),
        arguments=ModelArguments(model=result_type),
        body=_accept,
    )


async def _accept(*_: object) -> str:
    return "The result is received."
