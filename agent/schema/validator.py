"""Check arguments against a converted schema: exactly, in bounded time, and with words for every mismatch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import cast

from pydantic import JsonValue

from . import applicators
from .assertions import ALL, TypedRule, assertion, type_rules
from .compiled import Check, Mismatch, Node, Rule, TooMuchWork
from .exact import JsonObject, JsonPath, SpelledNumber, exact, is_integral, load_exactly
from .keywords import walk
from .words import described

_DEEP = "an object that is nested less deeply"
_LARGE = "simpler or smaller: its check takes too long"


class Validator:
    """A compiled schema. Compiling takes a few milliseconds, so it is kept and reused."""

    def __init__(self, schema: JsonObject) -> None:
        """Compile a schema that `prepare` has returned."""
        definitions = cast("JsonObject", schema.get("$defs", {}))
        self._schemas: dict[str, JsonValue] = {
            "#": schema,
            **{f"#/$defs/{name}": inner for name, inner in definitions.items()},
        }
        self._nodes: dict[int, Node] = {}
        self._waiting: list[JsonObject] = []
        self._tracks = _tracks(schema)
        self._root = self._node(schema)
        while self._waiting:
            inner = self._waiting.pop()
            self._compile(inner, self._nodes[id(inner)])

    def check(self, text: str) -> JsonObject | tuple[Mismatch, ...]:
        """Return the parsed arguments, or every mismatch. Never raises.

        Numbers arrive as spelt: an integer that is written 3.0 is an int. `text`: a JSON object.
        """
        try:
            loaded = load_exactly(text)
        except RecursionError:
            return _whole(_DEEP)
        except ValueError as error:
            is_json = not isinstance(error, json.JSONDecodeError)
            return _whole("an object in which no integer has more than 4300 digits" if is_json else "a JSON object")
        check = Check()
        try:
            found = self._root.evaluate(loaded.value, (), check, set() if self._tracks else None)
            plain = _plain(loaded.value, (), check, found) if loaded.has_fractions else loaded.value
        except (TooMuchWork, RecursionError) as error:
            return _whole(_DEEP if isinstance(error, RecursionError) else _LARGE)
        if not found:
            return cast("JsonObject", plain)
        unique = {(issue.path, issue.problem, issue.expected): issue for issue in found}
        return tuple(unique.values())

    def accepts(self, schema: JsonValue, value: JsonValue) -> bool:
        """Return whether a schema inside this one accepts a value; True if that takes too long to find out."""
        try:
            return self._node(schema).accepts(value, Check(), set() if self._tracks else None)
        except (TooMuchWork, RecursionError):
            return True

    def _phrase(self, schema: JsonValue) -> str:
        return described(schema, self._schemas)

    def _node(self, schema: JsonValue) -> Node:
        """Return the node of a schema; it is compiled later, since it may contain itself."""
        if not isinstance(schema, dict):
            node = Node()
            node.never = schema is False
            return node
        if id(schema) not in self._nodes:
            self._nodes[id(schema)] = Node()
            self._waiting.append(schema)
        return self._nodes[id(schema)]

    def _compile(self, schema: JsonObject, node: Node) -> None:
        if "type" in schema:
            for kind, rule in type_rules(schema["type"]).items():
                node.rules.setdefault(kind, []).append(rule)
        for keyword, value in schema.items():
            found = assertion(keyword, value)
            if found is not None:
                _add(node.rules, found.kinds, found.rule)
        for rule in self._members(schema):
            _add(node.rules, rule.kinds, rule.rule)
        for rule in self._in_place(schema):
            _add(node.rules, rule.kinds, rule.rule)
        for keyword, kind in (("unevaluatedProperties", dict), ("unevaluatedItems", list)):
            if keyword in schema:
                _add(node.late, (kind,), applicators.unevaluated_rule(keyword, schema[keyword], self._node))

    def _members(self, schema: JsonObject) -> Iterator[TypedRule]:
        if applicators.OBJECT_KEYWORDS & schema.keys():
            yield TypedRule(kinds=(dict,), rule=applicators.object_rule(schema, self._node))
        if applicators.ARRAY_KEYWORDS & schema.keys():
            yield TypedRule(kinds=(list,), rule=applicators.array_rule(schema, self._node))
        if "contains" in schema:
            yield TypedRule(kinds=(list,), rule=applicators.contains_rule(schema, self._node, self._phrase))
        if "propertyNames" in schema:
            rule = applicators.names_rule(schema["propertyNames"], self._node, self._phrase)
            yield TypedRule(kinds=(dict,), rule=rule)

    def _in_place(self, schema: JsonObject) -> Iterator[TypedRule]:
        if "$ref" in schema:
            yield TypedRule(kinds=ALL, rule=self._applied(self._schemas[str(schema["$ref"])]))
        for inner in cast("list[JsonValue]", schema.get("allOf", [])):
            yield TypedRule(kinds=ALL, rule=self._applied(inner))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                branches = cast("list[JsonValue]", schema[keyword])
                rule = applicators.choice_rule(branches, self._node, self._phrase, one=keyword == "oneOf")
                yield TypedRule(kinds=ALL, rule=rule)
        if "not" in schema:
            yield TypedRule(kinds=ALL, rule=applicators.not_rule(schema["not"], self._node, self._phrase))
        if "if" in schema:
            yield TypedRule(kinds=ALL, rule=applicators.condition_rule(schema, self._node))
        if "dependentSchemas" in schema:
            schemas = cast("JsonObject", schema["dependentSchemas"])
            yield TypedRule(kinds=(dict,), rule=applicators.dependent_rule(schemas, self._node))

    def _applied(self, schema: JsonValue) -> Rule:
        node = self._node(schema)
        return applicators.apply_rule(node) if self._tracks else node.evaluate


def _add(rules: dict[type, list[Rule]], kinds: Iterable[type], rule: Rule) -> None:
    for kind in kinds:
        rules.setdefault(kind, []).append(rule)


def _tracks(schema: JsonObject) -> bool:
    """Return whether anything in the schema depends on what other schemas were applied to."""
    return any("unevaluatedProperties" in inner or "unevaluatedItems" in inner for inner in walk(schema))


def _whole(expected: str) -> tuple[Mismatch, ...]:
    return (Mismatch(path=(), problem="value", expected=expected, sent=None),)


def _plain(value: JsonValue, path: JsonPath, check: Check, found: list[Mismatch]) -> JsonValue:
    """Return a value with ordinary numbers; adds a mismatch for each that would not arrive as it was written."""
    if isinstance(value, float):
        return _plain_number(value, path, check, found)
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (float, list, dict)):
                value[index] = _plain(item, (*path, index), check, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, (float, list, dict)):
                value[key] = _plain(item, (*path, key), check, found)
    return value


def _plain_number(value: float, path: JsonPath, check: Check, found: list[Mismatch]) -> float:
    is_float = not isinstance(value, SpelledNumber) or value.is_float
    if id(value) in check.integers or (not is_float and is_integral(value)):
        return int(exact(value))
    if not is_float and not any(issue.path == path for issue in found):
        example = f", such as {float(value)!r}" if abs(value) < float("inf") else ""
        expected = f"a number that a 64-bit float can hold{example}"
        found.append(Mismatch(path=path, problem="value", expected=expected, sent=value))
    return float(value)
