"""Check that each keyword of a converted schema has a value that it can have; the first that has not is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from pydantic import JsonValue

from .exact import JsonObject, is_integral
from .keywords import LISTS, NAMED, ONE, children


def find_malformed(schema: JsonObject) -> str:
    """Return the place of the first keyword with an impossible value and why; empty if there is none."""
    waiting: list[tuple[JsonObject, str]] = [(schema, "$")]
    while waiting:
        here, path = waiting.pop()
        for keyword, value in here.items():
            for problem, place in _problems(keyword, value):
                return f"{path}.{keyword}{place}: {problem}"
        waiting += [
            (child.schema, path + _steps(child.path)) for child in children(here) if isinstance(child.schema, dict)
        ]
    return ""


def _steps(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _problems(keyword: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a value, and where in it."""
    if keyword in LISTS and keyword != "items":
        yield from _list_problems(value, _schema_problem, empty=keyword == "prefixItems")
    elif keyword in NAMED:
        yield from _named_problems(value, _schema_problem)
    elif keyword == "dependentRequired":
        yield from _named_problems(value, lambda item: _names_problem(item)[0])
    elif keyword in _CHECKS or keyword in ONE:
        problem = _CHECKS.get(keyword, _schema_problem)(value)
        if problem:
            yield problem, ""
    elif keyword == "required":
        problem, place = _names_problem(value)
        if problem:
            yield problem, place


def _list_problems(value: JsonValue, find: Callable[[Any], str], *, empty: bool) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield f"{value!r} is not of type 'array'", ""
        return
    if not value and not empty:
        yield "[] should be non-empty", ""
    for index, item in enumerate(value):
        if problem := find(item):
            yield problem, f"[{index}]"


def _named_problems(value: JsonValue, find: Callable[[Any], str]) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield f"{value!r} is not of type 'object'", ""
        return
    for name, item in value.items():
        if problem := find(item):
            yield problem, f".{name}"


def _names_problem(value: JsonValue) -> tuple[str, str]:
    return next(_list_problems(value, _text_problem, empty=True), ("", ""))


def _schema_problem(value: JsonValue) -> str:
    return "" if isinstance(value, (dict, bool)) else f"{value!r} is not of type 'object', 'boolean'"


def _text_problem(value: JsonValue) -> str:
    return "" if isinstance(value, str) else f"{value!r} is not of type 'string'"


def _boolean_problem(value: JsonValue) -> str:
    return "" if isinstance(value, bool) else f"{value!r} is not of type 'boolean'"


def _array_problem(value: JsonValue) -> str:
    return "" if isinstance(value, list) else f"{value!r} is not of type 'array'"


def _number_problem(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{value!r} is not of type 'number'"
    return "" if abs(value) < float("inf") else f"{value!r} is not a number of JSON"


def _step_problem(value: JsonValue) -> str:
    if problem := _number_problem(value):
        return problem
    return "" if cast("float", value) > 0 else f"{value!r} is not above 0"


def _size_problem(value: JsonValue) -> str:
    if problem := _number_problem(value):
        return problem
    size = cast("float", value)
    if not is_integral(size):
        return f"{value!r} is not of type 'integer'"
    return "" if size >= 0 else f"{value!r} is less than the minimum of 0"


_CHECKS: dict[str, Callable[[JsonValue], str]] = {
    "$ref": _text_problem,
    "pattern": _text_problem,
    "enum": _array_problem,
    "uniqueItems": _boolean_problem,
    "multipleOf": _step_problem,
    "minimum": _number_problem,
    "maximum": _number_problem,
    "exclusiveMinimum": _number_problem,
    "exclusiveMaximum": _number_problem,
    "minLength": _size_problem,
    "maxLength": _size_problem,
    "minItems": _size_problem,
    "maxItems": _size_problem,
    "minContains": _size_problem,
    "maxContains": _size_problem,
    "minProperties": _size_problem,
    "maxProperties": _size_problem,
}
