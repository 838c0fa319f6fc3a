"""Translate the schema of a tool into one that engines compile to a grammar; it allows all that the given one allows.

Limits are those of vLLM 0.32 with llguidance 1.7.6 (Mistral tokenizers) and xgrammar 0.2.8, tried with
tests/bench/compile_grammars.py; what vLLM refuses before xgrammar sees it is in its backend_xgrammar.py. What is left
out is added to the description, since the whole schema checks the reply.
"""

from __future__ import annotations

import json
import math
from typing import Literal, cast

from pydantic import JsonValue

from .exact import JsonObject
from .grammar_patterns import is_writable
from .grammar_references import is_circular
from .grammar_values import MAX_INTEGER, is_of, values_of
from .keywords import ANNOTATIONS, walk
from .merge import KINDS, merged

Backend = Literal["guidance", "any"]
"""The back-end of the server. With `any` it may be xgrammar: what that compiles but cannot write is left out too."""

_FORMATS = frozenset({"date", "uuid", "ipv4", "ipv6"})
"""Those that both know and can write all values of. Not so: a date-time or time without offset, a duration below zero,
an address or URI with letters beyond ASCII."""
_MAX_NESTING = 56
"""vLLM refuses JSON with more than 64 levels (sampling_params.py), and wraps the schema of a forced call in six."""
_MAX_LENGTH = 1_000_000
_MAX_ITEMS = 1_000
"""llguidance allows 500,000 symbols in the grammar of all tools together; an array of up to 100,000 takes them all."""
_MAX_NOTE_CHARS = 400
_MAX_INLINED = 50
"""Definitions that are written out, because other rules stand beside a reference; each may hold many more."""

_NUMBERS = frozenset({"integer", "number"})
_OF_ARRAYS = frozenset({"items", "prefixItems", "minItems", "maxItems"})
_OF_OBJECTS = frozenset(
    {"properties", "required", "additionalProperties", "patternProperties", "unevaluatedProperties"}
)
_ROUNDED = {"minimum": math.ceil, "maximum": math.floor, "exclusiveMinimum": math.floor, "exclusiveMaximum": math.ceil}
"""Bounds, and how one between two integers is written for integers."""
_OF_KINDS = _OF_ARRAYS | _OF_OBJECTS | _ROUNDED.keys() | {"pattern", "format", "minLength", "maxLength"}
"""Keywords about values of one type that are sent or translated. Not sent: `propertyNames`, `minProperties`, `not`,
`if`, `dependent*`, `unevaluated*`, `contains` and `uniqueItems`, which llguidance refuses; `multipleOf`, which vLLM
refuses for xgrammar; `patternProperties`, which it refuses for guidance."""
_APPLICATORS = frozenset({"anyOf", "oneOf", "if", "dependentSchemas", "$ref", "not"})
_ONLY_ABOUT_KEYS = frozenset({"required", "not", "minProperties", "maxProperties", "dependentRequired"})
_SAYS_NOTHING = (("uniqueItems", False), ("unevaluatedProperties", True), ("unevaluatedItems", True))


def sent_schema(parameters: JsonObject, *, backend: Backend = "any") -> JsonObject:
    """Return the schema to send as strict; the same object if nothing has to be translated.

    Args:
        parameters: JSON Schema 2020-12 of an object, whose references are `#` or `#/$defs/NAME`.
        backend: The one that the server uses.
    """
    definitions = cast("JsonObject", parameters.get("$defs", {}))
    root = {key: value for key, value in parameters.items() if key != "$defs"}
    root_name = "arguments"
    if any(inner.get("$ref") == "#" for inner in walk(parameters)):
        # vLLM puts the schema into a larger one for `tool_choice: required`, where `#` would mean that one.
        while root_name in definitions:
            root_name += "_"
        definitions = cast("JsonObject", {**definitions, root_name: root})
    translation = _Translation(definitions, root_name, backend)
    sent: JsonObject = {"type": "object", **translation.schema(root, kinds=["object"])}
    used = translation.used_definitions()
    if used:
        sent["$defs"] = used
    return parameters if _spelt(sent) == _spelt(parameters) else sent


def _spelt(schema: JsonObject) -> str:
    # Not `==`, to which 10.0 is 10 and True is 1.
    return json.dumps(schema, sort_keys=True)


class _Translation:
    def __init__(self, definitions: JsonObject, root_name: str, backend: Backend) -> None:
        self._definitions = definitions
        self._root_name = root_name
        self._for_xgrammar = backend == "any"
        self._inlined = 0
        self._made: JsonObject = {}
        self._wanted: list[str] = []

    def used_definitions(self) -> JsonObject:
        """Return the definitions that are referred to, translated, in the given order."""
        while self._wanted:
            name = self._wanted.pop()
            if name not in self._made:
                self._made[name] = {}
                self._made[name] = self.schema(self._definitions.get(name, {}), level=2)
        return {name: self._made[name] for name in self._definitions if name in self._made}

    def schema(self, node: JsonValue, *, level: int = 0, kinds: list[str] | None = None) -> JsonObject:
        """Translate one schema; `false` becomes one that allows everything.

        Args:
            node: The schema.
            level: How many objects and arrays it is in.
            kinds: The types that the schema around it allows for the same value. None means that it does not say.
        """
        if not isinstance(node, dict) or level > _MAX_NESTING:
            return {}
        node = merged(node, self._definitions, self._may_inline)
        out = {key: value for key, value in node.items() if key in ANNOTATIONS and key != "format"}
        if "$ref" in node:
            name = self._name_of(node)
            self._wanted.append(name)
            out["$ref"] = f"#/$defs/{name}"
        elif (options := values_of(node)) and (level or self._may_be(options, ["object"])):
            return {**out, **options}
        else:
            out |= self._constrained(node, kinds, level)
        return _with_note(out, node)

    def _may_inline(self, name: str) -> bool:
        """Return whether a definition may be written out once more: if it ends, and not too often in all."""
        self._inlined += 1
        return self._inlined <= _MAX_INLINED and not is_circular({"$ref": f"#/$defs/{name}"}, self._definitions)

    def _constrained(self, node: JsonObject, outer: list[str] | None, level: int) -> JsonObject:
        """Translate the keywords that constrain a value by its type, and the choices between schemas."""
        kinds = _kinds(node, outer)
        out: JsonObject = {}
        if kinds:
            out["type"] = node.get("type") or (kinds[0] if len(kinds) == 1 else cast("list[JsonValue]", kinds))
        branches = self._branches(node, kinds, level)
        if branches:
            out["anyOf"] = cast("list[JsonValue]", branches)
        if "string" in kinds:
            out |= self._text(node)
        elif kinds and "format" in node:
            out["format"] = node["format"]  # `int64` and the like, which no back-end reads
        if "number" in kinds or "integer" in kinds:
            out |= self._bounds(node, is_whole="number" not in kinds)
        if "array" in kinds and (not branches or _OF_ARRAYS & node.keys()):
            out |= self._array(node, level)
        if "object" in kinds and (not branches or _OF_OBJECTS & node.keys()):
            out |= self._object(node, branches, level)
        return out

    def _branches(self, node: JsonObject, kinds: list[str], level: int) -> list[JsonObject]:
        # llguidance takes `oneOf` only if it can tell its branches apart.
        given = cast("list[JsonValue]", node.get("anyOf") or node.get("oneOf") or [])
        options = [option for option in given if option is not False]
        if "properties" in node and all(
            isinstance(option, dict) and not option.keys() - _ONLY_ABOUT_KEYS - ANNOTATIONS for option in options
        ):
            return []  # beside them xgrammar would not look at the properties
        if (_OF_ARRAYS | _OF_OBJECTS) & node.keys() and is_circular(node, self._definitions):
            return []  # llguidance does not combine a circular reference with anything
        made = [self.schema(option, level=level + 2, kinds=kinds) for option in options]
        return [branch for branch in made if not kinds or self._may_be(branch, kinds)]

    def _name_of(self, node: JsonObject) -> str:
        reference = str(node["$ref"])
        return self._root_name if reference == "#" else reference.removeprefix("#/$defs/")

    def _may_be(self, branch: JsonObject, kinds: list[str]) -> bool:
        """Return whether a translated schema allows a value of these types; llguidance refuses one that does not."""
        for _ in range(len(self._definitions)):
            if "$ref" not in branch:
                break
            branch = cast("JsonObject", self._definitions.get(self._name_of(branch), {}))
        if "const" in branch or "enum" in branch:
            values = [branch["const"]] if "const" in branch else cast("list[JsonValue]", branch["enum"])
            return any(is_of(value, kinds) for value in values)
        own = set(_kinds(branch, None) or KINDS)
        return bool(own & set(kinds)) or (
            {"integer", "number"} <= own | set(kinds)
            and not own.isdisjoint(_NUMBERS)
            and not _NUMBERS.isdisjoint(kinds)
        )

    def _text(self, node: JsonObject) -> JsonObject:
        # vLLM refuses a length beside a pattern or a format for xgrammar.
        pattern = node.get("pattern")
        if isinstance(pattern, str) and is_writable(pattern, by_xgrammar=self._for_xgrammar):
            return {"pattern": pattern}
        if node.get("format") in _FORMATS:
            return {"format": node["format"]}
        if self._for_xgrammar:
            return {}  # beside a length, xgrammar writes no character that JSON escapes
        return _sizes(node, "minLength", "maxLength", _MAX_LENGTH)

    def _bounds(self, node: JsonObject, *, is_whole: bool) -> JsonObject:
        if self._for_xgrammar and not is_whole:
            return {}  # beside a bound, xgrammar writes six digits after the point
        found: dict[str, float] = {}
        for key, whole in _ROUNDED.items():
            value = node.get(key)
            if isinstance(value, (int, float)) and abs(value) <= MAX_INTEGER:
                found[key] = whole(value) if is_whole else value
        # llguidance refuses bounds that nothing is between.
        least = max(found.get("minimum", -math.inf), found.get("exclusiveMinimum", -math.inf) + is_whole)
        most = min(found.get("maximum", math.inf), found.get("exclusiveMaximum", math.inf) - is_whole)
        is_possible = least < most or (least == most and (is_whole or found.keys() == {"minimum", "maximum"}))
        return cast("JsonObject", found) if is_possible else {}

    def _array(self, node: JsonObject, level: int) -> JsonObject:
        sizes = _sizes(node, "minItems", "maxItems", _MAX_ITEMS)
        most = cast("int", sizes.get("maxItems", _MAX_ITEMS))
        first = cast("list[JsonValue]", node.get("prefixItems", []))[:most]
        out: JsonObject = {}
        if first:
            out["prefixItems"] = [self.schema(item, level=level + 2) for item in first]
        rest = node.get("items")
        if isinstance(rest, dict):
            out["items"] = self.schema(rest, level=level + 1)
        elif isinstance(rest, bool):
            out["items"] = rest
        elif len(first) < most or not first:
            out["items"] = {}  # xgrammar takes what is not mentioned for forbidden
        if rest is False and cast("int", sizes.get("minItems", 0)) > len(first):
            del sizes["minItems"]
        return {**out, **sizes}

    def _object(self, node: JsonObject, branches: list[JsonObject], level: int) -> JsonObject:
        out: JsonObject = {}
        given = cast("JsonObject", node.get("properties", {}))
        known = {name: self.schema(inner, level=level + 2) for name, inner in given.items() if inner is not False}
        rest = self._additional(node, level)
        required = cast("list[str]", node.get("required", []))
        if rest is False:
            required = [name for name in required if name in known]
        else:  # xgrammar writes a required property only if it is described
            known |= {name: {} if rest is True else rest for name in required if name not in known}
        if known or "properties" in node:
            out["properties"] = cast("JsonObject", known)
        is_extended = any("$ref" in branch or set(_names_in(branch)) - known.keys() for branch in branches)
        out["additionalProperties"] = True if rest is False and is_extended else rest
        if "required" in node:
            out["required"] = cast("list[JsonValue]", required)
        return out

    def _additional(self, node: JsonObject, level: int) -> JsonValue:
        """Return `additionalProperties`, for the keys that a pattern describes too."""
        rest = node.get("additionalProperties")
        if rest is None:
            rest = True if _APPLICATORS & node.keys() else node.get("unevaluatedProperties", True)
        described = list(cast("JsonObject", node.get("patternProperties", {})).values())
        options = [option for option in (*described, rest) if option is not False]
        if rest is False and not options:
            return False
        if any(option is True or option == {} for option in options):
            return True
        made = [self.schema(option, level=level + 1 + 2 * (len(options) > 1)) for option in options]
        return made[0] if len(made) == 1 else {"anyOf": cast("list[JsonValue]", made)}


def _kinds(node: JsonObject, outer: list[str] | None) -> list[str]:
    """Return the types that a schema is about; empty if it says nothing about any."""
    stated = node.get("type")
    if stated:
        return cast("list[str]", stated if isinstance(stated, list) else [stated])
    if outer:
        return outer
    # xgrammar takes a schema without a type for one of the type that its keywords are about.
    return [kind for kind in KINDS if kind != "integer"] if (_OF_KINDS - {"format"}) & node.keys() else []


def _sizes(node: JsonObject, low: str, high: str, limit: int) -> JsonObject:
    found = {key: int(cast("float", node[key])) for key in (low, high) if key in node}
    found = {key: value for key, value in found.items() if value <= limit}
    return {} if found.get(low, 0) > found.get(high, limit) else cast("JsonObject", found)


def _names_in(branch: JsonObject) -> list[str]:
    return [*cast("JsonObject", branch.get("properties", {})), *cast("list[str]", branch.get("required", []))]


def _with_note(out: JsonObject, node: JsonObject) -> JsonObject:
    """Add to the description what is not sent, so that the model knows it all the same."""
    left_out = {
        key: value
        for key, value in node.items()
        if key not in out
        and (key not in ANNOTATIONS or key == "format")
        and key not in {"$defs", "type"}
        and not (key == "oneOf" and "anyOf" in out)
        and not (key == "unevaluatedProperties" and out.get("additionalProperties") == value)
        and not (key == "propertyNames" and value in ({}, True, {"type": "string"}))
        and (key, value) not in _SAYS_NOTHING
        and not (key in {"minLength", "minItems", "minProperties"} and value == 0)
        and not (key in {"anyOf", "prefixItems"} and not value)
    }
    note = json.dumps(left_out, ensure_ascii=False)
    if not left_out or len(note) > _MAX_NOTE_CHARS:
        return out
    return {**out, "description": f"{out.get('description', '')} Must also satisfy {note}.".strip()}
