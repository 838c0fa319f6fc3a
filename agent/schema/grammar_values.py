"""Decide which values of `enum` and `const` are sent: those that the grammar back-ends can have."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from pydantic import JsonValue

from .exact import JsonObject
from .merge import KINDS

MAX_INTEGER = 2**53
"""As a bound llguidance refuses -2**63 and what is above 2**63, and xgrammar what is beyond either; as a value neither
has an integer of 70 bits."""


def values_of(node: JsonObject) -> JsonObject:
    """Return `enum` or `const` if a grammar can have it; the rest of the schema cannot matter more to the model."""
    values = [node["const"]] if "const" in node else cast("list[JsonValue]", node.get("enum", []))
    if not values or not all(map(_is_plain, values)):
        return {}
    stated = node.get("type")
    kinds = cast("list[str]", stated if isinstance(stated, list) else [stated] if stated else list(KINDS))
    fitting = [value for value in values if is_of(value, kinds)]
    out: JsonObject = {"type": stated} if stated and fitting else {}
    return {**out, **({"const": node["const"]} if "const" in node else {"enum": fitting or values})}


def _is_plain(value: JsonValue) -> bool:
    """Return whether grammars have this value: xgrammar reads integers as 64 bits, and no text has half a surrogate."""
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, (list, dict)):
        return all(map(_is_plain, value if isinstance(value, list) else (*value, *value.values())))
    return value is None or abs(value) <= MAX_INTEGER


def is_of(value: JsonValue, kinds: Collection[str]) -> bool:
    """Return whether a value has one of these JSON types."""
    match value:
        case None:
            found = {"null"}
        case bool():
            found = {"boolean"}
        case int() | float():
            found = {"number", "integer"} if float(value).is_integer() else {"number"}
        case str():
            found = {"string"}
        case list():
            found = {"array"}
        case _:
            found = {"object"}
    return bool(found & set(kinds))
