"""Describe what is wrong with a task's values, with the key of each; hides pydantic's own wording from the user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from ..nearest import did_you_mean, nearest
from .known_keys import known_keys, places_of
from .parts import SHORT_FORMS
from .yaml_lines import KeyPath, dotted


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One wrong value or key of a task."""

    path: KeyPath
    text: str


def mistakes(error: ValidationError, data: Mapping[str, JsonValue]) -> tuple[Mistake, ...]:
    """Return what pydantic found, one mistake per key, in pydantic's order.

    Args:
        error: from validating `data`.
        data: the task as mappings and lists, before short forms are expanded.
    """
    found: dict[KeyPath, Mistake] = {}
    for detail in error.errors(include_url=False):
        mistake = _mistake(detail, data)
        found.setdefault(mistake.path, mistake)
    return tuple(found.values())


def unknown_key(path: KeyPath) -> Mistake:
    """Describe an unknown key, and suggest the nearest known one, or one with this name elsewhere in the task."""
    *parent, key = path
    known = known_keys(tuple(parent))
    name = str(key)
    hint = did_you_mean(name, known)
    if nearest(name, known) is None and (elsewhere := places_of(name)):
        *others, last = [f"`{dotted(place)}`" for place in elsewhere]
        hint = f" Did you mean {' or '.join([', '.join(others), last] if others else [last])}?"
    return Mistake(path=path, text=f"Unknown key `{dotted(path)}`.{hint}")


_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "string_type": "text",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "int_parsing_size": "a smaller number",
        "float_type": "a number",
        "bool_type": "true or false",
        "tuple_type": "a list",
        "dict_type": "a mapping",
        "mapping_type": "a mapping",
        "dataclass_type": "a mapping",
    }
)

_TIME = "seconds, a time such as 30s, 30m or 2h, or null for no limit"
_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "limits.wall": _TIME,
        "limits.wall_s": _TIME,
        "limits.steps": "a whole number such as 60, or null for no limit",
        "limits.tool_calls": "a whole number such as 200, or null for no limit",
        "limits.tokens": "a whole number such as 2M, or null for no limit",
        "limits.output_tokens": "a whole number such as 200k, or null for no limit",
        "limits.reasoning_tokens": "a whole number such as 100k, or null for no limit",
        "output.schema": "a file name or a JSON Schema",
        "version": "1, the only supported version",
    }
)


def _mistake(detail: ErrorDetails, data: Mapping[str, JsonValue]) -> Mistake:
    path = detail["loc"]
    match detail["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return unknown_key(path)
        case "literal_error" if path[-1] == "[key]":
            return unknown_key(path[:-1])
        case "missing":
            return Mistake(path=path, text=f"`{dotted(path)}` is missing. Add it.")
        case _:
            place = _place(path, data)
            value, expected = _shown(detail["input"]), _expected(detail, place)
            text = f"`{dotted(place)}` must be {expected}, got {value}.{_advice(detail)}"
            return Mistake(path=place, text=text)


def _place(path: KeyPath, data: JsonValue | Mapping[str, JsonValue]) -> KeyPath:
    # pydantic appends the name of a union's branch to the path, so cut it where the task's data ends.
    walked: list[str | int] = []
    for part in path:
        if isinstance(data, Mapping) and isinstance(part, str):
            part = "wall" if part == "wall_s" and "wall" in data else part
            if part not in data:
                break
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            break
        walked.append(part)
    return tuple(walked)


def _expected(detail: ErrorDetails, place: KeyPath) -> str:
    key = ".".join(part for part in place if isinstance(part, str))
    if key in _KEYS:
        return _KEYS[key]
    if detail["type"] == "dataclass_type" and key in SHORT_FORMS:
        return "text or a mapping"
    if detail["type"] == "literal_error":
        return str(detail.get("ctx", {}).get("expected", "another value")).replace("'", "")
    return _TYPES.get(detail["type"], f"a valid value ({detail['msg']})")


def _advice(detail: ErrorDetails) -> str:
    value = detail["input"]
    if detail["type"] == "tuple_type" and isinstance(value, str) and re.fullmatch(r"[^\n\[\]{},:#]{1,60}", value):
        return f" Write [{value}]."
    if detail["type"] == "dataclass_type" and isinstance(value, bool | int | float):
        return f' If you mean text, put it in quotes: "{_shown(value)}".'
    return ""


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def text_paths(error: ValidationError) -> Iterator[KeyPath]:
    """Yield the path of each value that should be text and is not."""
    return (detail["loc"] for detail in error.errors(include_url=False) if detail["type"] == "string_type")
