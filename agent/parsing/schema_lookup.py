"""Query a tool's schema: what applies at a path, and the smallest value that it accepts; validates nothing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from pydantic import JsonValue

from ..schema import patterns
from ..tooling.arguments import JsonObject, JsonPath


def schemas_at(root: JsonObject, path: JsonPath) -> tuple[JsonObject, ...]:
    """Return every schema that may apply at this path, without the choices in it; empty if none is defined."""
    here = _parts([root], root)
    for part in path:
        here = _parts((inner for node in here for inner in _children(node, part)), root)
    return tuple(here)


def excerpt(root: JsonObject, path: JsonPath, *, limit_chars: int = 400) -> str:
    """Return the schema at a path as compact JSON; empty if there is none."""
    nodes: list[JsonValue] = [root]
    for part in path:
        nodes = [inner for node in _parts(nodes, root) for inner in _children(node, part)]
    options = [_inlined(node, root, 0) for node in nodes if isinstance(node, dict)]
    options = [option for index, option in enumerate(options) if option and option not in options[:index]]
    if not options:
        return ""
    node: JsonValue = options[0] if len(options) == 1 else {"anyOf": cast("list[JsonValue]", options)}
    text = _compact(node)
    if len(text) > limit_chars:
        text = _compact(_without_descriptions(node))
    return text if len(text) <= limit_chars else f"{text[: limit_chars - 1]}…"


def allowed_names(root: JsonObject, path: JsonPath, *, like: str) -> tuple[str, ...]:
    """Return the keys that an object at this path may have, those that resemble `like` first."""
    properties = (_object(node.get("properties")) for node in schemas_at(root, path))
    names = list(dict.fromkeys(name for known in properties for name, inner in known.items() if inner is not False))
    by_lower = {name.lower(): name for name in names}
    close = [by_lower[name] for name in difflib.get_close_matches(like.lower(), list(by_lower), n=3, cutoff=0.5)]
    return (*close, *(name for name in names if name not in close))


def is_required(root: JsonObject, path: JsonPath) -> bool:
    """Return whether an object schema that may apply requires the last part of the path, or none is known."""
    parents = schemas_at(root, path[:-1])
    return not parents or any(path[-1] in cast("Sequence[JsonValue]", node.get("required", ())) for node in parents)


def minimal_example(root: JsonObject) -> JsonValue:
    """Build the smallest value that the schema should accept: required keys only, the first of each choice."""
    return _Example(root).of(root)


_CHOICES = ("anyOf", "oneOf", "allOf")
_CONDITIONAL = ("then", "else")
_APPLICATORS = frozenset({*_CHOICES, *_CONDITIONAL, "$ref", "if", "dependentSchemas", "$defs"})
_MAX_PARTS = 300


def _object(node: JsonValue) -> JsonObject:
    return node if isinstance(node, dict) else {}


def _list(node: JsonValue) -> list[JsonValue]:
    return node if isinstance(node, list) else []


def _target(reference: JsonValue, root: JsonObject) -> JsonValue:
    if reference == "#":
        return root
    here: JsonValue = root
    for part in str(reference).removeprefix("#/").split("/"):
        here = _object(here).get(part.replace("~1", "/").replace("~0", "~"))
    return here


def _parts(nodes: Iterable[JsonValue], root: JsonObject) -> list[JsonObject]:
    """Return what the schemas say themselves, and what every schema says that they apply to the same value."""
    waiting = list(nodes)[::-1]
    found: list[JsonObject] = []
    known: set[int] = set()
    while waiting and len(known) < _MAX_PARTS:
        node = waiting.pop()
        if not isinstance(node, dict) or id(node) in known:
            continue
        known.add(id(node))
        waiting += list(_applied(node, root))[::-1]
        own = {key: value for key, value in node.items() if key not in _APPLICATORS}
        if own.keys() - {"title", "description", "default", "examples"} or own.keys() == node.keys():
            found.append(own)
    return found


def _applied(node: JsonObject, root: JsonObject) -> Iterator[JsonValue]:
    if "$ref" in node:
        yield _target(node["$ref"], root)
    for keyword in _CHOICES:
        yield from _list(node.get(keyword))
    for keyword in _CONDITIONAL:
        yield node.get(keyword)
    yield from _object(node.get("dependentSchemas")).values()


def _inlined(node: JsonObject, root: JsonObject, depth: int) -> JsonObject:
    """Return a schema with the references resolved that apply to the same value."""
    shown: JsonObject = {key: value for key, value in node.items() if key not in {"$ref", "$defs"}}
    target = _target(node["$ref"], root) if "$ref" in node and depth < 5 else None
    if isinstance(target, dict):
        shown = {**_inlined(target, root, depth + 1), **shown}
    for keyword in _CHOICES:
        if keyword in node:
            branches = _list(node[keyword])
            shown[keyword] = [_inlined(item, root, depth + 1) if isinstance(item, dict) else item for item in branches]
    return shown


def _children(node: JsonObject, part: str | int) -> list[JsonValue]:
    if isinstance(part, int):
        first = node.get("prefixItems")
        if isinstance(first, list) and part < len(first):
            return [first[part]]
        return [node.get("items")]
    known = _object(node.get("properties"))
    if part in known:
        return [known[part]]
    by_pattern = _object(node.get("patternProperties"))
    matching = [schema for pattern, schema in by_pattern.items() if _may_match(pattern, part)]
    return matching or [node.get("additionalProperties")]


def _may_match(pattern: str, name: str) -> bool:
    return patterns.compiled(pattern).match(name) in {"matches", "unknown"}


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


_MAX_EXAMPLE = 200
"""An example with more values in it would help nobody, and one of a recursive schema might never end."""


class _Example:
    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._left = _MAX_EXAMPLE

    def of(self, node: JsonValue) -> JsonValue:
        """Return the smallest value; None if there is no room left for it."""
        self._left -= 1
        if self._left < 0 or not isinstance(node, dict):
            return None
        schema = self._merged(node)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        for key in ("enum", "examples"):
            if choices := _list(schema.get(key)):
                return choices[0]
        kind = schema.get("type")
        names = kind if isinstance(kind, list) else [kind]
        kind = next((name for name in names if name != "null"), None)
        if kind == "object" or (kind is None and "properties" in schema):
            known = _object(schema.get("properties"))
            return {str(key): self.of(known.get(str(key), {})) for key in _list(schema.get("required"))}
        if kind == "array":
            count = schema.get("minItems", 0)
            indexes = range(min(count, _MAX_EXAMPLE) if isinstance(count, int) else 0)
            return [self.of(_children(schema, index)[0]) for index in indexes]
        return _scalar_example(schema, kind)

    def _merged(self, node: JsonObject) -> JsonObject:
        """Return one schema for all that apply to a value, with the first branch of each choice that is not null."""
        merged: JsonObject = {}
        waiting: list[JsonValue] = [node]
        for _ in range(_MAX_PARTS):
            if not waiting:
                break
            here = _object(waiting.pop(0))
            if "$ref" in here:
                waiting.append(_target(here["$ref"], self._root))
            waiting += _list(here.get("allOf"))
            for keyword in ("anyOf", "oneOf"):
                branches = [one for one in _list(here.get(keyword)) if _object(one).get("type") != "null"]
                waiting += branches[:1]
            own: JsonObject = {key: value for key, value in here.items() if key not in _APPLICATORS}
            own["properties"] = {**_object(merged.get("properties")), **_object(here.get("properties"))}
            own["required"] = list({**dict.fromkeys(_names(merged)), **dict.fromkeys(_names(here))})
            merged |= own
        return {key: value for key, value in merged.items() if value or key not in {"properties", "required"}}


def _names(schema: JsonObject) -> list[str]:
    return [str(name) for name in _list(schema.get("required"))]


def _scalar_example(schema: JsonObject, kind: JsonValue) -> JsonValue:
    if kind == "string":
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        text = _FORMATS.get(str(schema.get("format")), "text")
        padded = text.ljust(min(least, _MAX_EXAMPLE) if isinstance(least, int) else 0, "x")
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
