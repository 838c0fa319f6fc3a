"""Offer the schemas of the JSON Schema test suite as tools and check the suite's instances against its verdicts."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from calls.bfcl import Function
from calls.downloads import JSONSCHEMA, downloaded
from calls.judging import SLOW_MS, Case, Judged, judge
from calls.tools_of import schema_tool
from calls.values import Json

from agent import ConfigError, Tool
from agent.tooling.toolbox import Toolbox

DRAFTS: Mapping[str, str] = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
_REMOTE = ("http://localhost:1234", "http://json-schema.org/draft", "https://json-schema.org/draft")


@dataclass(frozen=True, kw_only=True)
class Group:
    """One schema of the suite and its instances."""

    draft: str
    where: str
    schema: Json
    tests: Sequence[Json]


@dataclass
class Counts:
    """What became of one draft's schemas and instances."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, row: str, line: str = "") -> None:
        self.counts[row] += 1
        if line:
            self.examples.setdefault(row, []).append(line)


def groups(draft: str, folder: str = "") -> Iterator[Group]:
    """Yield the schemas of the suite's obligatory part, or of a folder such as `optional`."""
    inside = ("json", "tests", draft, *filter(None, folder.split("/")))
    with tarfile.open(downloaded(JSONSCHEMA)) as archive:
        for member in sorted(archive.getmembers(), key=lambda one: one.name):
            path = PurePosixPath(member.name)
            if path.suffix == ".json" and path.parts[1:-1] == inside:
                opened = archive.extractfile(member)
                assert opened is not None, "every member with a suffix is a file"
                for one in json.load(opened):
                    where = f"{'/'.join((*inside[2:], path.stem))}: {one['description']}"
                    yield Group(draft=draft, where=where, schema=one["schema"], tests=one["tests"])


def run_suite(folder: str = "") -> dict[str, Counts]:
    """Return the counts by draft."""
    return {draft: _run_draft(draft, folder) for draft in DRAFTS}


def _run_draft(draft: str, folder: str) -> Counts:
    counts = Counts()
    for group in groups(draft, folder):
        counts.add("schemas")
        direct = isinstance(group.schema, Mapping) and all(isinstance(one["data"], dict) for one in group.tests)
        parameters = _declared(group.schema, draft) if direct else _wrapped(group.schema, draft)
        try:
            tool = schema_tool(_NAMED, parameters, name="suite")
        except ConfigError as error:
            remote = any(f'"{start}' in json.dumps(_references(group.schema)) for start in _REMOTE)
            counts.add("refused, remote" if remote else "refused", f"{group.where}: {error}")
            continue
        except Exception as error:  # noqa: BLE001 - that is what is measured
            counts.add("raised at the start", f"{group.where}: {type(error).__name__}: {error}")
            continue
        counts.add("made")
        if getattr(tool, "notes", ()):
            counts.add("made with notes")
        _run_instances(group, tool, counts, direct=direct)
    return counts


_NAMED = Function(name="suite", description="A schema of the suite.", own={}, schema={})


def _run_instances(group: Group, tool: Tool, counts: Counts, *, direct: bool) -> None:
    toolbox = Toolbox([tool])
    noted = bool(getattr(tool, "notes", ()))
    for one in group.tests:
        counts.add("instances")
        value = one["data"] if direct else {"value": one["data"]}
        case = Case(kind="suite", arguments=json.dumps(value), right=(value,), plain=True)
        judged = judge(case, toolbox, tool.name, {})
        line = f"{group.where}: {one['description']}: {json.dumps(one['data'])[:120]}: {', '.join(judged.says)[:200]}"
        if judged.verdict in {"raised", "stuck"}:
            counts.add(judged.verdict, line)
        elif judged.cpu_ms > SLOW_MS:
            counts.add("over 50 ms", line)
        elif one["valid"]:
            if judged.verdict not in {"accepted as is", "repaired rightly, flagged"}:
                counts.add(_valid_row(judged, closed=direct and not group.schema.keys() & _OPENS), line)
        elif judged.verdict == "accepted as is":
            counts.add("invalid, accepted with a note" if noted else "invalid but accepted", line)
        elif not judged.verdict.startswith("refused"):
            counts.add("invalid, repaired and flagged", line)


# With one of these at the top, a key may be named elsewhere than in `properties`.
_OPENS = frozenset(
    {
        *("allOf", "anyOf", "oneOf", "if", "$ref", "$dynamicRef", "$recursiveRef", "dependentSchemas", "dependencies"),
        *("additionalProperties", "patternProperties", "unevaluatedProperties", "propertyNames"),
    }
)


def _valid_row(judged: Judged, *, closed: bool) -> str:
    if not judged.verdict.startswith("refused"):
        return "valid but changed"
    faults = " ".join(judged.says).split("; $")
    # A top that says nothing about other keys is closed on purpose: the model is told so in the schema that is sent.
    return "valid, top closed" if closed and all("is not a parameter" in one for one in faults) else "valid but refused"


def _declared(schema: Json, draft: str) -> Json:
    return {"$schema": DRAFTS[draft], **schema}


def _wrapped(schema: Json, draft: str) -> Json:
    """Return an object with the schema as its property `value`; its references to its own root are moved along."""
    inner = schema
    if isinstance(schema, Mapping):
        inner = {key: value for key, value in schema.items() if key != "$schema"}
        identifier = "id" if draft == "draft4" else "$id"
        if isinstance(schema.get(identifier), str) and not schema[identifier].startswith("#"):
            pass  # a resource of its own, whose references stay inside
        elif '"$dynamicRef"' in json.dumps(schema) or '"$recursiveRef"' in json.dumps(schema):
            inner = {"$id": "urn:suite:value", **inner}
        else:
            inner = _moved(inner, identifier)
    return {
        "$schema": DRAFTS[draft], "type": "object", "properties": {"value": inner}, "required": ["value"],
    }  # fmt: skip


def _moved(node: Json, identifier: str) -> Json:
    if isinstance(node, list):
        return [_moved(item, identifier) for item in node]
    if not isinstance(node, Mapping):
        return node
    if isinstance(node.get(identifier), str) and not node[identifier].startswith("#"):
        return dict(node)
    moved: Json = {}
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/")):
            moved[key] = f"#/properties/value{value[1:]}"
        else:
            moved[key] = value if key in {"enum", "const"} else _moved(value, identifier)
    return moved


def _references(node: Json) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in _references(item)]
    if not isinstance(node, Mapping):
        return []
    own = [str(node[key]) for key in ("$ref", "$dynamicRef", "$id", "id") if isinstance(node.get(key), str)]
    return [*own, *(found for item in node.values() for found in _references(item))]


_ROWS = (
    *("schemas", "made", "made with notes", "refused", "refused, remote", "raised at the start", "instances"),
    *("valid but refused", "valid, top closed", "valid but changed", "invalid but accepted"),
    *("invalid, accepted with a note", "invalid, repaired and flagged", "raised", "stuck", "over 50 ms"),
)
_TOLD = ("refused", "raised at the start", "valid but refused", "valid but changed", "invalid but accepted", "raised")


def print_suite(found: Mapping[str, Counts], *, part: str, examples: int = 12) -> None:
    """Print a row for each count and a column for each draft, then the examples."""
    print(f"## JSON Schema test suite, {part}\n")
    print(f"| | {' | '.join(found)} |\n|---|{'---:|' * len(found)}")
    for row in _ROWS:
        print(f"| {row} | {' | '.join(str(counts.counts[row]) for counts in found.values())} |")
    print()
    for line in _examples(found, examples):
        print(line)


def _examples(found: Mapping[str, Counts], most: int) -> Iterable[str]:
    for row in (*_TOLD, "stuck", "over 50 ms"):
        for counts in found.values():
            yield from (f"- {row}: {line[:360]}" for line in counts.examples.get(row, ())[:most])
