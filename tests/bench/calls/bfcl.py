"""Read the functions and true calls of the Berkeley Function Calling Leaderboard as JSON Schema tools."""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from calls.downloads import BFCL, downloaded
from calls.values import Json

_DATA = "bfcl_eval/data/"
_TYPES = {
    "dict": "object",
    "HashMap": "object",
    "float": "number",
    "double": "number",
    "long": "integer",
    "tuple": "array",
    "Array": "array",
    "ArrayList": "array",
    "String": "string",
    "char": "string",
    "Boolean": "boolean",
}
_KEPT = ("description", "enum", "default", "format", "minItems", "maxItems", "maximum")


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function of the leaderboard with its true calls."""

    name: str
    """As the leaderboard spells it, mostly with dots."""
    description: str
    own: Json
    """Its parameters in the leaderboard's dialect, which is not JSON Schema: `dict`, `float`, `any`."""
    schema: Json
    """The same as JSON Schema, closed to unknown keys in every object that names its properties."""
    calls: tuple[Json, ...] = ()
    """Arguments of its true calls, each once."""

    @property
    def tool_name(self) -> str:
        return re.sub(r"[^A-Za-z0-9_-]+", "_", self.name)[:60]


def functions() -> list[Function]:
    """Return every function once; two are the same if they differ only in descriptions."""
    with zipfile.ZipFile(downloaded(BFCL)) as archive:
        found: dict[str, Function] = {}
        calls: dict[str, dict[str, Json]] = {}
        for record in _records(archive, r"BFCL_v4_\w+\.json"):
            for one in record.get("function", ()):
                key, function = _function(one)
                found.setdefault(key, function)
        answers = {
            record["id"]: record["ground_truth"] for record in _records(archive, r"possible_answer/BFCL_v4_\w+\.json")
        }
        for record in _records(archive, r"BFCL_v4_\w+\.json"):
            offered = {one["name"]: _function(one)[0] for one in record.get("function", ())}
            for name, arguments in _answers(answers.get(record["id"], ())):
                if name in offered:
                    calls.setdefault(offered[name], {})[json.dumps(arguments, sort_keys=True)] = arguments
        _add_scripted(archive, found, calls, answers)
    return [replace(function, calls=tuple(calls.get(key, {}).values())) for key, function in found.items()]


def _add_scripted(
    archive: zipfile.ZipFile, found: dict[str, Function], calls: dict[str, dict[str, Json]], answers: Mapping[str, Json]
) -> None:
    """Add the functions that the multi-turn tasks share; their answers are Python calls as text."""
    known: dict[str, str] = {}
    for one in _records(archive, r"multi_turn_func_doc/\w+\.json"):
        key, function = _function(one)
        found.setdefault(key, function)
        known[function.name] = key
    lines = [line for record, turns in answers.items() if record.startswith("multi_turn") for line in _flat(turns)]
    for name, arguments in filter(None, map(_python_call, lines)):
        if name in known:
            calls.setdefault(known[name], {})[json.dumps(arguments, sort_keys=True)] = arguments


def _records(archive: zipfile.ZipFile, pattern: str) -> Iterator[Json]:
    for name in sorted(archive.namelist()):
        if name.startswith(_DATA) and re.fullmatch(pattern, name.removeprefix(_DATA)):
            text = archive.read(name).decode()
            if not text.startswith("{\n"):  # the one file that is not a record per line holds no functions
                yield from (json.loads(line) for line in text.splitlines() if line.strip())


def _function(one: Json) -> tuple[str, Function]:
    schema = converted(one["parameters"])
    function = Function(
        name=one["name"], description=one["description"] or one["name"], own=one["parameters"], schema=schema
    )
    return json.dumps([one["name"], _bare(schema)], sort_keys=True), function


def converted(node: Json) -> Json:
    """Convert the leaderboard's dialect to JSON Schema; `any` and an empty type become no type."""
    schema = {key: node[key] for key in _KEPT if key in node}
    kind = _TYPES.get(node.get("type", ""), node.get("type"))
    if kind not in {"any", "", None}:
        schema["type"] = kind
    if isinstance(node.get("properties"), Mapping):
        schema["properties"] = {key: converted(inner) for key, inner in node["properties"].items()}
        schema["additionalProperties"] = False
        schema["required"] = [key for key in node.get("required") or () if key in schema["properties"]]
    if isinstance(node.get("items"), Mapping):
        schema["items"] = converted(node["items"])
    return schema


def _bare(node: Json, *, names: bool = False) -> Json:
    if isinstance(node, list):
        return [_bare(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    kept = {key: value for key, value in node.items() if names or key != "description"}
    return {key: _bare(value, names=key == "properties" and not names) for key, value in kept.items()}


def _answers(truth: Json) -> Iterator[tuple[str, Json]]:
    for one in truth if isinstance(truth, list) else ():
        if isinstance(one, Mapping):
            for name, options in one.items():
                yield name, _first(options)


def _first(options: Mapping[str, Json]) -> Json:
    """Return the first right value of each argument; an empty text among the options means it may be left out."""
    return {
        key: _unlisted(values[0])
        for key, values in options.items()
        if isinstance(values, list) and values and values[0] != ""
    }


def _unlisted(value: Json) -> Json:
    if isinstance(value, Mapping):
        return _first(value) if all(isinstance(item, list) for item in value.values()) else value
    return [_unlisted(item) for item in value] if isinstance(value, list) else value


def _flat(value: Json) -> Iterable[str]:
    return (line for item in value for line in _flat(item)) if isinstance(value, list) else (str(value),)


def _python_call(line: str) -> tuple[str, Json] | None:
    try:
        node = ast.parse(line, mode="eval").body
        if not isinstance(node, ast.Call) or node.args or not isinstance(node.func, ast.Name):
            return None
        return node.func.id, {str(item.arg): ast.literal_eval(item.value) for item in node.keywords}
    except (SyntaxError, ValueError):
        return None
