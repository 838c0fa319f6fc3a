"""Parse an object whose strings contain unescaped quotes, only if exactly one reading exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

from pydantic import JsonValue

from ..tooling.arguments import JsonObject
from .strict_json import DECODER, Unreadable, unique_keys


def read_unescaped_quotes(text: str) -> JsonObject | None:
    """Parse an object whose strings contain quotes that should have been escaped.

    Returns None if there is no such reading, more than one, or the quotes do not look like pairs.
    """
    text = text.strip()
    if len(text) > _MAX_CHARS or not text.startswith("{"):
        return None
    try:
        found = list(islice(_Quoted(text).readings(), 2))
    except (_TooManyReadings, Unreadable):
        return None
    if len(found) != 1 or found[0].dubious:
        return None
    return cast("JsonObject", found[0].value)


_MAX_CHARS = 20_000
_MAX_TRIES = 300
_KEY = re.compile(r'\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_AFTER = re.compile(r"\s*([,}])")
_NEXT_MEMBER = re.compile(r'\s*,?\s*"[^"\\]*"\s*:')
_QUOTE = re.compile(r'\\.|"', re.DOTALL)


class _TooManyReadings(Exception):
    """Raised to stop on a text with very many quotes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    value: JsonValue
    end: int
    dubious: bool
    """True if the unescaped quotes in a string do not look like pairs, so one of them may be its real end."""


class _Quoted:
    """All readings of an object in which any quote before a comma or brace may end a member's string."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tries = 0

    def readings(
        self, at: int = 1, pairs: tuple[tuple[str, JsonValue], ...] = (), *, dubious: bool = False
    ) -> Readings:
        """Yield every way to read the members from `at` to the end of the text."""
        key = _KEY.match(self.text, at)
        name = None if key is None else _decoded(key.group(1)[1:-1])
        if key is None or name is None:
            return
        for part in self.values(key.end()):
            self.tries += 1
            if self.tries > _MAX_TRIES:
                raise _TooManyReadings
            after = _AFTER.match(self.text, part.end)
            if after is None:
                continue
            members = (*pairs, (name, part.value))
            if after.group(1) == ",":
                yield from self.readings(after.end(), members, dubious=dubious or part.dubious)
            elif after.end() == len(self.text):
                yield _Part(value=unique_keys(list(members)), end=after.end(), dubious=dubious or part.dubious)

    def values(self, at: int) -> Readings:
        """Yield each possible value at `at`: a string with any of its possible ends, or one strict JSON value."""
        if self.text[at : at + 1] != '"':
            try:
                value, end = DECODER.raw_decode(self.text, at)
            except (ValueError, RecursionError):
                return
            yield _Part(value=value, end=end, dubious=False)
            return
        source: list[str] = []
        from_, inner = at + 1, list[int]()
        for quote in _QUOTE.finditer(self.text, at + 1):
            if quote.group() != '"':
                continue
            source.append(self.text[from_ : quote.start()])
            from_ = quote.end()
            if _AFTER.match(self.text, quote.end()):
                string = _decoded('\\"'.join(source))
                if string is not None:
                    yield _Part(value=string, end=quote.end(), dubious=not _are_pairs(self.text, inner))
            if _NEXT_MEMBER.match(self.text, quote.end()):
                return  # otherwise any two members would have a second reading: one string that holds both
            inner.append(quote.start())


Readings = Iterator[_Part]


def _decoded(source: str) -> str | None:
    try:
        return str(json.loads(f'"{source}"', strict=False))
    except ValueError:
        return None


def _are_pairs(text: str, quotes: list[int]) -> bool:
    """Return whether the quotes open and close in turn: none opens after a word, none closes before one."""
    opens_badly = any(text[at - 1].isalnum() or text[at - 1] in "_.)]}" for at in quotes[::2])
    closes_badly = any(text[at + 1].isalnum() or text[at + 1] == "_" for at in quotes[1::2])
    return len(quotes) % 2 == 0 and not opens_badly and not closes_badly
