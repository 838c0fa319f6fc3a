"""Convert a schema of any draft, or of OpenAPI 3.0, to JSON Schema 2020-12 with local references; checks no value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

from pydantic import JsonValue

from . import patterns
from .exact import JsonObject
from .keywords import ANNOTATIONS, IN_PLACE, LISTS, NAMED, ONE, VALUES, Child, place_of, walk
from .references import Context, Documents, Draft, Target, UnusableSchema, draft_of
from .type_words import checked_type

_DROPPED = frozenset(
    {"$schema", "$id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary", "$comment", "$defs",
     "definitions", "additionalItems", "dependencies", "nullable", "x-nullable", "divisibleBy", "contentSchema",
     "discriminator"}
)  # fmt: skip
_ANNOTATION_TYPES: dict[str, type] = {
    "title": str,
    "description": str,
    "examples": list,
    "format": str,
    "deprecated": bool,
    "readOnly": bool,
    "writeOnly": bool,
    "contentEncoding": str,
    "contentMediaType": str,
}
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """A schema in the one dialect that everything else reads."""

    schema: JsonObject
    """JSON Schema 2020-12; every reference in it is `#` or `#/$defs/NAME`."""
    notes: tuple[str, ...]
    """One sentence for each part that is not checked, beginning with its place in the arguments."""


def to_2020_12(parameters: Mapping[str, Any]) -> Converted:
    """Convert a schema; without `$schema` it is 2020-12, or the newest draft in which all of it is legal.

    Raises:
        UnusableSchema: it is not JSON, a type in it does not exist, or a reference leads nowhere.
    """
    try:
        root = cast("JsonObject", _copied(parameters))
        converter = _Converter(root)
        return converter.converted()
    except RecursionError as error:
        msg = "`parameters` is nested too deeply, or contains itself."
        raise UnusableSchema(msg) from error


def _copied(value: object) -> JsonValue:
    """Copy to fresh lists and dicts, so that each schema has an identity of its own."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return {str(key): _copied(item) for key, item in members.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in cast("list[object]", value)]
    msg = f"`parameters` is not JSON: it contains {value!r}."
    raise UnusableSchema(msg)


def _recognized(root: JsonObject) -> Draft:
    """Return the newest draft in which everything of the schema is legal."""
    stated = draft_of(root.get("$schema"))
    if stated is not None:
        return stated
    found: set[Draft] = {2020}
    for schema in walk(root):
        if any(isinstance(schema.get(key), bool) for key in ("exclusiveMinimum", "exclusiveMaximum")):
            return 4
        if isinstance(schema.get("items"), list) or "$recursiveRef" in schema:
            found.add(2019)
    return min(found)


class _Converter:
    def __init__(self, root: JsonObject) -> None:
        self._documents = Documents(root, _recognized(root))
        self._root = root
        self._tracks = any("unevaluatedProperties" in one or "unevaluatedItems" in one for one in walk(root))
        self._notes: dict[str, None] = {}
        self._names: dict[int, str] = {id(root): ""}
        """The key under `$defs` of each schema that is referred to; empty for the root."""
        self._waiting: list[Target] = []
        self._made: list[JsonObject] = []
        """Keeps schemas alive that are known by their identity only."""

    def converted(self) -> Converted:
        stated = self._root.get("$schema")
        if isinstance(stated, str) and draft_of(stated) is None:
            self._notes[f"$: the dialect {stated} is not known, so the schema is read as JSON Schema 2020-12"] = None
        schema = self._schema(self._root, self._documents.root, "$", "$")
        definitions: JsonObject = {}
        while self._waiting:
            target = self._waiting.pop(0)
            name = self._names[id(target.schema)]
            definitions[name] = self._converted(target.schema, target.context, f"$.$defs.{name}", f"$defs.{name}")
        if definitions:
            schema["$defs"] = definitions
        return Converted(schema=schema, notes=tuple(self._notes))

    def _converted(self, schema: JsonValue, outer: Context, path: str, place: str) -> JsonValue:
        return self._schema(schema, outer, path, place) if isinstance(schema, dict) else schema

    def _schema(self, schema: JsonObject, outer: Context, path: str, place: str) -> JsonObject:
        context = self._documents.context_of(schema, outer)
        if context.draft <= 7 and isinstance(schema.get("$ref"), str):
            kept = ANNOTATIONS | {"$ref", "nullable", "x-nullable"}  # these drafts ignore all else beside `$ref`
            schema = {key: value for key, value in schema.items() if key in kept}
        out: JsonObject = {}
        also: list[JsonValue] = []
        for key, value in schema.items():
            if _is_meaningless(key, value) or (key == "id" and context.draft <= 4):
                continue
            if key in VALUES:
                out[key] = value
            elif key in _REFERENCES:
                also += self._reference(key, value, context, place)
            else:
                self._keyword(key, value, context, path, place, out)
        self._old_keywords(schema, context, path, place, out)
        if len(also) == 1 and "$ref" not in out:
            out = {**cast("JsonObject", also[0]), **out}
        elif also:
            out["allOf"] = [*cast("list[JsonValue]", out.get("allOf", [])), *also]
        if schema.get("nullable") is True or schema.get("x-nullable") is True:
            return _with_null(out)
        return out

    def _keyword(self, key: str, value: JsonValue, context: Context, path: str, place: str, out: JsonObject) -> None:
        inner = f"{path}.{key}"
        if key == "type":
            out.update(checked_type(value, inner, context.draft))
        elif key in LISTS and isinstance(value, list):
            out["prefixItems" if key == "items" else key] = self._listed(key, value, context, inner, place)
        elif key in NAMED and isinstance(value, dict):
            out[key] = self._named(key, value, context, inner, place)
        elif key in ONE:
            at = place_of(Child(keyword=key, key=None, schema=value), place)
            out[key] = self._converted(value, context, inner, at)
        elif key == "required" and isinstance(value, list):
            out[key] = list(dict.fromkeys(cast("list[str]", value))) if _are_texts(value) else value
        elif not (key in {"required", "exclusiveMinimum", "exclusiveMaximum"} and isinstance(value, bool)):
            out[key] = value
        if key in {"pattern", "patternProperties"}:
            self._note_patterns(value, inner, place)

    def _listed(self, key: str, value: list[JsonValue], context: Context, path: str, place: str) -> list[JsonValue]:
        places = [place_of(Child(keyword=key, key=index, schema=item), place) for index, item in enumerate(value)]
        return [self._converted(item, context, f"{path}[{index}]", places[index]) for index, item in enumerate(value)]

    def _named(self, key: str, value: JsonObject, context: Context, path: str, place: str) -> JsonObject:
        return {
            name: self._converted(
                inner, context, f"{path}.{name}", place_of(Child(keyword=key, key=name, schema=inner), place)
            )
            for name, inner in value.items()
        }

    def _old_keywords(self, schema: JsonObject, context: Context, path: str, place: str, out: JsonObject) -> None:
        """Translate the keywords that 2020-12 has under other names or in other forms."""
        if isinstance(schema.get("items"), list) and (rest := schema.get("additionalItems")) is not None:
            out["items"] = self._converted(rest, context, f"{path}.additionalItems", f"{place}[]")
        for bound, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if schema.get(strict) is True and bound in out:
                out[strict] = out.pop(bound)
        if "divisibleBy" in schema:
            out.setdefault("multipleOf", schema["divisibleBy"])
        if self._tracks and context.draft <= 2019 and "contains" in out:
            # Until 2020-12 an item was not known for being one that `contains` asks for.
            asked = {key: out.pop(key) for key in ("contains", "minContains", "maxContains") if key in out}
            out["allOf"] = [*cast("list[JsonValue]", out.get("allOf", [])), {"not": {"not": asked}}]
        dependencies = schema.get("dependencies")
        if isinstance(dependencies, dict):
            self._dependencies(dependencies, context, f"{path}.dependencies", place, out)
        self._required_flags(schema, out)

    def _dependencies(self, value: JsonObject, context: Context, path: str, place: str, out: JsonObject) -> None:
        for key, needed in value.items():
            if isinstance(needed, (list, str)):
                names = cast("JsonObject", out.setdefault("dependentRequired", {}))
                more = [needed] if isinstance(needed, str) else needed
                names[key] = list(dict.fromkeys([*cast("list[str]", names.get(key, [])), *cast("list[str]", more)]))
            else:
                schemas = cast("JsonObject", out.setdefault("dependentSchemas", {}))
                new = self._converted(needed, context, f"{path}.{key}", place)
                schemas[key] = {"allOf": [schemas[key], new]} if key in schemas else new

    @staticmethod
    def _required_flags(schema: JsonObject, out: JsonObject) -> None:
        """Translate `required: true` at a property, as in draft 3."""
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return
        flagged = [
            key for key, value in properties.items() if isinstance(value, dict) and value.get("required") is True
        ]
        listed = out.get("required")
        if flagged and (listed is None or isinstance(listed, list)):
            out["required"] = [*(listed or []), *(key for key in flagged if key not in (listed or []))]

    def _note_patterns(self, value: JsonValue, path: str, place: str) -> None:
        for pattern in value if isinstance(value, dict) else [value]:
            compiled = patterns.compiled(pattern) if isinstance(pattern, str) else None
            if compiled is not None and compiled.broken:
                msg = f"`parameters` is not a valid JSON Schema at {path}: {pattern!r} is not a 'regex'"
                raise UnusableSchema(msg)
            if compiled is not None and compiled.unchecked:
                self._notes[f"{place}: the pattern {pattern} is not checked: {compiled.unchecked}"] = None

    # References.

    def _reference(self, key: str, value: JsonValue, context: Context, place: str) -> list[JsonValue]:
        """Return what a reference stands for, as schemas that apply beside the one that holds it."""
        if not isinstance(value, str):
            return [] if value is None else [{"$ref": value}]  # the check against the metaschema reports it
        target = self._documents.resolve(value, context)
        reason = "it leads outside of the schema"
        if target is not None and key != "$ref":
            target = self._documents.settled(key, value, target)
            reason = "what it means depends on how the schema is reached"
        if target is not None:
            return [{"$ref": self._local(target)}]
        self._notes[f"{place}: the reference {value!r} is not checked: {reason}"] = None
        # It may know every member, so none of them may be refused for being unknown.
        return [{"additionalProperties": True, "items": True}] if self._tracks else []

    def _local(self, target: Target) -> str:
        """Return the local reference to a target, which is converted into `$defs` if it is not the root."""
        schema = target.schema
        if not isinstance(schema, (dict, bool)):
            msg = f"`parameters` refers to {schema!r}, which is not a schema."
            raise UnusableSchema(msg)
        if isinstance(schema, bool):
            made: JsonObject = {} if schema else {"not": cast("JsonObject", {})}
            self._made.append(made)
            schema, target = made, Target(schema=made, context=target.context, name=target.name)
        name = self._names.get(id(schema))
        if name is None:
            name = self._free_name(target.name)
            self._names[id(schema)] = name
            self._waiting.append(target)
        return f"#/$defs/{name}" if name else "#"

    def _free_name(self, wanted: str) -> str:
        clean = re.sub(r"[^A-Za-z0-9_.-]+", "_", wanted) or "schema"
        taken = set(self._names.values())
        return next(name for name in _suffixed(clean) if name not in taken)


def _is_meaningless(key: str, value: JsonValue) -> bool:
    """Return whether a keyword can be left out: it is not needed, or it has no value that means anything."""
    if key in _ANNOTATION_TYPES:
        return not isinstance(value, _ANNOTATION_TYPES[key])
    return key in _DROPPED or (value is None and key not in {"type", "const", "default", "example"})


def _are_texts(values: list[JsonValue]) -> bool:
    return all(isinstance(value, str) for value in values)


def _suffixed(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))


def _with_null(schema: JsonObject) -> JsonObject:
    """Return the schema with null allowed too, as `nullable: true` of OpenAPI 3.0 means it."""
    if IN_PLACE & schema.keys() or "$ref" in schema:
        annotations = {key: value for key, value in schema.items() if key in ANNOTATIONS}
        rules = {key: value for key, value in schema.items() if key not in ANNOTATIONS}
        return {**annotations, "anyOf": [rules, {"type": "null"}]}
    out = dict(schema)
    if "type" in out:
        kinds = out["type"] if isinstance(out["type"], list) else [out["type"]]
        out["type"] = [*kinds, *([] if "null" in kinds else ["null"])]
    if isinstance(options := out.get("enum"), list) and None not in options:
        out["enum"] = [*options, None]
    if out.get("const") is not None:
        out["enum"] = [out.pop("const"), None]
    return out
