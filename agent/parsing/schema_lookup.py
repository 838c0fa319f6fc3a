"""Query a JSON Schema: the schema at a path, and the smallest value that it accepts; validates nothing."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from typing import cast

from pydantic import JsonValue

from ..tooling.arguments import JsonObject, JsonPath


def schemas_at(root: JsonObject, path: JsonPath) -> tuple[JsonObject, ...]:
    """Return every branch of the schema that applies to this path; empty if the schema does not define it."""
    here = _branches(root, root)
    for part in path:
        here = tuple(branch for node in here for inner in _children(node, part) for branch in _branches(inner, root))
    return here


def excerpt(root: JsonObject, path: JsonPath, *, limit_chars: int = 400) -> str:
    """Return the schema at a path as compact JSON; empty if there is none."""
    options = schemas_at(root, path)
    if not options:
        return ""
    node: JsonObject = options[0] if len(options) == 1 else {"anyOf": list(options)}
    text = _compact(node)
    if len(text) > limit_chars:
        text = _compact(_without_descriptions(node))
    return text if len(text) <= limit_chars else f"{text[: limit_chars - 1]}…"


def allowed_names(root: JsonObject, path: JsonPath, *, like: str) -> tuple[str, ...]:
    """Return the keys that an object at this path may have, those that resemble `like` first."""
    names = list(dict.fromkeys(name for node in schemas_at(root, path) for name in _object(node.get("properties"))))
    by_lower = {name.lower(): name for name in names}
    close = [by_lower[name] for name in difflib.get_close_matches(like.lower(), list(by_lower), n=3, cutoff=0.5)]
    return (*close, *(name for name in names if name not in close))


def is_required(root: JsonObject, path: JsonPath) -> bool:
    """Return whether every object schema that contains the last part of the path requires that key."""
    parents = schemas_at(root, path[:-1])
    return all(path[-1] in cast("Sequence[JsonValue]", node.get("required", ())) for node in parents)


def minimal_example(root: JsonObject) -> JsonValue:
    """Build the smallest value that the schema should accept: required keys only, the first of each choice."""
    return _example(root, root, 0)


def _object(node: JsonValue) -> JsonObject:
    return node if isinstance(node, dict) else {}


def _resolved(node: JsonObject, root: JsonObject) -> JsonObject:
    for _ in range(20):  # a chain of references longer than this is a cycle
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return node
        target: JsonValue = root
        for part in reference[2:].split("/"):
            target = _object(target).get(part.replace("~1", "/").replace("~0", "~"))
        node = {**_object(target), **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _branches(node: JsonValue, root: JsonObject, depth: int = 0) -> tuple[JsonObject, ...]:
    if not isinstance(node, dict) or depth > 20:
        return ()
    plain = _resolved(node, root)
    choices = plain.get("anyOf") or plain.get("oneOf") or plain.get("allOf")
    if not isinstance(choices, list):
        return (plain,)
    rest: JsonObject = {key: value for key, value in plain.items() if key not in {"anyOf", "oneOf", "allOf"}}
    inner = tuple(branch for choice in choices for branch in _branches(choice, root, depth + 1))
    return (*inner, rest) if "properties" in rest else inner


def _children(node: JsonObject, part: str | int) -> list[JsonValue]:
    if isinstance(part, int):
        first = node.get("prefixItems")
        if isinstance(first, list) and part < len(first):
            return [first[part]]
        return [node.get("items")]
    known = _object(node.get("properties"))
    if part in known:
        return [known[part]]
    patterns = _object(node.get("patternProperties"))
    matching = [schema for pattern, schema in patterns.items() if re.search(pattern, part)]
    return matching or [node.get("additionalProperties")]


def _compact(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _without_descriptions(node: JsonValue, *, named: bool = False) -> JsonValue:
    """Drop descriptions and examples. `named`: the keys of this object are names, not keywords."""
    if isinstance(node, list):
        return [_without_descriptions(item) for item in node]
    if not isinstance(node, dict):
        return node
    remaining = {key: value for key, value in node.items() if named or key not in {"description", "examples"}}
    return {
        key: _without_descriptions(value, named=key == "properties" and not named) for key, value in remaining.items()
    }


_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "email": "name@example.org",
    "uri": "https://example.org",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def _example(node: JsonValue, root: JsonObject, depth: int) -> JsonValue:
    options = [option for option in _branches(node, root) if option.get("type") != "null"]
    if not options or depth > 20:
        return None
    schema = options[0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        choices = schema.get(key)
        if isinstance(choices, list) and choices:
            return choices[0]
    kind = schema.get("type")
    names = cast("list[str]", kind) if isinstance(kind, list) else [kind]
    kind = next((name for name in names if name != "null"), None)
    if kind == "object":
        required = cast("list[str]", schema.get("required", []))
        known = _object(schema.get("properties"))
        return {key: _example(known.get(key), root, depth + 1) for key in required}
    if kind == "array":
        count = schema.get("minItems", 0)
        items = [_children(schema, index)[0] for index in range(count if isinstance(count, int) else 0)]
        return [_example(item, root, depth + 1) for item in items]
    return _scalar_example(schema, kind)


def _scalar_example(schema: JsonObject, kind: JsonValue) -> JsonValue:
    if kind == "string":
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        text = _FORMATS.get(str(schema.get("format")), "text")
        padded = text.ljust(least if isinstance(least, int) else 0, "x")
        return padded[:most] if isinstance(most, int) else padded
    if kind in {"integer", "number"}:
        return _number_example(schema)
    return True if kind == "boolean" else None


def _number_example(schema: JsonObject) -> JsonValue:
    def bound(key: str) -> float | None:
        value = schema.get(key)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    low, above = bound("minimum"), bound("exclusiveMinimum")
    high, below = bound("maximum"), bound("exclusiveMaximum")
    step = bound("multipleOf") or 1
    floors = [floor for floor in (low, None if above is None else above + step) if floor is not None]
    tops = [top for top in (high, None if below is None else below - step) if top is not None]
    value = max(floors) if floors else min([step, *tops])
    rest = value % step
    value = value if rest == 0 else value + step - rest
    return int(value) if float(value).is_integer() else value
