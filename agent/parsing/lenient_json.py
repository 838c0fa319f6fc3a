"""Parse one sloppily written JSON object; every deviation is named, and nothing left open is ever closed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from pydantic import JsonValue

from ..tooling.arguments import JsonObject
from ..tooling.numbers import SpelledFloat, SpelledInt, read_int
from .strict_json import MAX_DEPTH, Unreadable, unique_keys


@dataclass(frozen=True, kw_only=True, slots=True)
class LenientObject:
    """An object and the deviations from JSON in its text."""

    value: JsonObject
    end: int
    """Index just after its closing brace."""
    deviations: tuple[str, ...]


def read_lenient(text: str, start: int) -> LenientObject:
    """Parse the object whose opening brace is at `start`.

    Raises:
        Unreadable: the object is incomplete or ambiguous.
    """
    reader = _Reader(text, start)
    value = reader.read_object()
    reader.resolve_escapes()
    return LenientObject(value=value, end=reader.at, deviations=tuple(reader.deviations))


_WHITESPACE = re.compile(r"[ \t\r\n\u00a0]*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+)?)", re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x1f]")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_CLOSING = {'"': '"', "'": "'", "“": "”"}
_PLAIN = {'"': re.compile(r'[^"\\]+'), "'": re.compile(r"[^'\\]+"), "”": re.compile(r"[^”“\\]+")}
_WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class _Reader:
    """One left-to-right pass over the text; strings end at their first unescaped closing quote."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.at = start
        self.deviations: dict[str, None] = {}
        self.depth = 0
        self.stray_at: int | None = None
        self.has_escape = False

    def fail(self, reason: str) -> Unreadable:
        if self.at >= len(self.text):
            return Unreadable("the text ends inside the object", position=len(self.text), cut_off=True)
        return Unreadable(reason, position=self.at)

    def note(self, deviation: str) -> None:
        self.deviations[deviation] = None

    def peek(self) -> str:
        """Skip whitespace and comments; return the next character, or an empty string at the end."""
        while True:
            space = _WHITESPACE.match(self.text, self.at)
            assert space is not None, "the pattern also matches an empty string"
            self.at = space.end()
            comment = _COMMENT.match(self.text, self.at)
            if comment is None:
                return self.text[self.at : self.at + 1]
            self.note("comment")
            self.at = comment.end()

    def read_value(self) -> JsonValue:
        char = self.peek()
        if char == "{":
            return self.read_object()
        if char == "[":
            return self.read_array()
        if char in _CLOSING and char:
            return self.read_string()
        word = _WORD.match(self.text, self.at)
        return self.read_number() if word is None else self.read_word(word)

    def read_object(self) -> JsonObject:
        self.enter()
        pairs: list[tuple[str, JsonValue]] = []
        while self.peek() != "}":
            key = self.read_key()
            if self.peek() != ":":
                raise self.fail("expected a colon after the key")
            self.at += 1
            value = self.read_value()
            pairs.append((key, value))
            self.read_separator("}", after=value)
        self.leave()
        return unique_keys(pairs)

    def read_array(self) -> list[JsonValue]:
        self.enter()
        items: list[JsonValue] = []
        while self.peek() != "]":
            items.append(self.read_value())
            self.read_separator("]", after="")
        self.leave()
        return items

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"it is nested more than {MAX_DEPTH} deep")
        self.at += 1

    def leave(self) -> None:
        self.depth -= 1
        self.at += 1

    def read_separator(self, closing: str, *, after: JsonValue) -> None:
        """Skip a comma; a trailing comma and a missing one between members are noted as deviations."""
        before = self.at
        char = self.peek()
        if char == ",":
            self.at += 1
            if self.peek() == closing:
                self.note("trailing_comma")
        # After a string, a quote may be an unescaped one, so the comma is required there.
        elif char == '"' and closing == "}" and self.at > before and not isinstance(after, str):
            self.note("missing_comma")
        elif char != closing:
            raise self.fail(f"expected a comma or {closing}")

    def read_key(self) -> str:
        if self.peek() in _CLOSING and self.at < len(self.text):
            return self.read_string()
        word = _WORD.match(self.text, self.at)
        if word is None:
            raise self.fail("expected a key in double quotes")
        self.at = word.end()
        self.note("unquoted_key")
        return word.group()

    def read_string(self) -> str:
        opening = self.text[self.at]
        closing = _CLOSING[opening]
        if opening != '"':
            self.note("single_quotes" if opening == "'" else "typographic_quotes")
        self.at += 1
        source: list[str] = []
        while (char := self.text[self.at : self.at + 1]) != closing:
            plain = _PLAIN[closing].match(self.text, self.at)
            if plain is not None:
                source.append(plain.group() if opening == '"' else plain.group().replace('"', '\\"'))
                self.at = plain.end()
            elif char == "\\":
                source.append(self.read_escape(opening))
            else:
                raise self.fail("a quote opens inside a string")
        self.at += 1
        whole = "".join(source)
        if _CONTROL.search(whole):
            self.note("control_characters")
        return json.JSONDecoder(strict=False).decode(f'"{whole}"')

    def read_escape(self, opening: str) -> str:
        char = self.text[self.at + 1 : self.at + 2]
        if not char:
            self.at = len(self.text)
            raise self.fail("")
        if char == "u" and not _HEX4.match(self.text, self.at + 2):
            raise self.fail("\\u is not followed by four hexadecimal digits")
        self.at += 2
        if char in "\"'/":
            if char == "'" and opening != "'":
                self.note("escaped_apostrophe")
            return "'" if char == "'" else f"\\{char}"
        if char in "bfnrtu\\":
            self.has_escape = True
            return f"\\{char}"
        self.stray_at = self.at - 2
        return f"\\\\{char}"

    def resolve_escapes(self) -> None:
        """Treat backslashes that escape nothing as literal; raise if the text also holds real escapes."""
        if self.stray_at is None:
            return
        if self.has_escape:
            char = self.text[self.stray_at + 1]
            raise Unreadable(f"\\{char} is no JSON escape; write a backslash itself as \\\\", position=self.stray_at)
        self.note("single_backslashes")

    def read_number(self) -> JsonValue:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            raise self.fail("expected a value")
        token, start, self.at = found.group(), self.at, found.end()
        if self.text[self.at : self.at + 1] not in {"", " ", "\n", "\r", "\t", ",", "}", "]", "/"}:
            raise self.fail("expected a comma or the end after a number")
        if self.at >= len(self.text):
            raise self.fail("")
        self.at, end = start, self.at
        value = self.number(token)
        self.at = end
        return value

    def number(self, spelling: str) -> JsonValue:
        """Return the number with its spelling, which is what counts if a text is wanted there."""
        token = self.plain(spelling)
        digits = token.lstrip("-")
        try:
            if digits[:2] in {"0x", "0X"}:
                self.note("hexadecimal")
                return SpelledInt(spelling, int(token, 16))
            if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
                raise self.fail("a number with leading zeros may be octal or a text")
            if digits.isdigit():
                return read_int(token) if token == spelling else SpelledInt(spelling, int(token))
        except Unreadable:
            raise
        except ValueError as error:
            raise self.fail("the number has too many digits") from error
        value = SpelledFloat(spelling, token)
        if not math.isfinite(value):
            raise self.fail("the number is too large")
        return value

    def plain(self, spelling: str) -> str:
        """Return the number as JSON spells it, and note how it was spelt instead."""
        if spelling[0] == "+":
            self.note("plus_sign")
        if "_" in spelling:
            self.note("digit_separators")
        token = spelling.lstrip("+").replace("_", "")
        bare = re.sub(r"(?<!\d)(?=\.)", "0", re.sub(r"\.(?!\d)", ".0", token))
        if bare != token:
            self.note("bare_point")
        return bare

    def read_word(self, word: re.Match[str]) -> JsonValue:
        if word.end() >= len(self.text):
            self.at = len(self.text)
        if word.group() not in _WORDS or self.at >= len(self.text):
            raise self.fail(f"{word.group()} is not a JSON value")
        self.at = word.end()
        if word.group()[0].isupper():
            self.note("python_literal")
        return _WORDS[word.group()]
