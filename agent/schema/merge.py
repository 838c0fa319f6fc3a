"""Merge the schemas of an `allOf` into one that allows all that they allow together, and perhaps more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from pydantic import JsonValue

from .exact import JsonObject
from .keywords import ANNOTATIONS

KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")
_TOGETHER = ({"prefixItems", "items"}, {"if", "then", "else"}, {"contains", "minContains", "maxContains"})
"""Keywords of which one decides what another is about; all come from the same schema."""


def merged(schema: JsonObject, definitions: Mapping[str, JsonValue], may_inline: Callable[[str], bool]) -> JsonObject:
    """Return a schema without `allOf`, in which `$ref` stands alone; the same object if it is one already.

    What several schemas say of the same value is combined where that is simple; else the first one counts.

    Args:
        schema: The schema. What is inside of its properties and items stays as it is.
        definitions: Targets of `#/$defs/NAME`.
        may_inline: Asked before each target is written out in place of its reference, by its name. If one may not be,
            the reference counts and what is beside it does not.
    """
    if "allOf" not in schema and ("$ref" not in schema or not schema.keys() - ANNOTATIONS - {"$ref", "$defs"}):
        return schema
    annotations = {key: value for key, value in schema.items() if key in ANNOTATIONS}
    rules = [part for part in _parts(schema) if part.keys() - ANNOTATIONS]
    if len(rules) == 1 and "$ref" in rules[0]:
        return {**rules[0], **annotations}
    out = dict(annotations)
    for part in rules:
        if "$ref" in part and not may_inline(_name(part)):
            return {**part, **annotations}
        for inlined in _inlined(part, definitions, may_inline):
            _add(out, inlined)
    return out


def _parts(schema: JsonObject) -> Iterator[JsonObject]:
    """Yield the schemas that apply together, each without `allOf`, and references alone."""
    yield {key: value for key, value in schema.items() if key not in {"allOf", "$ref"}}
    if "$ref" in schema:
        yield {"$ref": schema["$ref"]}
    for branch in cast("list[JsonValue]", schema.get("allOf", [])):
        if isinstance(branch, dict):
            yield from _parts(branch)


def _name(part: JsonObject) -> str:
    return str(part["$ref"]).removeprefix("#/$defs/")


def _inlined(
    part: JsonObject, definitions: Mapping[str, JsonValue], may_inline: Callable[[str], bool]
) -> Iterator[JsonObject]:
    """Yield what a part means, without the references in it that may not be inlined."""
    if "$ref" not in part:
        yield part
        return
    target = definitions.get(_name(part))
    for inner in _parts(target) if isinstance(target, dict) else ():
        if "$ref" not in inner or may_inline(_name(inner)):
            yield from _inlined(inner, definitions, may_inline)


def _add(out: JsonObject, part: JsonObject) -> None:
    before = frozenset(out)
    for key, value in part.items():
        if any(key in group and group & before for group in _TOGETHER):
            continue
        out[key] = _COMBINED.get(key, _first)(out[key], value) if key in out else value


def _first(first: JsonValue, _: JsonValue) -> JsonValue:
    return first


def _both(first: JsonValue, second: JsonValue) -> JsonValue:
    """Combine maps of schemas: a name in both stands for what both say."""
    left, right = cast("JsonObject", first), cast("JsonObject", second)
    same: JsonObject = {
        name: {"allOf": [left[name], right[name]]} for name in left if name in right and left[name] != right[name]
    }
    return {**right, **left, **same}


def _names(first: JsonValue, second: JsonValue) -> JsonValue:
    return list(dict.fromkeys([*cast("list[str]", first), *cast("list[str]", second)]))


def _types(first: JsonValue, second: JsonValue) -> JsonValue:
    left, right = (
        kinds | {"integer"} if "number" in kinds else kinds
        for kinds in ({one} if isinstance(one, str) else set(cast("list[str]", one)) for one in (first, second))
    )
    both = left & right
    found = [kind for kind in KINDS if kind in both and not (kind == "integer" and "number" in both)]
    return (found[0] if len(found) == 1 else cast("list[JsonValue]", found)) if found else first


def _options(first: JsonValue, second: JsonValue) -> JsonValue:
    others = cast("list[JsonValue]", second)
    return [value for value in cast("list[JsonValue]", first) if value in others] or first


def _narrower(first: JsonValue, second: JsonValue) -> JsonValue:
    """Combine `additionalProperties`: false where one is; a name that neither knows is then refused by that one."""
    if first is False or second is False:
        return False
    return second if first is True else first


_COMBINED: Mapping[str, Callable[[Any, Any], JsonValue]] = {
    "properties": _both,
    "required": _names,
    "type": _types,
    "enum": _options,
    "additionalProperties": _narrower,
    "minimum": max,
    "exclusiveMinimum": max,
    "minLength": max,
    "minItems": max,
    "maximum": min,
    "exclusiveMaximum": min,
    "maxLength": min,
    "maxItems": min,
}
