"""Numbers of JSON text that keep their spelling, so that none changes unseen; validates nothing."""

from __future__ import annotations

import json
import re
from typing import cast

from pydantic import JsonValue

from ..schema.exact import SpelledNumber, exact, is_integral


class SpelledInt(int):
    """An integer whose digits are not its spelling: `+5`, `0x1F`, `1_000`, `-0`."""

    spelling: str

    def __new__(cls, spelling: str, value: int) -> SpelledInt:
        number = super().__new__(cls, value)
        number.spelling = spelling
        return number

    def __deepcopy__(self, memo: object) -> SpelledInt:
        return self


class SpelledFloat(SpelledNumber):
    """A float and its spelling: 3.10 may be meant as the text "3.10", and `+1_000.50` as that text."""

    spelling: str
    """As it was written."""

    def __new__(cls, spelling: str, token: str | None = None) -> SpelledFloat:
        number = cast("SpelledFloat", super().__new__(cls, token or spelling))
        number.spelling = spelling
        return number

    def __deepcopy__(self, memo: object) -> SpelledFloat:
        return self


def loads(text: str) -> JsonValue:
    """Parse JSON text; each number keeps its spelling. Raise what `json.loads` raises."""
    return cast("JsonValue", json.loads(text, parse_float=read_float, parse_int=read_int))


def read_float(token: str) -> float:
    """Return the float of a JSON number, with its spelling unless Python spells it the same; for `parse_float`."""
    value = float(token)
    return value if repr(value) == token else SpelledFloat(token)


def read_int(digits: str) -> int:
    """Return the integer of a JSON number, with its spelling unless Python spells it the same; for `parse_int`."""
    return SpelledInt(digits, 0) if digits == "-0" else int(digits)


def is_exact(number: float) -> bool:
    """Return whether a float is the number that was written, to the last digit that was written.

    0.1 is, since it is what Python prints for that float; 9007199254740993.0 and 5.0000000000000001 are not.
    """
    return number.is_float if isinstance(number, SpelledNumber) else abs(number) < float("inf")


def as_integer(number: float) -> int | None:
    """Return the integer that was written: 3.0, 1e3, 9007199254740993.0; None for any other number."""
    return int(exact(number)) if number.is_integer() and is_integral(number) else None


def float_words(number: float) -> str:
    """Return what a number that is not exact should have been, as a phrase that follows "must be"."""
    return f"a number that a 64-bit float can hold, such as {float(number)!r}"


def spelling_of(number: object) -> str:
    """Return a number as it was written."""
    if isinstance(number, SpelledInt | SpelledFloat):
        return number.spelling
    return number.token if isinstance(number, SpelledNumber) else repr(number)


def dumps(value: JsonValue) -> str:
    """Return the value as JSON, each float with the digits that were written."""
    if isinstance(value, dict):
        members = (f"{json.dumps(key, ensure_ascii=False)}: {dumps(item)}" for key, item in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dumps(item) for item in value) + "]"
    return value.token if isinstance(value, SpelledNumber) else json.dumps(value, ensure_ascii=False)


def floats_in(text: str) -> tuple[SpelledFloat, ...]:
    """Return every number of a JSON text that is written with a point or an exponent; empty if the text is no JSON."""
    if not _MAY_HOLD_FLOATS.search(text):
        return ()
    found: list[SpelledFloat] = []

    def read(token: str) -> float:
        found.append(SpelledFloat(token))
        return 0.0

    try:
        json.loads(text, parse_float=read)
    except (ValueError, RecursionError):
        return ()
    return tuple(found)


_MAY_HOLD_FLOATS = re.compile(r"\d[.eE]")
