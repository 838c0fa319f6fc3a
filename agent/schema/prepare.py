"""Convert the schema of a server or user to one that arguments are checked against; refuse an unusable one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from pydantic import JsonValue

from .dialect import to_2020_12
from .exact import JsonObject
from .form import find_malformed
from .keywords import ANNOTATIONS, IN_PLACE, children, walk
from .references import UnusableSchema
from .satisfiable import contradictions
from .validator import Validator


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The schema of a tool's arguments, ready for use."""

    schema: JsonObject
    """JSON Schema 2020-12 of an object; its references are `#` or `#/$defs/NAME`."""
    validator: Validator
    notes: tuple[str, ...]
    """One sentence for each part that is not checked or that no value can satisfy, beginning with its place."""


def prepare(parameters: Mapping[str, Any]) -> Prepared:
    """Convert and compile the schema of an arguments object.

    Raises:
        UnusableSchema: it is not a JSON Schema, it is one of something else than an object, a reference in it leads
            nowhere, or it contains itself without end.
    """
    converted = to_2020_12(parameters)
    schema = converted.schema
    try:
        if malformed := find_malformed(schema):
            msg = f"`parameters` is not a valid JSON Schema at {malformed}"
            raise UnusableSchema(msg)
        _refuse_cycles(schema)
        schema = _of_object(schema)
        validator = Validator(schema)
        notes = (*converted.notes, *contradictions(schema, validator))
    except RecursionError as error:
        msg = "`parameters` is nested too deeply."
        raise UnusableSchema(msg) from error
    return Prepared(schema=schema, validator=validator, notes=notes)


def _refuse_cycles(root: JsonObject) -> None:
    """Refuse a schema that applies itself to the same value again: no check of it would end."""
    done: set[int] = set()
    names: dict[int, str] = {}  # the schemas that are entered, with the reference that led there

    def visit(schema: JsonValue, name: str) -> None:
        if not isinstance(schema, dict) or id(schema) in done:
            return
        if id(schema) in names:
            inside = [*names.values(), name][list(names).index(id(schema)) + 1 :]
            cycle = [one for one in inside if one]
            closed = " -> ".join([*cycle, *cycle[:1]] if len(cycle) > 1 else cycle)
            msg = f"`parameters` contains itself without end: {closed}. Remove one of these references."
            raise UnusableSchema(msg)
        names[id(schema)] = name
        for inner, reference in _in_place(schema, root):
            visit(inner, reference)
        del names[id(schema)]
        done.add(id(schema))

    for schema in walk(root):
        visit(schema, "")


def _in_place(schema: JsonObject, root: JsonObject) -> Iterator[tuple[JsonValue, str]]:
    """Yield the schemas that apply to the same value, with the reference to them if there is one."""
    for child in children(schema):
        if child.keyword in IN_PLACE:
            yield child.schema, ""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        yield _target(reference, root), reference


def _target(reference: str, root: JsonObject) -> JsonValue:
    if reference == "#":
        return root
    return cast("JsonObject", root["$defs"])[reference.removeprefix("#/$defs/")]


# The root.


def _of_object(root: JsonObject) -> JsonObject:
    """Return the schema as one of an object: the root's reference resolved, its type stated, closed where it may be."""
    schema = root
    while "$ref" in schema and not (schema.keys() - ANNOTATIONS - {"$ref", "$defs"}):
        schema = cast("JsonObject", _target(str(schema["$ref"]), root))
    kind = schema.get("type", "object")
    kinds = kind if isinstance(kind, list) else [kind]
    if "object" not in kinds:
        msg = f'`parameters` must be a JSON Schema with "type": "object", got {kind!r}.'
        raise UnusableSchema(msg)
    made: JsonObject = {**schema, "type": "object"}
    if _may_be_closed(made):
        made = {"additionalProperties": False, **made}
    definitions = cast("JsonObject", root.get("$defs", {}))
    without = {key: value for key, value in made.items() if key != "$defs"}
    if made != schema and any(inner.get("$ref") == "#" for inner in walk(root)):
        # Inside, `#` still means the schema as it was given.
        name = next(name for name in _names("arguments") if name not in definitions)
        original = {key: value for key, value in root.items() if key != "$defs"}
        for inner in list(walk(root)):
            if inner.get("$ref") == "#":
                inner["$ref"] = f"#/$defs/{name}"
        definitions = cast("JsonObject", {**definitions, name: original})
    return _with_definitions(without, definitions)


def _names(first: str) -> Iterator[str]:
    return chain([first], (f"{first}_{number}" for number in range(2, 1_000_000)))


def _with_definitions(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    """Return the schema with those definitions that something refers to."""
    used: dict[str, JsonValue] = {}
    waiting: list[JsonObject] = [schema]
    while waiting:
        for inner in walk(waiting.pop()):
            name = str(inner.get("$ref", "")).removeprefix("#/$defs/")
            target = definitions.get(name)
            if name not in used and target is not None:
                used[name] = target
                waiting += [target] if isinstance(target, dict) else []
    return {**schema, "$defs": used} if used else schema


_NAMING_MORE_KEYS = (IN_PLACE | {"$ref", "propertyNames", "unevaluatedProperties"}) - {"not"}


def _may_be_closed(schema: JsonObject) -> bool:
    """Return whether `properties` names every key that the author can have meant."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or "additionalProperties" in schema or _NAMING_MORE_KEYS & schema.keys():
        return False
    dependent = cast("dict[str, list[str]]", schema.get("dependentRequired", {}))
    named = {*cast("list[str]", schema.get("required", [])), *dependent, *chain.from_iterable(dependent.values())}
    least = schema.get("minProperties", 0)
    mentions_more = any("properties" in inner or "required" in inner for inner in _walked(schema.get("not")))
    return named <= properties.keys() and cast("float", least) <= len(properties) and not mentions_more


def _walked(schema: JsonValue) -> Iterator[JsonObject]:
    return walk(schema) if isinstance(schema, dict) else iter(())
