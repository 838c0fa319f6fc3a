"""Read JSON as it must be to have one meaning: unique keys, finite numbers; repairs nothing."""

from __future__ import annotations

import json
import math
from collections import Counter

from pydantic import JsonValue

from ..tooling.arguments import JsonObject
from ..tooling.numbers import read_float, read_int

MAX_DEPTH = 100
"""Deeper nesting is refused: pydantic's parser stops at 200, and Python's own stack allows little more."""


class Unreadable(ValueError):
    """Raised where the text no longer has exactly one meaning."""

    def __init__(self, reason: str, *, position: int | None = None, cut_off: bool = False) -> None:
        self.reason = reason.encode(errors="replace").decode()  # it quotes the text, which may hold half a character
        self.position = position
        """Index into the text. None means the text as a whole."""
        self.cut_off = cut_off
        """True if the text ended with something still open."""
        super().__init__(self.reason)


def unique_keys(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    """Build an object from its members; for json's `object_pairs_hook`.

    Raises:
        Unreadable: a key occurs twice, so the value is ambiguous.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise Unreadable(f"the key {json.dumps(twice, ensure_ascii=False)} comes twice")
    return members


def _refuse_constant(name: str) -> JsonValue:
    raise Unreadable(f"{name} is not a JSON value")


def _finite(token: str) -> float:
    value = read_float(token)
    if not math.isfinite(value):
        raise Unreadable("the number is too large")
    return value


DECODER = json.JSONDecoder(
    object_pairs_hook=unique_keys, parse_constant=_refuse_constant, parse_float=_finite, parse_int=read_int
)
"""Its numbers keep their spelling. Raises Unreadable besides what json raises."""
