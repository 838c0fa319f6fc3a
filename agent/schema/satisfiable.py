"""Find schemas that no value can satisfy; what it reports is certain, what it does not find may still be so."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

from pydantic import JsonValue

from .exact import JsonObject, exact
from .keywords import children, place_of
from .validator import Validator
from .words import compact, option_words, shortened, type_words

_KINDS = frozenset({"array", "boolean", "fraction", "integer", "null", "object", "string"})
_MAX_PARTS = 200
_MAX_VISITS = 5_000
_ALTERNATIVES = frozenset({"anyOf", "oneOf", "then", "else", "dependentSchemas"})
_IN_ALTERNATIVE = ", in one of the alternatives"
_FALSE = "no value is allowed there"


def contradictions(root: JsonObject, validator: Validator) -> tuple[str, ...]:
    """Return a sentence for each place of a schema that no value fits, and one if no arguments fit at all."""
    finder = _Finder(root, validator)
    notes: dict[str, None] = {}
    for schema, place in _places(root):
        reason = finder.direct_reason(schema) if schema is not root else ""
        if reason and reason != _FALSE:
            notes[f"{place}: no value fits, since {reason}"] = None
    if reason := finder.reason(root):
        notes[f"$: no arguments fit, so every call will be refused, since {reason}"] = None
    return tuple(notes)


def _places(root: JsonObject) -> Iterator[tuple[JsonObject, str]]:
    """Yield each schema and where it applies, in words."""
    waiting = [(root, "$", "")]
    while waiting:
        schema, place, branch = waiting.pop(0)
        yield schema, f"{place}{branch}"
        for child in children(schema):
            # Under `not` and `if` a schema that nothing fits may be meant.
            if isinstance(child.schema, dict) and child.keyword not in {"not", "if"}:
                inner = _IN_ALTERNATIVE if child.keyword in _ALTERNATIVES else branch
                waiting.append((child.schema, place_of(child, place), inner))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Range:
    """Bounds of a number or of a size, with the words for them."""

    low: Fraction | None
    high: Fraction | None
    low_words: str
    high_words: str


class _Finder:
    def __init__(self, root: JsonObject, validator: Validator) -> None:
        self._root = root
        self._validator = validator
        self._reasons: dict[int, str] = {}
        self._open: set[int] = set()
        self._assumed: set[int] = set()
        """Schemas that are open and that a reason found meanwhile relies on."""
        self._left = _MAX_VISITS

    def reason(self, schema: JsonValue) -> str:
        """Return why no value fits, as a clause; empty if one may."""
        if not isinstance(schema, dict):
            return _FALSE if schema is False else ""
        if id(schema) in self._reasons:
            return self._reasons[id(schema)]
        if id(schema) in self._open:  # a value is finite, so this way leads to none
            self._assumed.add(id(schema))
            return "it must contain itself without end"
        self._left -= 1
        if self._left < 0:
            return ""
        self._open.add(id(schema))
        found = self.direct_reason(schema) or self._members_reason(schema)
        self._open.discard(id(schema))
        self._assumed.discard(id(schema))
        if not found or not self._assumed:
            self._reasons[id(schema)] = found
        return found

    def direct_reason(self, schema: JsonObject) -> str:
        """Return why the schema's own rules contradict each other; empty if they do not."""
        parts = self._parts(schema)
        if any(part is False or (isinstance(part, dict) and part.get("not") in (True, {})) for part in parts):
            return _FALSE
        rules = [part for part in parts if isinstance(part, dict)]
        kinds = _allowed_kinds(rules)
        if not kinds:
            words = " and ".join(dict.fromkeys(type_words(rule["type"]) for rule in rules if "type" in rule))
            return f"it must be {words} at once"
        return self._options_reason(schema, rules) or _range_reason(rules, kinds)

    def _parts(self, schema: JsonValue) -> list[JsonValue]:
        """Return the schemas that a value must satisfy all, with their references resolved."""
        parts: list[JsonValue] = []
        waiting = [schema]
        while waiting and len(parts) < _MAX_PARTS:
            here = waiting.pop()
            parts.append(here)
            if isinstance(here, dict):
                waiting += cast("list[JsonValue]", here.get("allOf", []))
                if "$ref" in here:
                    waiting.append(self._target(str(here["$ref"])))
        return parts

    def _target(self, reference: str) -> JsonValue:
        if reference == "#":
            return self._root
        return cast("JsonObject", self._root["$defs"])[reference.removeprefix("#/$defs/")]

    def _options_reason(self, schema: JsonObject, rules: list[JsonObject]) -> str:
        for rule in rules:
            if "enum" not in rule and "const" not in rule:
                continue
            options = cast("list[JsonValue]", rule["enum"]) if "enum" in rule else [rule["const"]]
            if any(self._validator.accepts(schema, option) for option in options):
                return ""
            words = shortened(option_words(options))
            return f"{words} does not satisfy the other rules" if options else "its enum is empty"
        return ""

    def _members_reason(self, schema: JsonObject) -> str:
        rules = [part for part in self._parts(schema) if isinstance(part, dict)]
        for rule in rules:
            for keyword in ("anyOf", "oneOf"):
                branches = cast("list[JsonValue]", rule.get(keyword, []))
                if branches and all(self.reason(branch) for branch in branches):
                    return f"none of its alternatives can be satisfied ({self.reason(branches[0])})"
        kinds = _allowed_kinds(rules)
        if kinds == {"object"}:
            return self._required_reason(rules)
        return self._items_reason(rules) if kinds == {"array"} else ""

    def _required_reason(self, rules: list[JsonObject]) -> str:
        for name in dict.fromkeys(name for rule in rules for name in cast("list[str]", rule.get("required", []))):
            for rule in rules:
                properties = cast("JsonObject", rule.get("properties", {}))
                if name in properties:
                    reason = self.reason(properties[name])
                elif "patternProperties" not in rule and rule.get("additionalProperties") is False:
                    reason = "no such key is allowed"
                else:
                    continue
                if reason:
                    return f"{compact(name)} is required, but {reason}"
        return ""

    def _items_reason(self, rules: list[JsonObject]) -> str:
        least = max(int(cast("float", rule.get("minItems", 0))) for rule in rules)
        for rule in rules:
            first = cast("list[JsonValue]", rule.get("prefixItems", []))
            needed = first[:least] if least <= len(first) else [*first, rule.get("items", True)]
            for item in needed:
                if reason := self.reason(item):
                    return f"it needs {least} items, but for one of them {reason}"
        return ""


def _allowed_kinds(rules: list[JsonObject]) -> set[str]:
    allowed = set(_KINDS)
    for rule in rules:
        if "type" in rule:
            kind = rule["type"]
            names = {str(name) for name in kind} if isinstance(kind, list) else {str(kind)}
            allowed &= {*names, "integer", "fraction"} if "number" in names else names
    return allowed


_SIZES = (("string", "minLength", "maxLength"), ("array", "minItems", "maxItems"),
          ("object", "minProperties", "maxProperties"))  # fmt: skip


def _range_reason(rules: list[JsonObject], kinds: set[str]) -> str:
    if kinds <= {"integer", "fraction"}:
        found = _number_range(rules)
        step = Fraction(1) if kinds == {"integer"} else None
        return _empty(found, step) or _no_multiple(found, rules)
    for kind, least, most in _SIZES:
        if kinds == {kind}:
            low, high = _bounds(rules, least), _bounds(rules, most)
            needed = len({name for rule in rules for name in cast("list[str]", rule.get("required", []))})
            if kind == "object" and high and needed > min(high):
                return f"it has {needed} required keys, but at most {min(high)} are allowed"
            if low and high and max(low) > min(high):
                return f"`{least}` {max(low)} is above `{most}` {min(high)}"
    return ""


def _bounds(rules: list[JsonObject], keyword: str) -> list[Fraction]:
    return [Fraction(exact(cast("float", rule[keyword]))) for rule in rules if keyword in rule]


def _number_range(rules: list[JsonObject]) -> _Range:
    lows = [(bound, key) for key in ("minimum", "exclusiveMinimum") for bound in _bounds(rules, key)]
    highs = [(bound, key) for key in ("maximum", "exclusiveMaximum") for bound in _bounds(rules, key)]
    low, low_key = max(lows, default=(None, ""), key=lambda item: (item[0] or 0, item[1].startswith("ex")))
    high, high_key = min(highs, default=(None, ""), key=lambda item: (item[0] or 0, not item[1].startswith("ex")))
    return _Range(low=low, high=high, low_words=low_key, high_words=high_key)


def _empty(found: _Range, step: Fraction | None) -> str:
    if found.low is None or found.high is None:
        return ""
    low, high = found.low, found.high
    is_open = found.low_words.startswith("ex") or found.high_words.startswith("ex")
    nothing = low > high or (low == high and is_open)
    if step is not None and not nothing:
        first = math.floor(low) + 1 if found.low_words.startswith("ex") else math.ceil(low)
        last = math.ceil(high) - 1 if found.high_words.startswith("ex") else math.floor(high)
        nothing = first > last
    if not nothing:
        return ""
    return f"nothing is between `{found.low_words}` {_shown(low)} and `{found.high_words}` {_shown(high)}"


def _no_multiple(found: _Range, rules: list[JsonObject]) -> str:
    for step in _bounds(rules, "multipleOf"):
        if found.low is not None and found.high is not None and math.ceil(found.low / step) * step > found.high:
            return f"no multiple of {_shown(step)} is between {_shown(found.low)} and {_shown(found.high)}"
    return ""


def _shown(number: Fraction) -> str:
    return shortened(str(number)) if number.denominator == 1 else f"{float(number):g}"
