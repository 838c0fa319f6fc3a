"""List which keywords of JSON Schema hold schemas, in every draft; data and a walk over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from .exact import JsonObject

ONE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
     "unevaluatedItems", "unevaluatedProperties"}
)  # fmt: skip
"""Keywords whose value is a schema; `items` and `extends` of old drafts may also be lists."""
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
"""Keywords whose value is a list of schemas."""
NAMED = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})
"""Keywords whose value maps names to schemas; those of `dependencies` may also be lists of names."""
IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
"""Keywords whose schemas apply to the same value as the schema that holds them."""
ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format",
     "contentEncoding", "contentMediaType", "contentSchema", "discriminator", "example", "xml", "externalDocs"}
)  # fmt: skip
"""Keywords that constrain nothing. `format` is one: what it means differs between validators."""
VALUES = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords whose values are data, not schemas, although they may look like schemas."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """A schema inside another."""

    keyword: str
    key: str | int | None
    """Its name or position under the keyword. None means the keyword's value is the schema."""
    schema: JsonValue

    @property
    def path(self) -> tuple[str | int, ...]:
        return (self.keyword,) if self.key is None else (self.keyword, self.key)


def children(schema: JsonObject) -> Iterator[Child]:
    """Yield the schemas directly inside a schema; skips what is no object or boolean."""
    for keyword, value in schema.items():
        found: Iterator[tuple[str | int | None, JsonValue]]
        if keyword in NAMED and isinstance(value, dict):
            found = iter(cast("dict[str | int | None, JsonValue]", value).items())
        elif keyword in LISTS and isinstance(value, list):
            found = iter(cast("Iterator[tuple[str | int | None, JsonValue]]", enumerate(value)))
        elif keyword in ONE:
            found = iter([(None, value)])
        else:
            continue
        for key, inner in found:
            if isinstance(inner, (dict, bool)):
                yield Child(keyword=keyword, key=key, schema=inner)


def walk(schema: JsonObject) -> Iterator[JsonObject]:
    """Yield a schema and every schema inside it that is an object."""
    waiting = [schema]
    while waiting:
        here = waiting.pop()
        yield here
        waiting += [child.schema for child in children(here) if isinstance(child.schema, dict)]


def place_of(child: Child, place: str) -> str:
    """Return where in the arguments a child applies, given where its schema does: `$.items[].name`."""
    match child.keyword:
        case "properties":
            return f"{place}.{child.key}"
        case "prefixItems":
            return f"{place}[{child.key}]"
        case "items" | "contains" | "unevaluatedItems" | "additionalItems":
            return f"{place}[]" if child.key is None else f"{place}[{child.key}]"
        case "patternProperties" | "additionalProperties" | "unevaluatedProperties" | "propertyNames":
            return f"{place}.*"
        case "$defs" | "definitions":
            return f"$defs.{child.key}"
        case _:
            return place
