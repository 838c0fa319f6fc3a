"""Build the JSON Schema of task files from Task, for editors and `agent schema`; it does not validate tasks."""

from __future__ import annotations

from typing import Any, cast

import docstring_parser
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ..ready_tools import NAMES
from .load import task_adapter

_COUNT = {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,6})?[kM]$", "description": "Such as 200k or 2M."}
_TIME = {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,6})?[smh]$", "description": "Such as 30s, 30m or 2h."}


def task_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a task file, short forms included."""
    schema = task_adapter().json_schema(schema_generator=_Described)
    parts = cast("dict[str, dict[str, Any]]", schema["$defs"])
    limits = cast("dict[str, dict[str, Any]]", parts["Limits"]["properties"])
    for name, limit in limits.items():
        limit["anyOf"] = [*cast("list[Any]", limit["anyOf"]), _TIME if name == "wall_s" else _COUNT]
    limits["wall"] = {**limits["wall_s"], "title": "Wall", "description": "Same as wall_s."}
    triggers = cast("dict[str, Any]", parts["Ladder"]["properties"]["triggers"])
    triggers["additionalProperties"] = {"type": ["integer", "null"], "exclusiveMinimum": 0}
    triggers["description"] = (
        "How many failures of a kind, since the last progress, move the run up. Merged over the defaults; null means "
        "never."
    )
    # An enum beside the text that may be anything: editors complete the names, and accept other tools.
    listed = cast("list[Any]", schema["properties"]["tools"]["items"]["anyOf"])
    listed.insert(0, {"enum": [*NAMES]})
    for record, key in (("ToolUse", "use"), ("Permission", "tool")):
        name = cast("dict[str, Any]", parts[record]["properties"][key])
        name["anyOf"] = [{"enum": [*NAMES]}, {"type": name.pop("type")}]
    schema["oneOf"] = [{"required": ["prompt"]}, {"required": ["prompt_file"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


class _Described(GenerateJsonSchema):
    """Take the descriptions of records and their fields from the docstrings of their classes, as `help()` does."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        found = super().dataclass_schema(schema)
        docs = docstring_parser.parse(schema["cls"].__doc__ or "", style=docstring_parser.DocstringStyle.GOOGLE)
        fields = {one.arg_name: _one_line(one.description) for one in docs.params}
        for name, field in cast("dict[str, dict[str, Any]]", found["properties"]).items():
            field["description"] = fields[name]
        return {**found, "description": _one_line(docs.description)}


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
