"""The tool whose call ends a run with a structured result."""

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


def result_tool(form: type[BaseModel] | Mapping[str, JsonValue]) -> Tool:
    """Return the tool whose call ends a run with a structured result of this form.

    Raises:
        ConfigError: the form is not the JSON Schema of an object.
    """
    if not isinstance(form, type):
        return tool_from_schema(_accept, name=FINAL_TOOL, description=_RESULT_DESCRIPTION, parameters=form)
    return Tool(
        name=FINAL_TOOL,
        description=_RESULT_DESCRIPTION,
        parameters=plain_schema(form),
        arguments=ModelArguments(model=form),
        body=_accept,
    )


async def _accept(*_: object) -> str:
    return "The result is received."
