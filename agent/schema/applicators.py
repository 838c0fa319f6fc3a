"""Compile the keywords of JSON Schema that apply other schemas, to the same value or to its members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from pydantic import JsonValue

from . import patterns
from .compiled import MAX_MISMATCHES, Check, Mismatch, Node, Rule, Seen, TooMuchWork
from .exact import JsonObject, JsonPath
from .words import compact

Compile = Callable[[JsonValue], Node]
"""Returns the compiled form of a schema, which may still be empty."""
Phrase = Callable[[JsonValue], str]
"""Formats a schema as a few words."""

OBJECT_KEYWORDS = frozenset({"properties", "patternProperties", "additionalProperties"})
ARRAY_KEYWORDS = frozenset({"prefixItems", "items"})


def object_rule(schema: JsonObject, node_of: Compile) -> Rule:
    """Return the rule for the members of an object."""
    nodes_of = _member_nodes(schema, node_of)
    rest = node_of(schema["additionalProperties"]) if "additionalProperties" in schema else None

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        found: list[Mismatch] = []
        for name, member in cast("JsonObject", value).items():
            nodes = nodes_of(name, check)
            if nodes is None and rest is None:
                continue
            if seen is not None:
                seen.add(name)
            if nodes is None and rest is not None:
                found += _rest(rest, member, (*path, name), check, seen)
            for node in nodes or ():
                if not node.is_open_to(type(member)):
                    found += node.evaluate(member, (*path, name), check, _fresh(seen))
            if found and (check.quick or len(found) >= MAX_MISMATCHES):
                return found
        return found

    return rule


def _member_nodes(schema: JsonObject, node_of: Compile) -> Callable[[str, Check], Sequence[Node] | None]:
    """Return the function that finds the schemas for a key; None means that it is an additional one."""
    known = {name: (node_of(inner),) for name, inner in cast("JsonObject", schema.get("properties", {})).items()}
    by_pattern = [
        (patterns.compiled(pattern), node_of(inner))
        for pattern, inner in cast("JsonObject", schema.get("patternProperties", {})).items()
    ]
    if not by_pattern:
        return lambda name, _: known.get(name)

    def find(name: str, check: Check) -> Sequence[Node] | None:
        check.spend(len(by_pattern))
        verdicts = [(pattern.match(name), node) for pattern, node in by_pattern]
        nodes = (*known.get(name, ()), *(node for verdict, node in verdicts if verdict == "matches"))
        # A key that may match an unchecked pattern is not known to be an additional one.
        is_known = bool(nodes) or any(verdict in {"unknown", "too_long"} for verdict, _ in verdicts)
        return nodes if is_known else None

    return find


def _rest(node: Node, member: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
    if node.never:
        check.spend(1)
        return [Mismatch(path=path, problem="extra", expected="no such field", sent=member)]
    return node.evaluate(member, path, check, _fresh(seen))


def array_rule(schema: JsonObject, node_of: Compile) -> Rule:
    """Return the rule for the items of an array."""
    first = [node_of(inner) for inner in cast("list[JsonValue]", schema.get("prefixItems", []))]
    rest = node_of(schema["items"]) if "items" in schema else None

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        found: list[Mismatch] = []
        for index, item in enumerate(cast("list[JsonValue]", value)):
            node = first[index] if index < len(first) else rest
            if node is None:
                break
            if seen is not None:
                seen.add(index)
            if node.is_open_to(type(item)):
                continue
            found += node.evaluate(item, (*path, index), check, _fresh(seen))
            if found and (check.quick or len(found) >= MAX_MISMATCHES):
                return found
        return found

    return rule


def contains_rule(schema: JsonObject, node_of: Compile, phrase: Phrase) -> Rule:
    """Return the rule of `contains`, `minContains` and `maxContains`."""
    node = node_of(schema["contains"])
    least, most = cast("float", schema.get("minContains", 1)), cast("float | None", schema.get("maxContains"))
    words = phrase(schema["contains"])

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        items = cast("list[JsonValue]", value)
        fitting = [index for index, item in enumerate(items) if node.accepts(item, check, _fresh(seen))]
        if seen is not None:
            seen.update(fitting)
        if len(fitting) < least:
            limit = f"at least {least:g}"
        elif most is not None and len(fitting) > most:
            limit = f"at most {most:g}"
        else:
            return []
        expected = "left out" if node.never else f"an array in which {limit} of the items must be {words}"
        return [Mismatch(path=path, problem="value", expected=expected, sent=value)]

    return rule


def names_rule(schema: JsonValue, node_of: Compile, phrase: Phrase) -> Rule:
    """Return the rule of `propertyNames`."""
    node, words = node_of(schema), phrase(schema)

    def rule(value: JsonValue, path: JsonPath, check: Check, _seen: Seen) -> list[Mismatch]:
        wrong = [name for name in cast("JsonObject", value) if not node.accepts(name, check)]
        if not wrong:
            return []
        expected = f"an object in which each key is {words}, and {compact(wrong[0])} is not"
        if node.never:
            expected = "an object without keys"
        return [Mismatch(path=path, problem="value", expected=expected, sent=value)]

    return rule


def apply_rule(node: Node) -> Rule:
    """Return the rule of `$ref`, and of each schema in `allOf`: what one of them has seen is hidden from the others."""

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        inner = _fresh(seen)
        found = node.evaluate(value, path, check, inner)
        if seen is not None:
            seen |= inner or set()
        return found

    return rule


def dependent_rule(schemas: JsonObject, node_of: Compile) -> Rule:
    """Return the rule of `dependentSchemas`."""
    rules = {name: apply_rule(node_of(inner)) for name, inner in schemas.items()}

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        present = [inner for name, inner in rules.items() if name in cast("JsonObject", value)]
        return [issue for inner in present for issue in inner(value, path, check, seen)]

    return rule


def not_rule(schema: JsonValue, node_of: Compile, phrase: Phrase) -> Rule:
    """Return the rule of `not`."""
    node, words = node_of(schema), phrase(schema)

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        if not node.accepts(value, check, _fresh(seen)):
            return []
        expected = "left out" if words == "any value" else f"something other than {words}"
        return [Mismatch(path=path, problem="value", expected=expected, sent=value)]

    return rule


def condition_rule(schema: JsonObject, node_of: Compile) -> Rule:
    """Return the rule of `if`, `then` and `else`."""
    condition = node_of(schema["if"])
    then = apply_rule(node_of(schema.get("then", True)))
    otherwise = apply_rule(node_of(schema.get("else", True)))

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        inner = _fresh(seen)
        holds = condition.accepts(value, check, inner)
        if holds and seen is not None:
            seen |= inner or set()
        return (then if holds else otherwise)(value, path, check, seen)

    return rule


def choice_rule(branches: Sequence[JsonValue], node_of: Compile, phrase: Phrase, *, one: bool) -> Rule:
    """Return the rule of `anyOf`, or of `oneOf` if only `one` of the branches may fit."""
    nodes = [node_of(branch) for branch in branches]
    phrases = [phrase(branch) for branch in branches]

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        fitting: list[int] = []
        for index, node in enumerate(nodes):
            inner = _fresh(seen)
            if node.accepts(value, check, inner):
                fitting.append(index)
                if seen is not None:
                    seen |= inner or set()
                elif not one:
                    return []
        if len(fitting) == 1 or (fitting and not one):
            return []
        if fitting:
            words = " and ".join(phrases[index] for index in fitting[:3])
            expected = f"only one of the alternatives, but it is {len(fitting)} of them: {words}"
            return [Mismatch(path=path, problem="value", expected=expected, sent=value)]
        if check.quick:
            return [Mismatch(path=path, problem="value", expected="", sent=value)]
        failures = _failures(nodes, value, path, check, seen)
        return _no_branch(failures, phrases, value, path)

    return rule


def _failures(
    nodes: Sequence[Node], value: JsonValue, path: JsonPath, check: Check, seen: Seen
) -> list[list[Mismatch]]:
    """Return the mismatches of each branch; none at all if finding them out takes too long."""
    before, check.steps = check.steps, min(check.steps, check.words)
    given = check.steps
    try:
        return [node.evaluate(value, path, check, _fresh(seen)) for node in nodes]
    except TooMuchWork:
        return []
    finally:
        used = given - max(check.steps, 0)
        check.words -= used
        check.steps = before - used


def _no_branch(failures: list[list[Mismatch]], phrases: list[str], value: JsonValue, path: JsonPath) -> list[Mismatch]:
    """Return what is wrong in the one branch that is meant, or else what each branch allows.

    Args:
        failures: the mismatches of each branch; empty if they are not known.
        phrases: what each branch allows.
        value: the value that fits none of them.
        path: its place.
    """
    of_type = [issues for issues in failures if not any(_is_type(issue, path) for issue in issues)]
    tagged = [issues for issues in of_type if not any(_is_tag(issue, path) for issue in issues)]
    complete = [issues for issues in tagged if not any(_is_key(issue, path) for issue in issues)]
    meant = next((group[0] for group in (of_type, tagged, complete) if len(group) == 1), None)
    if meant is not None and isinstance(value, (dict, list)):
        return meant
    expected = " or ".join(dict.fromkeys(phrases))
    is_type = failures and not of_type
    return [Mismatch(path=path, problem="type" if is_type else "value", expected=expected, sent=value)]


def _is_type(issue: Mismatch, path: JsonPath) -> bool:
    return issue.path == path and issue.problem == "type"


def _is_tag(issue: Mismatch, path: JsonPath) -> bool:
    return issue.is_tag and len(issue.path) == len(path) + 1


def _is_key(issue: Mismatch, path: JsonPath) -> bool:
    return issue.problem in {"missing", "extra"} and len(issue.path) == len(path) + 1


def unevaluated_rule(keyword: str, schema: JsonValue, node_of: Compile) -> Rule:
    """Return the rule of `unevaluatedProperties` or `unevaluatedItems`."""
    node = node_of(schema)

    def rule(value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        members = value.items() if isinstance(value, dict) else enumerate(cast("list[JsonValue]", value))
        found: list[Mismatch] = []
        for key, member in members:
            if seen is not None and key in seen:
                continue
            if node.never and keyword == "unevaluatedProperties":
                found += _rest(node, member, (*path, key), check, None)
            else:
                found += node.evaluate(member, (*path, key), check, _fresh(seen))
            if seen is not None:
                seen.add(key)
        return found

    return rule


def _fresh(seen: Seen) -> Seen:
    return None if seen is None else set()
