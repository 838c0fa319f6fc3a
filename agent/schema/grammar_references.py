"""Find the references of a schema that lead back to themselves."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from .exact import JsonObject
from .keywords import walk


def is_circular(schema: JsonObject, definitions: Mapping[str, JsonValue]) -> bool:
    """Return whether a schema leads to one that contains itself. `#` counts as such."""
    return any(
        name == "#" or name in _reached(definitions.get(name), definitions) for name in _reached(schema, definitions)
    )


def _reached(schema: JsonValue, definitions: Mapping[str, JsonValue]) -> dict[str, None]:
    """Return the names of the definitions that a schema leads to, directly or not."""
    found: dict[str, None] = {}
    waiting = [schema]
    while waiting:
        here = waiting.pop()
        for inner in walk(here) if isinstance(here, dict) else ():
            name = str(inner.get("$ref", "")).removeprefix("#/$defs/")
            if name and name not in found:
                found[name] = None
                waiting.append(definitions.get(name))
    return found
