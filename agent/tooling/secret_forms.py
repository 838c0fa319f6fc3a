"""Find secret values in a text in the forms that programs print them in; changes nothing."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote

from .secret_names import LOGIN, is_long_enough

Named = tuple[tuple[str, str], ...]
"""Names and values, longest value first: they may contain each other."""
_MIN_LINE_CHARS = 8
_MIN_ENCODED_CHARS = 8
"""Shorter values are only searched for as they are: their encodings are too like other text."""
_MIN_PART_CHARS = 8
# Part of a path, a URL or a sentence is ordinary text, which a line may end with.
_TOKEN = re.compile(r"(?=.*\d)(?=.*[A-Za-z])(?![./]|\w+://)[^\s]{12,}")
# Where the tools and the loop cut a text.
_CUT_AFTER = re.compile(r"\s*(?:\Z|\n|\.\.\.|\u2026|\[)")
_CUT_BEFORE = re.compile(r"(?:\A|\n|\.\.\.|\u2026|\])[ \t]*\Z")


_MANY = 500
"""From so many on, looking for each of them is slower than going through the text."""
_PIECES = (64, 32, 16, 8, 4, 2, 1)


class Forms:
    """Texts to look for in another one; however many there are, the time for that hardly grows."""

    def __init__(self, named: Named, parts: Callable[[str], Sequence[str]] = lambda form: (form,)) -> None:
        """Remember pieces at the beginning and the end of the texts.

        Args:
            named: names and texts.
            parts: returns the parts of a text of which one must be there.
        """
        self.named = named
        self._by_beginning: dict[str, list[tuple[int, str]]] = {}
        self._pieces = {size: set[str]() for size in _PIECES}
        for number, (_, form) in enumerate(named if len(named) >= _MANY else ()):
            for begin, end in map(_ends_of, parts(form)):
                self._by_beginning.setdefault(begin, []).append((number, end))
                self._pieces[len(begin)] |= {begin, end}

    def perhaps_in(self, text: str) -> Named:
        """Return the names and texts, in their order, without those that are certainly not in another text."""
        if len(self.named) < _MANY:
            return self.named
        seen = {
            piece
            for size, wanted in self._pieces.items() if wanted
            for at in range(len(text) - size + 1) if (piece := text[at : at + size]) in wanted
        }  # fmt: skip
        begun = (pair for piece in seen for pair in self._by_beginning.get(piece, ()))
        return tuple(self.named[number] for number in sorted({number for number, end in begun if end in seen}))


def _ends_of(text: str) -> tuple[str, str]:
    size = next(size for size in _PIECES if size <= len(text))
    return text[:size], text[-size:]


@lru_cache(maxsize=16)
def plain_forms(secrets: Named) -> Forms:
    """Return each value, its lines, the password of a URL, and each of these as JSON and URLs spell it."""
    found: dict[str, str] = {}
    for name, value in _values(secrets):
        for form in (value, *_spellings(value)):
            found.setdefault(form, name)
    return Forms(_longest_first(found))


@lru_cache(maxsize=16)
def encoded_forms(secrets: Named) -> Forms:
    """Return each value as base64, as hexadecimal digits and backwards, without whitespace."""
    found: dict[str, str] = {}
    for name, value in _values(secrets):
        squeezed = "".join(value.split())
        if len(squeezed) < _MIN_ENCODED_CHARS:
            continue
        data = value.encode("utf-8", "surrogatepass")
        # Digits with whitespace in between are more likely a table of numbers.
        spread_out = () if squeezed.isdigit() else (squeezed, squeezed[::-1])
        for form in (*spread_out, data.hex(), data.hex().upper(), *_base64(data)):
            found.setdefault(form, name)
    return Forms(_longest_first(found))


@lru_cache(maxsize=16)
def long_values(secrets: Named) -> Forms:
    """Return the values, and lines of them, of which a part is worth replacing where a text was cut."""
    found = {value: name for name, value in _values(secrets) if _TOKEN.fullmatch(value)}
    return Forms(_longest_first(found), lambda value: (value[: _least(value)], value[-_least(value) :]))


def without_parts(text: str, value: str, instead: str) -> str:
    """Replace the beginning of a value before a cut and the end of one after it, if it is at least a third of it."""
    kept: list[str] = []
    done = 0
    for begin, end in sorted([*_beginnings(text, value), *_ends(text, value)]):
        if begin >= done:
            kept += (text[done:begin], instead)
            done = end
    return "".join([*kept, text[done:]]) if kept else text


def _beginnings(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Yield where the beginning of a value stands before a cut."""
    least = _least(value)
    at = text.find(value[:least])
    while at >= 0:
        end = at + least
        while end < len(text) and end - at < len(value) and text[end] == value[end - at]:
            end += 1
        if _CUT_AFTER.match(text, end):
            yield at, end
        at = text.find(value[:least], end)


def _ends(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Yield where the end of a value stands after a cut."""
    least = _least(value)
    at = text.find(value[-least:])
    while at >= 0:
        begin, end = at, at + least
        while begin > 0 and end - begin < len(value) and text[begin - 1] == value[begin - end - 1]:
            begin -= 1
        if _CUT_BEFORE.search(text, max(0, begin - 20), begin):
            yield begin, end
        at = text.find(value[-least:], end)


def _least(value: str) -> int:
    return max(_MIN_PART_CHARS, len(value) // 3)


def spread(form: str) -> re.Pattern[str]:
    """Return the pattern of a form with whitespace anywhere between its characters."""
    return re.compile(r"\s*".join(map(re.escape, form)))


def _values(secrets: Named) -> Iterator[tuple[str, str]]:
    for name, whole in secrets:
        value = whole.strip()
        if not value:
            continue
        yield name, value
        if login := LOGIN.match(value):
            for password in {login["password"], unquote(login["password"])}:
                if is_long_enough(password):
                    yield name, password
        if "\n" in value:
            # Numbered lines, diffs and matches of a search show the lines of a value one by one.
            yield from ((name, line) for line in map(str.strip, value.split("\n")) if len(line) >= _MIN_LINE_CHARS)


def _spellings(value: str) -> Iterator[str]:
    for form in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield from (form, form.replace("/", "\\/"))
    try:
        quoted = (quote(value, safe=""), quote(value), quote_plus(value))
    except UnicodeEncodeError:  # half a character
        return
    for form in quoted:
        yield from (form, re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), form))


def _base64(data: bytes) -> Iterator[str]:
    """Yield what base64 makes of the bytes wherever they begin in other data; without the digits that others share."""
    for before in range(3):
        digits = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        begin = (0, 2, 3)[before]
        end = len(digits) - (1 if (before + len(data)) % 3 else 0)
        if end - begin >= _MIN_ENCODED_CHARS:
            form = digits[begin:end]
            yield from (form, form.replace("+", "-").replace("/", "_"))


def _longest_first(found: dict[str, str]) -> Named:
    return tuple(sorted(((name, form) for form, name in found.items()), key=lambda pair: -len(pair[1])))
