"""Hold a compiled schema and evaluate it: bounded work, every mismatch as data; knows no keyword."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from .exact import JsonPath

MAX_STEPS = 25_000
"""Work that one check may take; a step is one schema applied to one value, one to two microseconds."""


MAX_WORDS_STEPS = 4_000
MAX_MISMATCHES = 1_000
"""The members of an array or object are not checked further after so many mismatches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mismatch:
    """One way in which a value breaks its schema."""

    path: JsonPath
    """Path from the root of the value; for `missing` and `extra` the last part is the key concerned."""
    problem: Literal["missing", "extra", "type", "value"]
    expected: str
    """What is expected, as a phrase that can follow "must be"."""
    sent: JsonValue = None
    """The offending value; meaningless for `missing`."""
    is_tag: bool = False
    """True if only one value is allowed here, by which the branches of a choice may be told apart."""


class TooMuchWork(Exception):
    """Raised when a check takes more steps than it may."""


Seen = set[str | int] | None
"""Names or positions of the members that some schema has been applied to. None means that nobody asks."""


@dataclass(kw_only=True, slots=True)
class Check:
    """State of one check."""

    steps: int = MAX_STEPS
    quick: int = 0
    """Above 0 only whether the value fits matters, so evaluation stops at the first mismatch."""
    fits: dict[tuple[int, int], bool] = field(default_factory=dict[tuple[int, int], bool])
    """What is known already, by the identities of schema and value."""
    words: int = MAX_WORDS_STEPS
    """Work that may still be spent on finding out which branch of a choice was meant."""
    integers: set[int] = field(default_factory=set[int])
    """Identities of the numbers with a point or exponent that a schema takes for integers."""

    def spend(self, steps: int) -> None:
        """Count work.

        Raises:
            TooMuchWork: there was too much of it.
        """
        self.steps -= steps
        if self.steps < 0:
            raise TooMuchWork


Rule = Callable[[JsonValue, JsonPath, Check, Seen], list[Mismatch]]
"""Applies one keyword to a value; returns an empty list if the value fits."""


class Node:
    """One compiled schema."""

    __slots__ = ("late", "never", "rules")

    def __init__(self) -> None:
        self.never = False
        """True for the schema `false`."""
        self.rules: dict[type, list[Rule]] = {}
        """Rules by the type of value that they apply to."""
        self.late: dict[type, list[Rule]] = {}
        """Rules that depend on what the others have seen; applied only if all others fit."""

    def evaluate(self, value: JsonValue, path: JsonPath, check: Check, seen: Seen) -> list[Mismatch]:
        """Return every mismatch, or only the first if the check is a quick one.

        Raises:
            TooMuchWork: the check takes too many steps.
            RecursionError: schema and value are nested too deeply.
        """
        check.steps -= 1
        if check.steps < 0:
            raise TooMuchWork
        if self.never:
            return [Mismatch(path=path, problem="value", expected="left out", sent=value)]
        kind = type(value)
        found: list[Mismatch] = []
        for rule in self.rules.get(kind, ()):
            issues = rule(value, path, check, seen)
            if issues:
                if check.quick:
                    return issues
                found += issues
        if not found:
            for rule in self.late.get(kind, ()):
                found += rule(value, path, check, seen)
        return found

    def is_open_to(self, kind: type) -> bool:
        """Return whether every value of a type fits, so that none needs to be evaluated."""
        return kind not in self.rules and kind not in self.late and not self.never

    def accepts(self, value: JsonValue, check: Check, seen: Seen = None) -> bool:
        """Return whether a value fits, without saying why not.

        Raises:
            TooMuchWork: the check takes too many steps.
            RecursionError: schema and value are nested too deeply.
        """
        if self.is_open_to(type(value)):
            return True
        key = (id(self), id(value))
        if seen is None and key in check.fits:
            return check.fits[key]
        check.quick += 1
        try:
            fits = not self.evaluate(value, (), check, seen)
        finally:
            check.quick -= 1
        if isinstance(value, (dict, list)):
            check.fits[key] = fits
        return fits
