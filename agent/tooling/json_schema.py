"""Write a pydantic model's JSON Schema the way a small grammar and a small model like it: inlined, without titles."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, JsonValue
from pydantic.errors import PydanticInvalidForJsonSchema

from ..errors import ConfigError
from .arguments import JsonObject


def plain_schema(model: type[BaseModel]) -> JsonObject:
    """Return the model's schema; `$ref`s are inlined (vLLM leaves nested `$defs` unconstrained, its PR 47175) except
    where a type holds itself, titles that repeat the names are dropped, and every object refuses unknown keys.

    Raises:
        ConfigError: pydantic cannot describe the model as JSON Schema.
    """
    try:
        schema = cast("JsonObject", model.model_json_schema())
    except PydanticInvalidForJsonSchema as error:
        reason = str(error).splitlines()[0]
        msg = f"Tool {model.__name__!r}: its parameters cannot become a JSON Schema: {reason}"
        raise ConfigError(msg) from error
    definitions = cast("dict[str, JsonValue]", schema.pop("$defs", {}))
    kept: set[str] = set()
    plain = cast("JsonObject", _plain(schema, definitions, (), kept))
    plain.pop("description", None)  # the tool's own description says it already
    if kept:
        plain["$defs"] = {name: _plain(definitions[name], definitions, (name,), kept) for name in sorted(kept)}
    plain.setdefault("properties", {})
    return plain


def _plain(node: JsonValue, definitions: dict[str, JsonValue], inside: tuple[str, ...], kept: set[str]) -> JsonValue:
    if isinstance(node, list):
        return [_plain(item, definitions, inside, kept) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        name = reference.rsplit("/", 1)[-1]
        if name in inside:
            kept.add(name)
            return node
        merged = {**cast("JsonObject", definitions[name]), **{key: node[key] for key in node if key != "$ref"}}
        return _plain(cast("JsonValue", merged), definitions, (*inside, name), kept)
    plain: dict[str, Any] = {}
    for key, value in node.items():
        if key in {"properties", "patternProperties"} and isinstance(value, dict):
            plain[key] = {name: _plain(inner, definitions, inside, kept) for name, inner in value.items()}
        elif key in {"enum", "const", "default", "examples"}:
            plain[key] = value
        elif key not in {"title", "discriminator"}:
            plain[key] = _plain(value, definitions, inside, kept)
    if plain.get("type") == "object" and "properties" in plain:
        plain.setdefault("additionalProperties", False)
    return plain
