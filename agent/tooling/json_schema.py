"""Convert a pydantic model to a JSON Schema that suits small grammars and small models: inlined, without titles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, JsonValue
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import CoreConfig, PydanticSerializationError, core_schema

from ..errors import ConfigError
from .arguments import JsonObject
from .strict_schema import closed_schema


def plain_schema(model: type[BaseModel], *, name: str | None = None) -> JsonObject:
    """Return the model's schema, inlined, without titles, and closed to unknown keys.

    `$ref`s are inlined because vLLM leaves nested `$defs` unconstrained (its PR 47175); only recursive types keep
    theirs. Titles only repeat the names.

    Args:
        model: the arguments.
        name: the tool's name for a message. None means the name of the model.

    Raises:
        ConfigError: pydantic cannot describe the model as the JSON Schema of an object.
    """
    tool_name = name or model.__name__
    try:
        schema = cast("JsonObject", _Generator().generate(closed_schema(model)))
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"Tool {tool_name!r}: its parameters have no JSON Schema: {reason} Use JSON types or pydantic models."
        raise ConfigError(msg) from error
    definitions = cast("dict[str, JsonValue]", schema.pop("$defs", {}))
    cyclic: set[str] = set()
    plain = cast("JsonObject", _plain(schema, definitions, (), cyclic))
    plain.pop("description", None)  # repeats the tool's own description
    if cyclic:
        plain["$defs"] = {name: _plain(definitions[name], definitions, (name,), cyclic) for name in sorted(cyclic)}
    if plain.get("type") != "object":
        msg = (
            f"Tool {tool_name!r}: its arguments must be one object with a key for each, and {model.__name__} is none. "
            f"Make it a field of a pydantic model, such as `items: {model.__name__}`."
        )
        raise ConfigError(msg)
    plain.setdefault("properties", {})
    return plain


class _Generator(GenerateJsonSchema):
    """Build a schema that forbids unknown keys where the check of a call does, without defaults that are not JSON."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as in the base class

    def encode_default(self, dft: object) -> object:
        encoded = super().encode_default(dft)
        try:
            json.dumps(encoded, allow_nan=False)
        except ValueError as error:
            msg = "an infinite number is no JSON"
            raise PydanticSerializationError(msg) from error
        return encoded

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _with_unknown_keys(super().model_schema(schema), schema)

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _with_unknown_keys(super().dataclass_schema(schema), schema)

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _with_unknown_keys(super().typed_dict_schema(schema), schema)


def _with_unknown_keys(described: JsonSchemaValue, schema: Mapping[str, Any]) -> JsonSchemaValue:
    if described.get("type") != "object" or schema.get("root_model"):
        return described
    extra = schema.get("extra_behavior") or cast("CoreConfig", schema["config"]).get("extra_fields_behavior")
    taken = described.get("additionalProperties")
    return {**described, "additionalProperties": False if extra == "forbid" else taken or True}


def _plain(node: JsonValue, definitions: dict[str, JsonValue], parents: tuple[str, ...], cyclic: set[str]) -> JsonValue:
    if isinstance(node, list):
        return [_plain(item, definitions, parents, cyclic) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        name = reference.rsplit("/", 1)[-1]
        if name in parents:
            cyclic.add(name)
            return node
        merged = {**cast("JsonObject", definitions[name]), **{key: node[key] for key in node if key != "$ref"}}
        return _plain(cast("JsonValue", merged), definitions, (*parents, name), cyclic)
    plain: dict[str, Any] = {}
    for key, value in node.items():
        if key in {"properties", "patternProperties"} and isinstance(value, dict):
            plain[key] = {name: _plain(inner, definitions, parents, cyclic) for name, inner in value.items()}
        elif key in {"enum", "const", "default", "examples"}:
            plain[key] = value
        elif key not in {"title", "discriminator"}:
            plain[key] = _plain(value, definitions, parents, cyclic)
    return plain
