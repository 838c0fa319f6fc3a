"""The ordered, immutable tools of one run; finds similar names, and serializes to the same bytes every time."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import cast

from pydantic import JsonValue

from ..errors import ConfigError
from ..schema.grammar import sent_schema
from .arguments import JsonObject
from .requirements import check_requirements
from .tool import Tool

_MISTRAL_TOKENIZERS = frozenset({"mistral", "mistral_large", "pocket"})
"""Families whose grammars vLLM always compiles with guidance (0.32, sampling_params.py)."""
_NAME_LIKE = re.compile(r"[\w.:/-]{0,100}")


def can_read_files(tools: Iterable[Tool]) -> bool:
    """Return whether a model with these tools can read a file of the workspace: by a command or by `read_file`."""
    # A tool that was made of a schema, such as that of an MCP server, has a command of its own.
    return any((tool.commands and tool.source is not None) or tool.name == "read_file" for tool in tools)


class Toolbox:
    """The tools of a run, in the given order; immutable, because a changed tool list empties the prefix cache."""

    def __init__(self, tools: Iterable[Tool] = (), *, family: str = "generic") -> None:
        """Collect the tools.

        Args:
            tools: in the order in which the model reads them.
            family: the model's profile; a tool with a variant for it is replaced by that.

        Raises:
            ConfigError: an entry is not a tool, two tools have the same name, or a package that one needs is missing.
        """
        self._tools: dict[str, Tool] = {}
        for tool in cast("Iterable[object]", tools):
            if not isinstance(tool, Tool):
                msg = f"{tool!r} is not a tool. Decorate the function with @tool."
                raise ConfigError(msg)
            if tool.name in self._tools:
                msg = f"Two tools are named {tool.name!r}. Rename one: @tool(name=...)."
                raise ConfigError(msg)
            self._tools[tool.name] = tool.for_family(family)
        check_requirements(self)
        self._strict: dict[str, JsonObject] = {
            name: _strict(tool, is_mistral=family in _MISTRAL_TOKENIZERS) for name, tool in self._tools.items()
        }
        self.definitions: bytes = self.definitions_of(self.names)
        """The `tools` value of a request, as JSON bytes; the same for the whole run unless a grammar is refused. Each
        schema is the part of the tool's that engines compile; the whole schema checks the reply."""
        self.loose_definitions: bytes = self.definitions_of(self.names, loose=self.names)
        """The same without `strict` and with the whole schemas, for servers that refuse `strict`."""

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    @property
    def digest(self) -> str:
        """`2:` and the SHA-256 of names and parameters. Descriptions are excluded: their wording may change."""
        shapes = [[tool.name, _without_descriptions(tool.parameters)] for tool in self._tools.values()]
        return f"2:{hashlib.sha256(json.dumps(shapes).encode()).hexdigest()}"

    def matches(self, digest: str, names: Sequence[str]) -> bool:
        """Return whether a journaled run can be resumed with this toolbox.

        Args:
            digest: the one in its journal. A digest without `2:` is older and covers the descriptions too, so only the
                names are compared.
            names: the names of its tools, in order.
        """
        return self.digest == digest if digest.startswith("2:") else self.names == tuple(names)

    def argument_names(self) -> dict[str, frozenset[str] | None]:
        """Return the names of each tool's arguments, those of its variants included; None if it takes any."""
        return {tool.name: _argument_names((tool, *tool.variants.values())) for tool in self}

    def get(self, name: str) -> Tool | None:
        """Return the tool with exactly this name; None if there is none."""
        return self._tools.get(name)

    def definitions_of(self, names: Collection[str], *, loose: Collection[str] = ()) -> bytes:
        """Return the `tools` value of a request with some of the tools.

        Args:
            names: the tools to send.
            loose: those to send without `strict` and with their whole schema.
        """
        return _dump([_loose(self._tools[name]) if name in loose else self._strict[name] for name in names])

    def sent_parameters(self, name: str) -> JsonObject:
        """Return the schema of a tool's arguments as an engine compiles it to a grammar."""
        return cast("JsonObject", cast("JsonObject", self._strict[name]["function"])["parameters"])

    def fingerprint(self, name: str) -> str:
        """Return a short hash of what is sent of a tool as strict."""
        return hashlib.sha256(_dump([self._strict[name]])).hexdigest()[:16]

    def nearest(self, name: str) -> tuple[str, ...]:
        """Return up to three names similar to `name`, closest first.

        If none is very similar, a name that is a word of it comes alone: `git_diff` means `diff`, not `apply_diff`.
        """
        by_lower = {known.lower(): known for known in self._tools}
        # A server may send "add(a=3, b=4)" or much longer text as a name; only its beginning can be one.
        start = _NAME_LIKE.match(name.strip())
        wanted = name if start is None else start.group()
        words = [word for word in re.split(r"[\W_]+", wanted.lower()) if word in by_lower]
        is_typo = difflib.get_close_matches(wanted.lower(), list(by_lower), n=1, cutoff=0.8)
        if words and not is_typo:
            return tuple(by_lower[word] for word in dict.fromkeys(words))
        close = difflib.get_close_matches(wanted.lower(), list(by_lower), n=3, cutoff=0.5)
        return tuple(by_lower[match] for match in close)


def _strict(tool: Tool, *, is_mistral: bool) -> JsonObject:
    definition = tool.definition()
    sent = sent_schema(tool.parameters, backend="guidance" if is_mistral else "any")
    return {**definition, "function": {**cast("JsonObject", definition["function"]), "parameters": sent}}


def _loose(tool: Tool) -> JsonObject:
    definition = tool.definition()
    function = cast("JsonObject", definition["function"])
    return {**definition, "function": {key: value for key, value in function.items() if key != "strict"}}


def _without_descriptions(node: JsonValue) -> JsonValue:
    if isinstance(node, list):
        return [_without_descriptions(item) for item in node]
    if not isinstance(node, dict):
        return node
    # Inside `properties` the keys are parameter names, and one may be called `description`.
    return {
        key: {name: _without_descriptions(inner) for name, inner in value.items()}
        if key == "properties" and isinstance(value, dict)
        else _without_descriptions(value)
        for key, value in node.items()
        if key != "description"
    }


def _argument_names(forms: Sequence[Tool]) -> frozenset[str] | None:
    if any(form.parameters.get("additionalProperties") is not False for form in forms):
        return None
    return frozenset(name for form in forms for name in cast("JsonObject", form.parameters.get("properties", {})))


def _dump(definitions: list[JsonObject]) -> bytes:
    return json.dumps(definitions, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
