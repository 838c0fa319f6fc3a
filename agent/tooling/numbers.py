"""Numbers of JSON text that keep their spelling, so that none changes unseen; validates nothing."""

from __future__ import annotations

import decimal
import json
import re
from decimal import Decimal
from typing import cast

from pydantic import JsonValue


class SpelledInt(int):
    """An integer whose digits are not its spelling: `+5`, `0x1F`, `1_000`, `-0`."""

    spelling: str

    def __new__(cls, spelling: str, value: int) -> SpelledInt:
        number = super().__new__(cls, value)
        number.spelling = spelling
        return number

    def __deepcopy__(self, memo: object) -> SpelledInt:
        return self


class SpelledFloat(float):
    """A float and its spelling: 3.10 may be meant as the text "3.10", and 0.12345678901234567890 is no float."""

    spelling: str
    """As it was written: `+1_000.50`."""
    token: str
    """The same number as JSON spells it: `1000.50`."""

    def __new__(cls, spelling: str, token: str | None = None) -> SpelledFloat:
        number = super().__new__(cls, spelling if token is None else token)
        number.spelling = spelling
        number.token = spelling if token is None else token
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
    if not isinstance(number, SpelledFloat) or number.token == repr(float(number)):
        return abs(number) < float("inf")
    written = _decimal(number.token)
    return written is not None and (written == Decimal(repr(float(number))) or written == Decimal(float(number)))


def as_integer(number: float) -> int | None:
    """Return the integer that was written: 3.0, 1e3, 9007199254740993.0; None for any other number."""
    if not number.is_integer():
        return None
    written = _decimal(number.token if isinstance(number, SpelledFloat) else repr(number))
    return int(written) if written is not None and written == written.to_integral_value(context=_EXACT) else None


def float_words(number: float) -> str:
    """Return what a number that is not exact should have been, as a phrase that follows "must be"."""
    return f"a number that a 64-bit float can hold, such as {float(number)!r}"


def spelling_of(number: object) -> str:
    """Return a number as it was written."""
    return number.spelling if isinstance(number, SpelledInt | SpelledFloat) else repr(number)


def dumps(value: JsonValue) -> str:
    """Return the value as JSON, each float with the digits that were written."""
    if isinstance(value, dict):
        members = (f"{json.dumps(key, ensure_ascii=False)}: {dumps(item)}" for key, item in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dumps(item) for item in value) + "]"
    return value.token if isinstance(value, SpelledFloat) else json.dumps(value, ensure_ascii=False)


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
# The constructor refuses an exponent that its context cannot hold; these are the widest limits there are.
_EXACT = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


def _decimal(token: str) -> Decimal | None:
    try:
        return Decimal(token, _EXACT)
    except (decimal.InvalidOperation, ValueError):
        return None
