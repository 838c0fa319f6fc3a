"""Find what the references of a schema document mean; fetches nothing, and reads only metaschemas from elsewhere."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast
from urllib.parse import unquote, urldefrag, urljoin

from pydantic import JsonValue

from .exact import JsonObject
from .keywords import children

Draft = Literal[3, 4, 6, 7, 2019, 2020]

_DRAFTS: Mapping[str, Draft] = {
    "json-schema.org/draft-03/schema": 3,
    "json-schema.org/draft-04/schema": 4,
    "json-schema.org/draft-06/schema": 6,
    "json-schema.org/draft-07/schema": 7,
    "json-schema.org/draft/2019-09/schema": 2019,
    "json-schema.org/draft/2020-12/schema": 2020,
    "json-schema.org/schema": 2020,
}


class UnusableSchema(Exception):
    """Raised for a schema that no tool can be made of. The text continues "Tool 'x': "."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a schema inherits from those around it."""

    draft: Draft
    base: str
    """URI of the resource, without a fragment. Empty means that it has none."""
    resource: JsonObject
    """The schema at the root of the resource."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What a reference leads to."""

    schema: JsonValue
    context: Context
    name: str
    """The last part of the reference, to name the target by."""


class Documents:
    """A schema document and the metaschemas that it refers to, with the identifiers in them."""

    def __init__(self, root: JsonObject, draft: Draft) -> None:
        self._contexts: dict[int, Context] = {}
        self._resources: dict[str, Context] = {}
        self._anchors: dict[tuple[str, str], JsonObject] = {}
        self._named_dynamic: dict[str, list[JsonObject]] = {}  # by `$dynamicAnchor`
        self._recursive: list[JsonObject] = []  # with `$recursiveAnchor`
        self.root = Context(draft=draft, base="", resource=root)
        self._resources[""] = self.root
        self._index(root, self.root)
        self.root = self.context_of(root, self.root)

    def context_of(self, schema: JsonObject, outer: Context) -> Context:
        """Return the context of a schema; `outer` is that of the schema around it."""
        return self._contexts.get(id(schema), outer)

    def resolve(self, reference: str, context: Context) -> Target | None:
        """Return what a reference means; None if it leads outside of the known documents.

        Raises:
            UnusableSchema: it names a place that its document does not have.
        """
        address, fragment = _split(reference)
        uri = _joined(context.base, address) if address else context.base
        resource = self._resources.get(uri) or self._shipped(uri)
        if resource is None:
            return None
        fragment = unquote(fragment)
        if fragment.startswith("/"):
            return self._at_pointer(reference, fragment, resource)
        if fragment:
            named = self._anchors.get((uri, fragment))
            if named is None:
                raise _missing(reference)
            return Target(schema=named, context=self.context_of(named, resource), name=fragment)
        name = uri.rstrip("/").rpartition("/")[2].partition(".")[0] or "root"
        return Target(schema=resource.resource, context=resource, name=name)

    def settled(self, key: str, value: str, target: Target) -> Target | None:
        """Return what a dynamic reference to a target means, if that is one thing whatever the way to it."""
        schema = target.schema
        if not isinstance(schema, dict):
            return target
        if key == "$recursiveRef":
            is_dynamic, candidates = schema.get("$recursiveAnchor") is True, self._recursive
        else:
            name = value.partition("#")[2]
            is_dynamic, candidates = schema.get("$dynamicAnchor") == name, self._named_dynamic.get(name, [])
        if not is_dynamic:
            return target
        outermost = [one for one in candidates if self.context_of(one, target.context) == self.root]
        if outermost:  # every evaluation begins in the root's resource, and the first on the way is meant
            return Target(schema=outermost[0], context=self.root, name=target.name)
        return target if len(candidates) == 1 else self._official(candidates, target)

    def _official(self, candidates: list[JsonObject], target: Target) -> Target | None:
        """Return the metaschema itself if only it and its vocabularies have the anchor; each refers to it."""
        bases = {self.context_of(one, target.context).base: one for one in candidates}
        whole = [base for base in bases if base.endswith("/schema")]
        if len(whole) != 1 or not all(base.startswith(whole[0].removesuffix("schema")) for base in bases):
            return None
        found = bases[whole[0]]
        return Target(schema=found, context=self.context_of(found, target.context), name="schema")

    def _at_pointer(self, reference: str, pointer: str, context: Context) -> Target:
        here: JsonValue = context.resource
        name = "root"
        for part in pointer[1:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            members = dict(_numbered(here)) if isinstance(here, list) else here
            if not isinstance(members, dict) or name not in members:
                raise _missing(reference)
            here = cast("JsonObject", members)[name]
            if isinstance(here, dict):
                context = self.context_of(here, context)
        return Target(schema=here, context=context, name=name)

    def _shipped(self, uri: str) -> Context | None:
        """Return a metaschema that comes with jsonschema, as one more document."""
        if not uri.startswith(("http://json-schema.org/", "https://json-schema.org/")):
            return None
        # The metaschemas that jsonschema ships; the package has no stubs.
        registry: Mapping[str, Any] = importlib.import_module("jsonschema_specifications").REGISTRY
        found = registry.get(uri) or registry.get(f"{uri}#")
        if found is None:
            return None
        schema = cast("JsonObject", json.loads(json.dumps(found.contents)))  # a copy of our own, indexed by identity
        draft = draft_of(schema.get("$schema")) or 2020
        context = Context(draft=draft, base=uri, resource=schema)
        self._resources[uri] = context
        self._index(schema, context)
        return context

    def _index(self, schema: JsonObject, outer: Context) -> None:
        context = self._entered(schema, outer)
        self._contexts[id(schema)] = context
        for child in children(schema):
            if isinstance(child.schema, dict):
                self._index(child.schema, context)

    def _entered(self, schema: JsonObject, outer: Context) -> Context:
        stated = draft_of(schema.get("$schema"))
        context = outer if stated is None else replace(outer, draft=stated)
        identifier = schema.get("id" if context.draft <= 4 else "$id")
        if isinstance(identifier, str) and not (context.draft <= 7 and "$ref" in schema):
            address, fragment = _split(identifier)
            if address:
                context = replace(context, base=_joined(outer.base, address), resource=schema)
                self._resources.setdefault(context.base, context)
            elif stated is not None and schema is not outer.resource:
                context = outer
            if fragment and context.draft <= 7:
                self._anchors[context.base, fragment] = schema
        elif stated is not None and schema is not outer.resource:
            context = outer  # only the root of a resource can set its draft
        for name in _names(schema, "$anchor", "$dynamicAnchor"):
            self._anchors[context.base, name] = schema
        for name in _names(schema, "$dynamicAnchor"):
            self._named_dynamic.setdefault(name, []).append(schema)
        if schema.get("$recursiveAnchor") is True:
            self._recursive.append(schema)
        return context


def draft_of(uri: JsonValue) -> Draft | None:
    """Return the draft that a `$schema` names; None for another value."""
    if not isinstance(uri, str):
        return None
    return _DRAFTS.get(uri.partition("://")[2].rstrip("#/"))


def _names(schema: JsonObject, *keywords: str) -> Iterator[str]:
    for keyword in keywords:
        name = schema.get(keyword)
        if isinstance(name, str):
            yield name


def _numbered(items: list[JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    return ((str(index), item) for index, item in enumerate(items))


def _split(reference: str) -> tuple[str, str]:
    """Return the address and the fragment of a reference."""
    address, _, fragment = reference.partition("#")
    return address, fragment


def _joined(base: str, address: str) -> str:
    try:
        return urldefrag(urljoin(base, address))[0]
    except ValueError:  # no URI at all, such as `http://[`
        return address


def _missing(reference: str) -> UnusableSchema:
    return UnusableSchema(
        f"`parameters` refers to {reference!r}, which it does not contain. "
        "Put that schema under $defs and refer to it as #/$defs/..."
    )
