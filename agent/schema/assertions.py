"""Compile the keywords of JSON Schema that judge a value by itself: types, numbers, texts, sizes, names."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue

from . import patterns
from .compiled import Check, Mismatch, Rule, Seen
from .exact import JsonObject, JsonPath, SpelledNumber, exact, identity, is_integral, is_multiple
from .words import compact, limit_words, option_words, pattern_words, type_words

NUMBERS: tuple[type, ...] = (int, float, SpelledNumber)
ALL: tuple[type, ...] = (*NUMBERS, bool, str, list, dict, type(None))
_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": NUMBERS,
    "object": (dict,),
    "string": (str,),
}
_STEPS_PER_PATTERN_WORK = 1_000


def type_rules(value: JsonValue) -> dict[type, Rule]:
    """Return the rules of `type`, by the type of value that they apply to; the types that fit have none."""
    names = cast("list[str]", value) if isinstance(value, list) else [str(value)]
    allowed = {kind for name in names for kind in _TYPES.get(name, ())}
    refuse = _rule(lambda _: False, type_words(value), problem="type")
    rules: dict[type, Rule] = dict.fromkeys((kind for kind in ALL if kind not in allowed), refuse)
    if "integer" in names and "number" not in names:

        def integral(number: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
            if is_integral(cast("float", number)):
                check.integers.add(id(number))
                return []
            return refuse(number, path, check, seen)

        rules |= {float: integral, SpelledNumber: integral}
    return rules


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedRule:
    """A rule with the types of value that it applies to."""

    kinds: tuple[type, ...]
    rule: Rule


def assertion(keyword: str, value: JsonValue) -> TypedRule | None:
    """Return the rule of a keyword; None for one that this module does not know."""
    if keyword in {"enum", "const"}:
        options = cast("list[JsonValue]", value) if keyword == "enum" else [value]
        return TypedRule(kinds=ALL, rule=_options(options))
    if keyword in _BOUNDS:
        return TypedRule(kinds=NUMBERS, rule=_bound(keyword, cast("float", value)))
    if keyword in _SIZES:
        return TypedRule(kinds=(_SIZES[keyword],), rule=_size_limit(keyword, cast("float", value)))
    make = _OTHERS.get(keyword)
    return None if make is None else make(value)


def _size_limit(keyword: str, limit: float) -> Rule:
    expected = limit_words(keyword, limit)
    if keyword.startswith("min"):
        return _rule(lambda found: len(cast("str", found)) >= limit, expected)
    return _rule(lambda found: len(cast("str", found)) <= limit, expected)


def _rule(fits: Callable[[JsonValue], bool], expected: str, *, problem: str = "value") -> Rule:
    kind = "type" if problem == "type" else "value"

    def rule(value: JsonValue, path: JsonPath, _check: Check, _seen: Seen) -> list[Mismatch]:
        return [] if fits(value) else [Mismatch(path=path, problem=kind, expected=expected, sent=value)]

    return rule


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}
_SIZES: dict[str, type] = {
    "minLength": str,
    "maxLength": str,
    "minItems": list,
    "maxItems": list,
    "minProperties": dict,
    "maxProperties": dict,
}


def _bound(keyword: str, limit: float) -> Rule:
    fits, edge = _BOUNDS[keyword], exact(limit)
    if is_integral(limit):
        edge = int(edge)  # compares faster

    def holds(found: JsonValue) -> bool:
        return fits(found if isinstance(found, int) else exact(cast("float", found)), edge)

    return _rule(holds, limit_words(keyword, limit))


def _options(options: list[JsonValue]) -> Rule:
    known = {identity(option) for option in options}
    expected = option_words(options) if len(options) != 1 else compact(options[0])

    def rule(value: JsonValue, path: JsonPath, check: Check, _seen: Seen) -> list[Mismatch]:
        if _counted_identity(value, check) in known:
            return []
        return [Mismatch(path=path, problem="value", expected=expected, sent=value, is_tag=len(options) == 1)]

    return rule


def _counted_identity(value: JsonValue, check: Check) -> Hashable:
    if isinstance(value, (dict, list)):
        check.spend(_size(value) // 2)
    return identity(value)


def _size(value: JsonValue) -> int:
    if isinstance(value, dict):
        return 1 + sum(_size(item) for item in value.values())
    return 1 + sum(_size(item) for item in value) if isinstance(value, list) else 1


def _pattern(pattern: str) -> Rule:
    compiled = patterns.compiled(pattern)
    expected = pattern_words(pattern)

    def rule(value: JsonValue, path: JsonPath, check: Check, _seen: Seen) -> list[Mismatch]:
        text = cast("str", value)
        check.spend(compiled.work(text) // _STEPS_PER_PATTERN_WORK)
        verdict = compiled.match(text)
        if verdict in {"matches", "unknown"}:
            return []
        words = expected
        if verdict == "too_long":
            words = f"a string with at most {compiled.max_chars} characters, since its pattern is slow to check"
        return [Mismatch(path=path, problem="value", expected=words, sent=value)]

    return rule


def _unique(is_wanted: JsonValue) -> TypedRule:
    return TypedRule(kinds=(list,) if is_wanted is True else (), rule=_unique_items)


def _unique_items(value: JsonValue, path: JsonPath, check: Check, _seen: Seen) -> list[Mismatch]:
    first: dict[Hashable, int] = {}
    for index, item in enumerate(cast("list[JsonValue]", value)):
        check.spend(1)
        known = first.setdefault(_counted_identity(item, check), index)
        if known != index:
            expected = f"an array without equal items; items {known} and {index} are equal"
            return [Mismatch(path=path, problem="value", expected=expected, sent=value)]
    return []


def _required(names: list[str]) -> Rule:
    def rule(value: JsonValue, path: JsonPath, _check: Check, _seen: Seen) -> list[Mismatch]:
        members = cast("JsonObject", value)
        return [_missing(path, name) for name in names if name not in members]

    return rule


def _dependent_required(needed: dict[str, list[str]]) -> Rule:
    def rule(value: JsonValue, path: JsonPath, _check: Check, _seen: Seen) -> list[Mismatch]:
        members = cast("JsonObject", value)
        missing = [name for key, names in needed.items() if key in members for name in names if name not in members]
        return [_missing(path, name) for name in dict.fromkeys(missing)]

    return rule


def _missing(path: JsonPath, name: str) -> Mismatch:
    return Mismatch(path=(*path, name), problem="missing", expected="a value")


_OTHERS: dict[str, Callable[[JsonValue], TypedRule]] = {
    "pattern": lambda value: TypedRule(kinds=(str,), rule=_pattern(str(value))),
    "uniqueItems": _unique,
    "multipleOf": lambda step: TypedRule(
        kinds=NUMBERS,
        rule=_rule(
            lambda found: is_multiple(cast("float", found), cast("float", step)), limit_words("multipleOf", step)
        ),
    ),
    "required": lambda value: TypedRule(kinds=(dict,), rule=_required(cast("list[str]", value))),
    "dependentRequired": lambda value: TypedRule(
        kinds=(dict,), rule=_dependent_required(cast("dict[str, list[str]]", value))
    ),
}
