"""Read and compare JSON values exactly: numbers by their spelling, true apart from 1; changes no value."""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import cast

from pydantic import JsonValue

JsonObject = dict[str, JsonValue]
JsonPath = tuple[str | int, ...]

_MAX_EXPONENT = 1_000


class SpelledNumber(float):
    """A number with a point or an exponent that Python would spell in another way, and its exact value."""

    exact: Decimal
    token: str
    """As JSON spells it."""

    def __new__(cls, token: str) -> SpelledNumber:
        number = super().__new__(cls, token)
        number.token = token
        try:
            number.exact = Decimal(token)
        except InvalidOperation:  # the exponent has more than 18 digits
            number.exact = Decimal("NaN")
        return number

    @property
    def is_float(self) -> bool:
        """Whether the float is the number that was written: 1e3 is, 0.10000000000000000001 and 1e400 are not."""
        return abs(self) < float("inf") and self.exact in {Decimal(repr(float(self))), Decimal(float(self))}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A parsed JSON text."""

    value: JsonValue
    has_fractions: bool
    """True if a number in it is a float or a SpelledNumber."""


def load_exactly(text: str) -> Loaded:
    """Parse JSON text; a number that is not spelt as Python would becomes a SpelledNumber.

    Raises:
        ValueError: it is not JSON, or an integer in it has more digits than Python converts.
        RecursionError: it is nested too deeply.
    """
    count = 0

    def number(token: str) -> float:
        nonlocal count
        count += 1
        value = float(token)
        return value if repr(value) == token else SpelledNumber(token)

    value = cast("JsonValue", json.loads(text, parse_float=number))
    return Loaded(value=value, has_fractions=count > 0)


def exact(number: float) -> int | Decimal:
    """Return a number as a value that compares exactly. A plain float stands for its shortest spelling."""
    if isinstance(number, SpelledNumber):
        return number.exact
    return number if isinstance(number, int) else Decimal(repr(number))


def is_integral(number: float) -> bool:
    """Return whether a number is an integer as spelled: 3.0 and 1e3 are, 5.0000000000000001 is not."""
    if isinstance(number, int):
        return True
    value = cast("Decimal", exact(number))
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(value.adjusted()) > _MAX_EXPONENT:
        return False
    return exponent >= 0 or value == value.to_integral_value()


def is_multiple(number: float, step: float) -> bool:
    """Return whether a number is a multiple of a step in decimal arithmetic: 19.99 is one of 0.01."""
    value, unit = _scaled(number), _scaled(step)
    if value is None or unit is None or unit.digits == 0:
        return False
    exponent = min(value.exponent, unit.exponent)
    return (value.digits * 10 ** (value.exponent - exponent)) % (unit.digits * 10 ** (unit.exponent - exponent)) == 0


class _Scaled:
    def __init__(self, digits: int, exponent: int) -> None:
        self.digits, self.exponent = digits, exponent


def _scaled(number: float) -> _Scaled | None:
    value = exact(number)
    if isinstance(value, int):
        return _Scaled(value, 0)
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _MAX_EXPONENT:
        return None
    return _Scaled(int("".join(map(str, digits))), exponent)


def identity(value: JsonValue) -> Hashable:
    """Return a key that is equal for values that JSON Schema calls equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, (int, float)):
        return exact(value)
    if isinstance(value, list):
        return ("array", tuple(identity(item) for item in value))
    if isinstance(value, dict):
        return ("object", frozenset((key, identity(item)) for key, item in value.items()))
    return value
