"""Change a value into the type its schema wants where nothing is lost by it; every change is named, none is guessed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue

from ..tooling.arguments import Issue, JsonObject, JsonPath
from .repair import Parsed, parse_object
from .schema_lookup import is_required, schemas_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Coerced:
    """Arguments after one round of coercions."""

    value: JsonObject
    changes: tuple[str, ...]
    """Name and place of each, such as `string_to_integer $.lines`; empty: nothing could be changed."""


class SpeltFloat(float):
    """A float that knows its spelling: 3.10 may be meant as the text "3.10"."""

    spelling: str

    def __new__(cls, spelling: str) -> SpeltFloat:
        made = super().__new__(cls, spelling)
        made.spelling = spelling
        return made


def spelt(text: str) -> JsonObject:
    """Read a JSON object, keeping the spelling of its floats. `text`: valid, unique keys."""
    return cast("JsonObject", json.loads(text, parse_float=SpeltFloat))


def coerce(value: JsonObject, issues: Iterable[Issue], schema: JsonObject) -> Coerced:
    """Change what the issues complain about, where the schema leaves exactly one lossless way.

    Never a bool into a number or back, never by rounding, never by filling in or leaving out what has a meaning.
    """
    made = copy.deepcopy(value)
    changes: list[str] = []
    for issue in {issue.path: issue for issue in issues if issue.problem in {"type", "value"}}.values():
        change = _coerce_at(made, issue.path, schema)
        if change is not None:
            changes.append(f"{change} {issue.place}")
    return Coerced(value=made, changes=tuple(changes))


def _coerce_at(whole: JsonObject, path: JsonPath, schema: JsonObject) -> str | None:
    if not path:
        return None
    holder: Any = whole
    for part in path[:-1]:
        holder = holder[part]
    sent: JsonValue = holder[path[-1]]
    if sent is None:
        if isinstance(path[-1], int) or is_required(schema, path):
            return None
        del holder[path[-1]]
        return "null_left_out"
    found = {
        json.dumps(option.value): option
        for branch in schemas_at(schema, path)
        for option in _options(sent, branch)
        if option.value is not sent
    }
    if len(found) != 1:
        return None
    (only,) = found.values()
    holder[path[-1]] = only.value
    return only.name


@dataclass(frozen=True, kw_only=True, slots=True)
class _Option:
    name: str
    value: JsonValue


def _options(sent: JsonValue, branch: JsonObject) -> list[_Option]:
    """Return the lossless ways, at most one per type the branch names, to make it what the branch wants."""
    choices = branch.get("enum", [branch["const"]] if "const" in branch else None)
    if isinstance(choices, list) and isinstance(sent, str):
        plain = sent.strip().casefold()
        same = [choice for choice in choices if isinstance(choice, str) and choice.strip().casefold() == plain]
        if same:
            return [_Option(name="enum_spelling", value=choice) for choice in same]
    kind = branch.get("type")
    kinds = cast("list[str]", kind) if isinstance(kind, list) else [str(kind)]
    made = (_WAYS[name](sent) for name in kinds if name in _WAYS)
    return [option for option in made if option is not None]


_INTEGER = re.compile(r"0|-?[1-9]\d{0,299}")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,299})(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?")
_EXACT_FLOAT = 2**53


def _to_integer(sent: JsonValue) -> _Option | None:
    if isinstance(sent, str) and _INTEGER.fullmatch(sent):
        return _Option(name="string_to_integer", value=int(sent))
    if isinstance(sent, float) and sent.is_integer() and abs(sent) <= _EXACT_FLOAT:
        return _Option(name="float_to_integer", value=int(sent))
    return None


def _to_number(sent: JsonValue) -> _Option | None:
    if not isinstance(sent, str) or not _NUMBER.fullmatch(sent):
        return None
    value = int(sent) if _INTEGER.fullmatch(sent) else float(sent)
    return _Option(name="string_to_number", value=value) if abs(value) < float("inf") else None


def _to_string(sent: JsonValue) -> _Option | None:
    if isinstance(sent, SpeltFloat):
        return _Option(name="number_to_string", value=sent.spelling)
    if isinstance(sent, int) and not isinstance(sent, bool):
        return _Option(name="number_to_string", value=str(sent))
    return None


def _to_boolean(sent: JsonValue) -> _Option | None:
    known = {"true": True, "false": False}
    if isinstance(sent, str) and sent.lower() in known:
        return _Option(name="string_to_boolean", value=known[sent.lower()])
    return None


def _to_container(kind: type, name: str) -> Callable[[JsonValue], _Option | None]:
    def way(sent: JsonValue) -> _Option | None:
        if not isinstance(sent, str):
            return None
        found = parse_object(f'{{"inner":{sent}}}')
        if isinstance(found, Parsed) and not found.repairs and set(found.value) == {"inner"}:
            inner = found.value["inner"]
            return _Option(name=name, value=inner) if isinstance(inner, kind) else None
        return None

    return way


_WAYS: dict[str, Callable[[JsonValue], _Option | None]] = {
    "integer": _to_integer,
    "number": _to_number,
    "string": _to_string,
    "boolean": _to_boolean,
    "array": _to_container(list, "json_text_to_array"),
    "object": _to_container(dict, "json_text_to_object"),
}
