"""Read, compare and judge JSON values exactly and independently of the product: the ground under the bench's oracle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, cast

import jsonschema

Json = Any
"""A JSON value; a number with a fraction or exponent is a Decimal, so that its spelling decides."""


class NotJson(ValueError):
    """Raised for text that is not exactly one JSON value with unique keys."""


def exact(text: str) -> Json:
    """Parse JSON text; keeps every digit.

    Raises:
        NotJson: it is not strict JSON, a key occurs twice, or an integer has more digits than Python converts.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise NotJson(str(error)) from error


def text_of(value: Json) -> str:
    """Return JSON text; a Decimal keeps its spelling."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {text_of(value[key])}" for key in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _no_constant(name: str) -> Json:
    raise NotJson(name)


def _unique(pairs: list[tuple[str, Json]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJson("a key occurs twice")
    return members


def same(expected: Json, arrived: Json) -> bool:
    """Return whether a value arrived exactly as it was sent.

    Numbers are equal if they have the same value. A float has the value of its shortest spelling, so 0.1 arrived as
    sent, but 9007199254740993.0 did not: its nearest float is spelt 9007199254740992.0. True is not 1.
    """
    if isinstance(expected, Mapping):
        return (
            isinstance(arrived, Mapping)
            and expected.keys() == arrived.keys()
            and all(same(value, arrived[key]) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(arrived, (list, tuple))
            and len(expected) == len(arrived)
            and all(same(one, other) for one, other in zip(expected, arrived, strict=True))
        )
    first, second = _number(expected), _number(arrived)
    if first is not None or second is not None:
        return first is not None and second is not None and first == second
    return type(expected) is type(arrived) and expected == arrived


def rounded(expected: Json, arrived: Json) -> bool:
    """Return whether the values differ only in fractions with more digits than a float holds, rounded to the nearest.

    A whole number must never be rounded, nor may a fraction become a whole number.
    """
    return same(_nearest(expected), arrived)


def _number(value: Json) -> Decimal | int | None:
    if isinstance(value, float):
        return Decimal(repr(value))
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def _nearest(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _nearest(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nearest(item) for item in value]
    if isinstance(value, Decimal) and abs(value.adjusted()) < 300 and value != value.to_integral_value():
        nearest = float(value)
        return value if nearest.is_integer() else nearest
    return value


def obeys(value: Json, schema: Json) -> bool:
    """Return whether the value is valid; `schema` is one of ours: closed objects, no references, no patterns."""
    validator = _validator(json.dumps(schema, sort_keys=True))
    return cast("bool", cast("Any", validator).is_valid(_plain(value)))


@lru_cache(maxsize=8)
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema))


def _plain(value: Json) -> Json:
    """Replace each Decimal by an int if it is one; otherwise by a float, which jsonschema can compare."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        if abs(value.adjusted()) > 400:
            return 10**400 if value.adjusted() > 0 and value == value.to_integral_value() else 0.5
        return int(value) if value == value.to_integral_value() else _unequal_float(value)
    return value


def _unequal_float(value: Decimal) -> float:
    found = float(value)
    return found if found != int(found) else int(found) + 0.5  # so that 5.0000000000000001 is not taken for 5


Path = tuple[str | int, ...]


def at(value: Json, path: Iterable[str | int]) -> Json:
    """Return the value at a path."""
    for part in path:
        value = value[part]
    return value


def replaced(value: Json, path: Path, new: Json) -> Json:
    """Return a copy with another value at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[cast("Any", path[0])] = replaced(copy[cast("Any", path[0])], path[1:], new)
    return copy


def without(value: Json, path: Path) -> Json:
    """Return a copy without the member at a path."""
    if len(path) == 1:
        return {key: item for key, item in value.items() if key != path[0]}
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[cast("Any", path[0])] = without(copy[cast("Any", path[0])], path[1:])
    return copy


def schema_at(schema: Json, path: Path) -> Json:
    """Return the schema of a place; an empty one if the schema does not describe it."""
    for part in path:
        if not isinstance(schema, Mapping):
            return {}
        known = schema.get("properties", {})
        schema = known.get(part, {}) if isinstance(part, str) else schema.get("items", {})
    return schema if isinstance(schema, Mapping) else {}


def leaves(value: Json, path: Path = ()) -> list[Path]:
    """Return the path of each text, number, truth value and null."""
    if isinstance(value, Mapping):
        return [found for key, item in value.items() for found in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in leaves(item, (*path, index))]
    return [path]


def floats_for_integers(value: Json, schema: Json) -> bool:
    """Return whether a float arrived where the schema says integer."""
    if isinstance(value, Mapping):
        return any(floats_for_integers(item, schema_at(schema, (key,))) for key, item in value.items())
    if isinstance(value, list):
        return any(floats_for_integers(item, schema_at(schema, (0,))) for item in value)
    return isinstance(value, float) and schema.get("type") == "integer"
