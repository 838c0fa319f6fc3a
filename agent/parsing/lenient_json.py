"""Read one carelessly written JSON object; every liberty is named, and what the text leaves open is never closed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from pydantic import JsonValue

from ..tooling.arguments import JsonObject

MAX_DEPTH = 100
"""Nesting beyond this is refused: pydantic's reader stops at 200, and Python's own stack is not far behind."""


class Unreadable(ValueError):
    """Raised where the text stops having exactly one meaning."""

    def __init__(self, reason: str, *, position: int | None = None, cut_off: bool = False) -> None:
        self.reason = reason
        self.position = position
        """Index into the text. None: the text as a whole."""
        self.cut_off = cut_off
        """True: the text ended while something was open."""
        super().__init__(reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lenient:
    """An object and what had to be overlooked to read it."""

    value: JsonObject
    end: int
    """Index just after its closing brace."""
    liberties: tuple[str, ...]


def read_lenient(text: str, start: int) -> Lenient:
    """Read the object whose opening brace stands at `start`.

    Raises:
        Unreadable: it is not complete, or has no single meaning.
    """
    reader = _Reader(text, start)
    value = reader.read_object()
    reader.settle_escapes()
    return Lenient(value=value, end=reader.at, liberties=tuple(reader.liberties))


def unique_keys(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    """Make an object of its members, as json's `object_pairs_hook`.

    Raises:
        Unreadable: a key comes twice, so which value is meant cannot be known.
    """
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Unreadable(f"the key {json.dumps(twice, ensure_ascii=False)} comes twice")
    return made


_BLANK = re.compile(r"[ \t\r\n\u00a0]*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:_\d+)*(?:\.\d+)?(?:[eE][+-]?\d+)?)")
_CONTROL = re.compile(r"[\x00-\x1f]")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_CLOSING = {'"': '"', "'": "'", "“": "”"}
_PLAIN = {'"': re.compile(r'[^"\\]+'), "'": re.compile(r"[^'\\]+"), "”": re.compile(r"[^”“\\]+")}
_WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class _Reader:
    """One pass over the text, from left to right; strings end at their first unescaped closing quote."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.at = start
        self.liberties: dict[str, None] = {}
        self.depth = 0
        self.odd_escape: int | None = None
        self.meant_escape = False

    def fail(self, reason: str) -> Unreadable:
        if self.at >= len(self.text):
            return Unreadable("the text ends inside the object", position=len(self.text), cut_off=True)
        return Unreadable(reason, position=self.at)

    def take(self, liberty: str) -> None:
        self.liberties[liberty] = None

    def peek(self) -> str:
        """Skip blanks and comments; return the next character, or nothing at the end."""
        while True:
            blank = _BLANK.match(self.text, self.at)
            assert blank is not None, "it matches nothing, too"
            self.at = blank.end()
            comment = _COMMENT.match(self.text, self.at)
            if comment is None:
                return self.text[self.at : self.at + 1]
            self.take("comment")
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
            self.separate("}", after=value)
        self.leave()
        return unique_keys(pairs)

    def read_array(self) -> list[JsonValue]:
        self.enter()
        items: list[JsonValue] = []
        while self.peek() != "]":
            items.append(self.read_value())
            self.separate("]", after="")
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

    def separate(self, closing: str, *, after: JsonValue) -> None:
        """Go past a comma; a comma before the closing bracket and one left out between members are liberties."""
        before = self.at
        char = self.peek()
        if char == ",":
            self.at += 1
            if self.peek() == closing:
                self.take("trailing_comma")
        # After a string a quote may as well be one that was not escaped, so there the comma is not optional.
        elif char == '"' and closing == "}" and self.at > before and not isinstance(after, str):
            self.take("missing_comma")
        elif char != closing:
            raise self.fail(f"expected a comma or {closing}")

    def read_key(self) -> str:
        if self.peek() in _CLOSING and self.at < len(self.text):
            return self.read_string()
        word = _WORD.match(self.text, self.at)
        if word is None:
            raise self.fail("expected a key in double quotes")
        self.at = word.end()
        self.take("unquoted_key")
        return word.group()

    def read_string(self) -> str:
        opening = self.text[self.at]
        closing = _CLOSING[opening]
        if opening != '"':
            self.take("single_quotes" if opening == "'" else "typographic_quotes")
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
            self.take("control_characters")
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
                self.take("escaped_apostrophe")
            return "'" if char == "'" else f"\\{char}"
        if char in "bfnrtu\\":
            self.meant_escape = True
            return f"\\{char}"
        self.odd_escape = self.at - 2
        return f"\\\\{char}"

    def settle_escapes(self) -> None:
        """Take backslashes that escape nothing for themselves, unless others here do escape: then who knows which."""
        if self.odd_escape is None:
            return
        if self.meant_escape:
            char = self.text[self.odd_escape + 1]
            raise Unreadable(f"\\{char} is no JSON escape; write a backslash itself as \\\\", position=self.odd_escape)
        self.take("single_backslashes")

    def read_number(self) -> JsonValue:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            raise self.fail("expected a value")
        token, start, self.at = found.group(), self.at, found.end()
        if self.text[self.at : self.at + 1] not in {"", " ", "\n", "\r", "\t", ",", "}", "]", "/"}:
            raise self.fail("expected a comma or the end after a number")
        if self.at >= len(self.text):
            raise self.fail("")
        if token[0] == "+":
            self.take("plus_sign")
        if "_" in token:
            self.take("digit_separators")
        self.at, end = start, self.at
        value = self.number(token.replace("_", ""))
        self.at = end
        return value

    def number(self, token: str) -> JsonValue:
        digits = token.lstrip("+-")
        try:
            if digits[:2] in {"0x", "0X"}:
                self.take("hexadecimal")
                return int(token, 16)
            if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
                raise self.fail("a number with leading zeros may be octal or a text")
            if digits.isdigit():
                return int(token)
            value = float(token)
        except Unreadable:
            raise
        except ValueError as error:
            raise self.fail("the number has too many digits") from error
        if not math.isfinite(value):
            raise self.fail("the number is too large")
        return value

    def read_word(self, word: re.Match[str]) -> JsonValue:
        if word.end() >= len(self.text):
            self.at = len(self.text)
        if word.group() not in _WORDS or self.at >= len(self.text):
            raise self.fail(f"{word.group()} is not a JSON value")
        self.at = word.end()
        if word.group()[0].isupper():
            self.take("python_literal")
        return _WORDS[word.group()]
