"""Make random JSON Schemas of objects, and values to try on them; the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

NAMES = ("a", "b", "long name", 'q"uote', "ä")
PATTERNS = ("^[a-z]+$", "b", "^.{2,}$", r"^\S+$", "(?=a)", r"\p{L}", "^a|b$", r"^[^,]*$", r"\bfoo\b", "^[A-Z]{1,200}$")
FORMATS = ("date", "date-time", "uuid", "path", "json", "email", "int64", "duration")
TEXTS = ("", "a", "ab", "foo", 'say "hi"\n', "2026-11-28", "2026-11-28T10:00:00", "ä😀", "UPPER", "a,b", "x" * 40)
NUMBERS = (0, 1, -1, 5, 2**53 + 1, -(2**63), 2**64, 1.5, 0.1, 1e-7, 99.99)
VALUES: tuple[Any, ...] = (
    *TEXTS,
    0,
    -1,
    2**53 + 1,
    2**64,
    1.5,
    None,
    True,
    False,
    [],
    ["a", "a"],
    [1, "a", None],
    {},
    {"a": 1, "x": "y"},
)


class Generator:
    """Makes schemas of every keyword that a tool's parameters may have."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def parameters(self) -> dict[str, Any]:
        """Return the schema of an arguments object."""
        schema = {**self._object(3), "type": "object"}
        definitions = {"Node": self._schema(2), "Leaf": self._schema(0)}
        return {**schema, **(self._combined(2) if self._is(0.3) else {}), "$defs": definitions}

    def value(self, schema: Any, definitions: dict[str, Any], depth: int = 0) -> Any:
        """Return a value that the schema probably allows."""
        if isinstance(schema, dict) and "$ref" in schema:
            schema = definitions.get(schema["$ref"].rpartition("/")[2])
        if not isinstance(schema, dict) or depth > 6 or self._is(0.05):
            return self._pick(VALUES)
        if "const" in schema or "enum" in schema:
            return schema.get("const", self._pick(schema.get("enum", VALUES)))
        parts = [schema, *schema.get("allOf", [])]
        for key in ("anyOf", "oneOf"):
            parts += [self._pick(schema[key])] if key in schema else []
        parts = [part for part in parts if isinstance(part, dict)]
        kinds = next((part["type"] for part in parts if "type" in part), self._pick(("object", "string", "integer")))
        return self._of_kind(self._pick(kinds) if isinstance(kinds, list) else kinds, parts, definitions, depth)

    def _of_kind(self, kind: str, parts: Sequence[Any], definitions: dict[str, Any], depth: int) -> Any:
        if kind == "object":
            return self._object_value(parts, definitions, depth)
        if kind == "array":
            return self._array_value(parts[0], definitions, depth)
        integers = [number for number in NUMBERS if isinstance(number, int)]
        choices = {"string": TEXTS, "integer": integers, "number": NUMBERS, "boolean": (True, False)}
        return self._pick(choices.get(kind, (None,)))

    def _object_value(self, parts: Sequence[Any], definitions: dict[str, Any], depth: int) -> Any:
        found: dict[str, Any] = {}
        for part in parts:
            for name, inner in part.get("properties", {}).items():
                if name in part.get("required", ()) or self._is(0.6):
                    found[name] = self.value(inner, definitions, depth + 1)
            for name in part.get("required", ()):
                found.setdefault(name, self._pick(VALUES))
        if self._is(0.3):
            extra = next((part["additionalProperties"] for part in parts if "additionalProperties" in part), True)
            found.setdefault(self._pick(("zz", "ab")), self.value(extra, definitions, depth + 1))
        return found

    def _array_value(self, schema: Any, definitions: dict[str, Any], depth: int) -> Any:
        prefix = schema.get("prefixItems", [])
        count = self._pick((0, 1, 2, 3))
        return [
            self.value(prefix[at] if at < len(prefix) else schema.get("items"), definitions, depth + 1)
            for at in range(count)
        ]

    # Schemas.

    def _schema(self, depth: int) -> Any:
        if self._is(0.06):
            return self._is(0.6)
        kind = self._pick(("string", "integer", "number", "boolean", "null", "any", "enum"))
        if depth > 0 and self._is(0.55):
            kind = self._pick(("object", "array", "combined", "reference"))
        makers: dict[str, Callable[[], dict[str, Any]]] = {
            "object": lambda: self._object(depth),
            "array": lambda: self._array(depth),
            "combined": lambda: self._combined(depth),
            "reference": self._reference,
            "string": self._string,
            "integer": lambda: self._number("integer"),
            "number": lambda: self._number("number"),
            "enum": self._enum,
            "any": dict,
        }
        made = makers.get(kind, lambda: {"type": kind})()
        if self._is(0.08):
            made.pop("type", None)
        elif self._is(0.08) and isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
        return {**made, **({"description": "What it is."} if self._is(0.2) else {})}

    def _string(self) -> dict[str, Any]:
        choices = {
            "minLength": lambda: self._pick((0, 1, 3, 2**40)),
            "maxLength": lambda: self._pick((0, 5, 100, 2**40)),
            "pattern": lambda: self._pick(PATTERNS),
            "format": lambda: self._pick(FORMATS),
        }
        return {"type": "string", **self._some(choices)}

    def _number(self, kind: str) -> dict[str, Any]:
        bounds = (0, 1, 5, -5, 0.1, 2.5, 2**63, -(2**63), 1e20, 10.0)
        choices = dict.fromkeys(
            ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), lambda: self._pick(bounds)
        )
        return {"type": kind, **self._some({**choices, "multipleOf": lambda: self._pick((2, 0.01, 5))}, chance=0.25)}

    def _enum(self) -> dict[str, Any]:
        values = [self._pick(VALUES) for _ in range(self._pick((1, 2, 3)))]
        typed = {"type": self._pick(("string", "array", "integer"))} if self._is(0.3) else {}
        return {**typed, **({"const": values[0]} if self._is(0.3) else {"enum": values})}

    def _array(self, depth: int) -> dict[str, Any]:
        choices = {
            "items": lambda: self._schema(depth - 1),
            "prefixItems": lambda: [self._schema(depth - 1) for _ in range(self._pick((1, 2)))],
            "minItems": lambda: self._pick((0, 1, 3, 5_000)),
            "maxItems": lambda: self._pick((0, 1, 2, 10, 100_000)),
            "uniqueItems": lambda: self._is(0.7),
            "contains": lambda: self._schema(0),
        }
        return {"type": "array", **self._some(choices)}

    def _object(self, depth: int) -> dict[str, Any]:
        choices = {
            "properties": lambda: {name: self._schema(depth - 1) for name in self._sample(NAMES)},
            "required": lambda: self._sample((*NAMES, "other")),
            "additionalProperties": lambda: self._schema(0) if self._is(0.4) else self._is(0.3),
            "patternProperties": lambda: {self._pick(("^a", "b$")): self._schema(0)},
            "propertyNames": lambda: self._pick(({"pattern": "^[a-z]"}, {"type": "string"}, {"maxLength": 3})),
            "minProperties": lambda: self._pick((0, 1)),
            "maxProperties": lambda: self._pick((1, 4)),
            "dependentRequired": lambda: {"a": ["b"]},
            "unevaluatedProperties": lambda: self._is(0.5),
            "not": lambda: self._pick(({"required": ["zz"]}, {"type": "string"})),
            "if": lambda: {"properties": {"a": {"const": 1}}},
            "then": lambda: {"required": ["b"]},
        }
        common = {key: choices.pop(key) for key in ("properties", "required", "additionalProperties")}
        return {"type": "object", **self._some(common, chance=0.7), **self._some(choices, chance=0.08)}

    def _combined(self, depth: int) -> dict[str, Any]:
        key = self._pick(("anyOf", "oneOf", "allOf"))
        about_keys = [{"required": [name]} for name in ("a", "b")]
        branches = about_keys if self._is(0.2) else [self._schema(depth - 1) for _ in range(self._pick((1, 2, 3)))]
        return {**(self._object(depth - 1) if self._is(0.3) else {}), key: branches}

    def _reference(self) -> dict[str, Any]:
        sibling = {"minProperties": 1} if self._is(0.2) else {}
        return {"$ref": self._pick(("#/$defs/Node", "#/$defs/Leaf", "#")), **sibling}

    # Choices.

    def _some(self, choices: dict[str, Any], chance: float = 0.3) -> dict[str, Any]:
        return {key: make() for key, make in choices.items() if self._is(chance)}

    def _sample(self, values: Sequence[Any]) -> list[Any]:
        return [value for value in values if self._is(0.4)]

    def _pick(self, values: Sequence[Any]) -> Any:
        return self._random.choice(values)

    def _is(self, chance: float) -> bool:
        return self._random.random() < chance
