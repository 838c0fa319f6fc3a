"""Check a call's arguments strictly against a tool's schema; reports every mismatch as data, changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, cast

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import SchemaValidator

from . import numbers
from .strict_schema import Spellings, strict_validator

JsonObject = dict[str, JsonValue]
JsonPath = tuple[str | int, ...]
Problem = Literal["missing", "extra", "type", "value"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Issue:
    """One mismatch between arguments and schema."""

    path: JsonPath
    """Path from the root of the arguments; for `missing` and `extra` the last part is the key concerned."""
    problem: Problem
    expected: str
    """What is expected, as a phrase: `an integer`."""
    sent: JsonValue = None
    """The offending value; meaningless for `missing`."""

    @property
    def place(self) -> str:
        """The path in the usual notation: `$.lines[0]`."""
        return place_of(self.path)


def place_of(path: JsonPath) -> str:
    """Return a path in the usual notation: `$.lines[0]`, and `$["two words"]` for a key that would not read as one."""
    return "$" + "".join(
        f".{part}"
        if isinstance(part, str) and _PLAIN_KEY.fullmatch(part)
        else f"[{json.dumps(part, ensure_ascii=False)}]"
        for part in path
    )


_PLAIN_KEY = re.compile(r"[\w$@-]+")


class Arguments(Protocol):
    """The validator of a tool's arguments."""

    def check(self, text: str) -> object | tuple[Issue, ...]:
        """Return the value to call the tool with, or every mismatch. `text`: a JSON object."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelArguments:
    """Arguments described by a pydantic model; validated strictly in JSON mode (true is no integer, "3" is not 3).

    Stricter than pydantic's own strict mode where that changes a value or drops one: see `strict_schema`.
    """

    model: type[BaseModel]
    _validator: SchemaValidator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_validator", strict_validator(self.model))

    def check(self, text: str) -> BaseModel | tuple[Issue, ...]:
        """Return an instance of the model, or the mismatches."""
        spellings = Spellings(text)
        try:
            value = self._validator.validate_json(text, strict=True, by_alias=True, by_name=False, context=spellings)
        except ValidationError as error:
            whole = numbers.loads(text)
            details = error.errors(include_url=False, include_context=False, include_input=False)
            return _merge_by_path([_from_pydantic(cast("Mapping[str, Any]", detail), whole) for detail in details])
        except Exception as error:  # noqa: BLE001 - a tool author's own validator may raise anything; the run continues
            expected = f"something that the tool's own check takes; it failed with {type(error).__name__}: {error}"
            return (Issue(path=(), problem="value", expected=expected, sent=numbers.loads(text)),)
        if not spellings.inexact:
            return value
        inexact = inexact_numbers(numbers.loads(text))
        return tuple(issue for issue in inexact if numbers.spelling_of(issue.sent) in spellings.inexact)


def inexact_numbers(value: JsonValue, path: JsonPath = ()) -> tuple[Issue, ...]:
    """Return an issue for each number of a value that no float is. `value`: from `numbers.loads`."""
    if isinstance(value, dict):
        return tuple(issue for key, item in value.items() for issue in inexact_numbers(item, (*path, key)))
    if isinstance(value, list):
        return tuple(issue for index, item in enumerate(value) for issue in inexact_numbers(item, (*path, index)))
    if not isinstance(value, float) or numbers.is_exact(value):
        return ()
    return (Issue(path=path, problem="value", expected=numbers.float_words(value), sent=value),)


# pydantic's error types (pydantic 2.14, errors page) that mean "wrong JSON type", and the words for the expected type.
_TYPE_WORDS = {
    "int": "an integer",
    "float": "a number",
    "string": "a string",
    "bool": "true or false",
    "list": "an array",
    "tuple": "an array",
    "set": "an array",
    "dict": "an object",
    "model": "an object",
    "dataclass": "an object",
    "none_required": "null",
    "model_attributes": "an object",
    "date": "a date in ISO 8601, such as 2026-01-31",
    "datetime": "a date and time in ISO 8601, such as 2026-01-31T12:00:00Z",
    "time": "a time in ISO 8601, such as 12:00:00",
    "time_delta": "a duration in ISO 8601, such as P1DT2H30M",
    "bytes": "a string",
    "int_from_float": "an integer",
}


def _from_pydantic(detail: Mapping[str, Any], whole: JsonValue) -> Issue:
    kind = str(detail["type"])
    loc = cast("tuple[str | int, ...]", detail["loc"])
    path = _real_path(loc, whole, keep_last=kind == "missing")
    sent = _at(whole, path)
    if kind == "missing":
        return Issue(path=path, problem="missing", expected="a value")
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:  # of a model, and of a dataclass
        return Issue(path=path, problem="extra", expected="no such field", sent=sent)
    base = kind.removesuffix("_type").removesuffix("_parsing")
    is_type = kind.endswith(("_type", "_parsing", "int_from_float")) and base in _TYPE_WORDS
    expected = _TYPE_WORDS[base] if is_type else _expected(kind, str(detail["msg"]))
    if loc[-1:] == ("[key]",):
        return Issue(path=path, problem="value", expected=f"under a key that is {expected}", sent=sent)
    return Issue(path=path, problem="type" if is_type else "value", expected=expected, sent=sent)


def _at(whole: JsonValue, path: JsonPath) -> JsonValue:
    """Return what was sent there: pydantic's own `input` may be what an author's validator made of it."""
    here: Any = whole
    for part in path:
        members = dict(enumerate(cast("list[Any]", here))) if isinstance(here, list) else here
        here = cast("dict[str | int, Any]", members).get(part) if isinstance(members, dict) else None
    return cast("JsonValue", here)


def _merge_by_path(issues: list[Issue]) -> tuple[Issue, ...]:
    """Merge what the branches of a union report about the same value."""
    merged: dict[tuple[JsonPath, Problem], Issue] = {}
    for issue in issues:
        key = (issue.path, issue.problem)
        first = merged.get(key)
        if first is None:
            merged[key] = issue
        elif issue.expected not in first.expected.split(" or "):
            merged[key] = replace(first, expected=f"{first.expected} or {issue.expected}")
    return tuple(merged.values())


_KIND_SHOULD = re.compile(r"(\w+) should (have|match) (.*?)(?: after validation, not \d+)?")
_KIND_WORDS = {"String": "a string", "Dictionary": "an object"}


def _expected(kind: str, message: str) -> str:
    """Convert pydantic's message to words that can follow "must be"."""
    if kind in {"value_error", "assertion_error"}:
        reason = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return f"a value that the tool accepts ({reason})"
    found = _KIND_SHOULD.fullmatch(message)
    if found is not None:
        noun = _KIND_WORDS.get(found.group(1), "an array")
        return f"{noun} {'with' if found.group(2) == 'have' else 'that matches the'} {found.group(3)}"
    if message.startswith("Input should be "):
        return message.removeprefix("Input should be ")
    return f"acceptable ({message})"


def _real_path(loc: Sequence[str | int], whole: JsonValue, *, keep_last: bool) -> JsonPath:
    """Drop the parts of pydantic's loc that name a branch of a union rather than a place in the data."""
    path: list[str | int] = []
    here: JsonValue = whole
    for index, part in enumerate(loc):
        inside_object = isinstance(here, dict) and part in here
        inside_array = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if inside_object or inside_array:
            here = cast("Any", here)[part]
            path.append(part)
        elif keep_last and index == len(loc) - 1:
            path.append(part)
    return tuple(path)
