"""Check the words of `type`; names the JSON word for those of programming languages."""

from __future__ import annotations

from pydantic import JsonValue

from ..nearest import nearest
from .exact import JsonObject
from .references import Draft, UnusableSchema

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

_WORDS = {
    "array": ("list", "tuple", "set", "frozenset", "sequence", "vector", "arr"),
    "boolean": ("bool",),
    "integer": ("int", "int32", "int64", "long", "short", "uint"),
    "null": ("none", "nonetype", "nil", "undefined", "void"),
    "number": ("float", "double", "decimal", "real", "numeric", "float32", "float64"),
    "object": ("dict", "dictionary", "map", "mapping", "hash", "hashmap", "hashtable", "record", "struct"),
    "string": ("str", "text", "char", "varchar"),
}
_JSON_WORDS = {word: kind for kind, words in _WORDS.items() for word in (*words, kind)}


def checked_type(value: JsonValue, path: str, draft: Draft) -> JsonObject:
    """Return the keywords for a `type`, as 2020-12 has it; empty if it allows everything.

    Raises:
        UnusableSchema: one of its words is no type of JSON Schema.
    """
    names = value if isinstance(value, list) else [value]
    if draft == 3 and "any" in names:
        return {}
    for name in names:
        if name not in TYPES:
            raise _unknown(name, path)
    unique = list(dict.fromkeys(names))
    return {"type": unique if isinstance(value, list) and len(unique) != 1 else unique[0] if unique else []}


def _unknown(name: JsonValue, path: str) -> UnusableSchema:
    folded = "null" if name is None else name.casefold().strip() if isinstance(name, str) else ""
    if folded.partition("[")[0] in {"any", "unknown", "mixed", "anything", "*"}:
        advice = "leave `type` out, so that any value is accepted"
    else:
        word = _JSON_WORDS.get(folded) or _JSON_WORDS.get(folded.partition("[")[0]) or nearest(folded, TYPES)
        advice = f'write "{word}"' if word else "write one of them"
    return UnusableSchema(
        f"`parameters` is not a valid JSON Schema at {path}: {name!r} is not a type; {advice}. "
        f"The types are {', '.join(TYPES[:-1])} and {TYPES[-1]}."
    )
