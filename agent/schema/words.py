"""Format the rules of a schema as phrases that can follow "must be"; validates nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from .exact import JsonObject
from .keywords import ANNOTATIONS

PHRASE_CHARS = 200
_MAX_NAMES = 6
_TYPES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "a string with at least {} characters",
    "maxLength": "a string with at most {} characters",
    "minItems": "an array with at least {} items",
    "maxItems": "an array with at most {} items",
    "minProperties": "an object with at least {} keys",
    "maxProperties": "an object with at most {} keys",
}


def type_words(value: JsonValue) -> str:
    """Return the phrase for a `type`: `an integer or null`."""
    names = value if isinstance(value, list) else [value]
    return " or ".join(_TYPES.get(str(name), str(name)) for name in names)


def option_words(options: list[JsonValue]) -> str:
    """Return the phrase for an `enum`."""
    return "one of " + ", ".join(compact(option) for option in options)


def limit_words(keyword: str, value: JsonValue) -> str:
    """Return the phrase for a bound."""
    words = _LIMITS[keyword].format(compact(value))
    return words.removesuffix("s") if value == 1 and keyword.startswith(("min", "max")) else words


def pattern_words(pattern: str) -> str:
    """Return the phrase for a `pattern`."""
    return shortened(f"a string that matches the pattern {pattern}")


def described(schema: JsonValue, definitions: Mapping[str, JsonValue]) -> str:
    """Return a short phrase for a whole schema. `definitions`: schemas by the reference to them."""
    for _ in range(10):
        if not isinstance(schema, dict) or "$ref" not in schema:
            break
        schema = definitions.get(str(schema["$ref"]), True)
    if not isinstance(schema, dict):
        return "nothing" if schema is False else "any value"
    return shortened(_described(schema, definitions))


def _described(schema: JsonObject, definitions: Mapping[str, JsonValue]) -> str:
    if "const" in schema:
        return compact(schema["const"])
    if isinstance(options := schema.get("enum"), list):
        return option_words(options)
    if "type" in schema:
        return _typed_words(schema)
    return _untyped_words(schema, definitions)


def _typed_words(schema: JsonObject) -> str:
    if schema["type"] == "object":
        return _object_words(schema)
    words = type_words(schema["type"])
    rules = [limit_words(key, schema[key]) for key in _LIMITS if key in schema]
    if isinstance(pattern := schema.get("pattern"), str):
        rules.append(pattern_words(pattern))
    rules = [rule.removeprefix(f"{words} ") for rule in rules]
    return f"{words} {' and '.join(rules)}" if rules and isinstance(schema["type"], str) else words


def _untyped_words(schema: JsonObject, definitions: Mapping[str, JsonValue]) -> str:
    for keyword in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(keyword), list):
            return " or ".join(dict.fromkeys(described(branch, definitions) for branch in branches))
    if "properties" in schema or "required" in schema:
        return _object_words(schema)
    rules = {key: value for key, value in schema.items() if key not in ANNOTATIONS}
    if "not" in rules and len(rules) == 1:
        return f"something other than {described(rules['not'], definitions)}"
    return f"a value that satisfies {compact(rules)}" if rules else "any value"


def _object_words(schema: JsonObject) -> str:
    properties = cast("JsonObject", schema.get("properties", {}))
    names = cast("list[str]", schema.get("required", [])) or list(properties)
    shown: list[str] = []
    for name in names[:_MAX_NAMES]:
        inner = properties.get(name)
        is_fixed = isinstance(inner, dict) and "const" in inner
        shown.append(f"{name} {compact(inner['const'])}" if isinstance(inner, dict) and is_fixed else name)
    more = ", ..." if len(names) > _MAX_NAMES else ""
    return f"an object with {', '.join(shown)}{more}" if shown else "an object"


def compact(value: JsonValue) -> str:
    """Return a value as JSON, with the characters as they are."""
    return json.dumps(value, ensure_ascii=False)


def shortened(text: str) -> str:
    """Cut a phrase to 200 characters."""
    return text if len(text) <= PHRASE_CHARS else f"{text[: PHRASE_CHARS - 1]}…"
