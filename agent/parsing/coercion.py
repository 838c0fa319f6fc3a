"""Coerce values to the types their schema requires, losslessly only; every change is named, none is guessed."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue

from ..tooling import numbers
from ..tooling.arguments import Issue, JsonObject, JsonPath, place_of
from .repair import Parsed, parse_object
from .schema_lookup import is_required, schemas_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Coerced:
    """Arguments after one round of coercions."""

    value: JsonObject
    changes: tuple[str, ...]
    """Name and place of each change, such as `string_to_integer $.lines`. Empty means nothing could be changed."""


def coerce(value: JsonObject, issues: Iterable[Issue], schema: JsonObject) -> Coerced:
    """Coerce the values that the issues name, where the schema allows exactly one lossless conversion.

    Never converts between bool and number, never rounds, never adds a value or drops one that has a meaning.
    """
    coerced = copy.deepcopy(value)
    changes: list[str] = []
    for issue in {issue.path: issue for issue in issues if issue.problem in {"type", "value"}}.values():
        change = _coerce_at(coerced, issue.path, schema)
        if change is not None:
            changes.append(f"{change} {issue.place}")
    return Coerced(value=coerced, changes=tuple(changes))


def integers_taken(sent: JsonObject, taken: object) -> Coerced:
    """List the numbers such as 3.0 that a check took for integers.

    Args:
        sent: the arguments as sent.
        taken: what the check returned for them; anything but an object of JSON values says nothing.
    """
    changes: list[str] = []
    value = _with_integers(sent, taken, (), changes)
    return Coerced(value=cast("JsonObject", value), changes=tuple(changes))


def _with_integers(sent: JsonValue, taken: object, path: JsonPath, changes: list[str]) -> JsonValue:
    if isinstance(sent, dict) and isinstance(taken, dict):
        members = cast("dict[str, object]", taken)
        return {key: _with_integers(item, members.get(key), (*path, key), changes) for key, item in sent.items()}
    if isinstance(sent, list) and isinstance(taken, list) and len(sent) == len(cast("list[object]", taken)):
        items = zip(sent, cast("list[object]", taken), strict=True)
        return [_with_integers(item, inner, (*path, index), changes) for index, (item, inner) in enumerate(items)]
    if isinstance(sent, float) and isinstance(taken, int):
        changes.append(f"float_to_integer {place_of(path)}")
        return taken
    return sent


def _coerce_at(root: JsonObject, path: JsonPath, schema: JsonObject) -> str | None:
    if not path:
        return None
    parent: Any = root
    for part in path[:-1]:
        parent = parent[part]
    sent: JsonValue = parent[path[-1]]
    if sent is None:
        if not _may_be_left_out(path, schema):
            return None
        del parent[path[-1]]
        return "null_left_out"
    conversions = {
        numbers.dumps(conversion.value): conversion
        for branch in schemas_at(schema, path)
        for conversion in _conversions(sent, branch)
        if conversion.value is not sent
    }
    # 3.0 is an integer to JSON Schema, so it is one here even where a text would do too.
    integers = [conversion for conversion in conversions.values() if conversion.name == "float_to_integer"]
    options = integers or list(conversions.values())
    if len(options) != 1:
        return None
    (only,) = options
    parent[path[-1]] = only.value
    return only.name


def _may_be_left_out(path: JsonPath, schema: JsonObject) -> bool:
    """Return whether the key is an optional property. A key of a free-form object says something by being there."""
    parents = schemas_at(schema, path[:-1])
    declared = [node for node in parents if path[-1] in cast("JsonObject", node.get("properties", {}))]
    free = (node for node in parents if node not in declared)
    is_free = any(node.get("additionalProperties") or "patternProperties" in node for node in free)
    return bool(declared) and not is_free and not is_required(schema, path)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Conversion:
    name: str
    value: JsonValue


def _conversions(sent: JsonValue, branch: JsonObject) -> list[_Conversion]:
    """Return the lossless conversions to what the branch requires, at most one per type that it names."""
    choices = branch.get("enum", [branch["const"]] if "const" in branch else None)
    if isinstance(choices, list) and isinstance(sent, str):
        plain = sent.strip().casefold()
        same = [choice for choice in choices if isinstance(choice, str) and choice.strip().casefold() == plain]
        if same:
            return [_Conversion(name="enum_spelling", value=choice) for choice in same]
    kind = branch.get("type", "number" if isinstance(sent, float) else None)
    kinds = cast("list[str]", kind) if isinstance(kind, list) else [str(kind)]
    converted = (_CONVERTERS[name](sent) for name in kinds if name in _CONVERTERS)
    return [conversion for conversion in converted if conversion is not None]


_INTEGER = re.compile(r"0|-?[1-9]\d{0,299}", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,299})(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def _to_integer(sent: JsonValue) -> _Conversion | None:
    if isinstance(sent, str) and _INTEGER.fullmatch(sent):
        return _Conversion(name="string_to_integer", value=int(sent))
    written = numbers.as_integer(sent) if isinstance(sent, float) else None
    return None if written is None else _Conversion(name="float_to_integer", value=written)


def _to_number(sent: JsonValue) -> _Conversion | None:
    if isinstance(sent, float) and not numbers.is_exact(sent):
        return _to_integer(sent)  # 9007199254740993.0 is no float
    if not isinstance(sent, str) or not _NUMBER.fullmatch(sent):
        return None
    value = int(sent) if _INTEGER.fullmatch(sent) else numbers.SpelledFloat(sent)
    if isinstance(value, float) and numbers.is_exact(value):
        value = float(value)
    return _Conversion(name="string_to_number", value=value) if abs(value) < float("inf") else None


def _to_string(sent: JsonValue) -> _Conversion | None:
    if isinstance(sent, int | float) and not isinstance(sent, bool):
        return _Conversion(name="number_to_string", value=numbers.spelling_of(sent))
    return None


def _to_boolean(sent: JsonValue) -> _Conversion | None:
    words = {"true": True, "false": False}
    if isinstance(sent, str) and sent.lower() in words:
        return _Conversion(name="string_to_boolean", value=words[sent.lower()])
    return None


def _to_container(kind: type, name: str) -> Callable[[JsonValue], _Conversion | None]:
    def convert(sent: JsonValue) -> _Conversion | None:
        if not isinstance(sent, str):
            return None
        found = parse_object(f'{{"inner":{sent}}}')
        if isinstance(found, Parsed) and not found.repairs and set(found.value) == {"inner"}:
            inner = found.value["inner"]
            return _Conversion(name=name, value=inner) if isinstance(inner, kind) else None
        return None

    return convert


_CONVERTERS: dict[str, Callable[[JsonValue], _Conversion | None]] = {
    "integer": _to_integer,
    "number": _to_number,
    "string": _to_string,
    "boolean": _to_boolean,
    "array": _to_container(list, "json_text_to_array"),
    "object": _to_container(dict, "json_text_to_object"),
}
