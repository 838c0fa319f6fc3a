"""Match the regular expressions of schemas (ECMA-262) in linear time, with Rust's engine; never with Python's `re`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic_core import SchemaError, SchemaValidator, core_schema

_MAX_WORK = 20_000_000  # characters times states of the automaton: 20 to 30 ms at worst, measured

Verdict = Literal["matches", "differs", "unknown", "too_long"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """A compiled pattern."""

    unchecked: str
    """Why it cannot be matched, as a clause: `it looks ahead`. Empty if it can."""
    broken: bool
    """True if it is no regular expression at all."""
    states: int
    """About how many states the automaton has."""
    _validator: SchemaValidator | None

    @property
    def max_chars(self) -> int:
        """Longer texts are not matched, because that could take too long."""
        return _MAX_WORK // self.states

    def work(self, text: str) -> int:
        """Return how long a text may take, in characters times states; a million of them take about 1 ms."""
        return 0 if self._validator is None or len(text) > self.max_chars else len(text) * self.states

    def match(self, text: str) -> Verdict:
        """Search the text for the pattern. `unknown` means that the pattern cannot be matched."""
        if self._validator is None:
            return "unknown"
        if len(text) > self.max_chars:
            return "too_long"
        return "matches" if self._validator.isinstance_python(text) else "differs"


@lru_cache(maxsize=2_000)
def compiled(pattern: str) -> Pattern:
    """Translate and compile a pattern; one that cannot be compiled says why."""
    try:
        translated = _Translator(pattern).run()
        schema = core_schema.str_schema(pattern=translated.text, regex_engine="rust-regex")
        validator = SchemaValidator(schema)
    except _Unsupported as error:
        return Pattern(unchecked=str(error), broken=False, states=1, _validator=None)
    except SchemaError as error:
        reason = str(error).rpartition("error: ")[2].strip()
        if "size limit" in reason:
            reason = "it is too large"
        return Pattern(unchecked=reason, broken=reason in _BROKEN, states=1, _validator=None)
    return Pattern(unchecked="", broken=False, states=translated.states, _validator=validator)


# Messages of Rust's regex-syntax 0.8 for what is an error in every dialect.
_BROKEN = frozenset(
    {
        "unclosed group",
        "unopened group",
        "unclosed character class",
        "repetition operator missing expression",
        "incomplete escape sequence, reached end of pattern prematurely",
        "invalid character class range, the start must be <= the end",
        "invalid repetition count range, the start must be <= the end",
    }
)


class _Unsupported(Exception):
    """Raised with the reason why a pattern cannot be matched in linear time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Translated:
    text: str
    states: int
    """About how many states the automaton has."""


_SPACE = r"\t\n\x0B\x0C\r \x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}"
_CLASSES = {
    "d": "[0-9]",
    "D": "[^0-9]",
    "w": "[0-9A-Za-z_]",
    "W": "[^0-9A-Za-z_]",
    "s": f"[{_SPACE}]",
    "S": f"[^{_SPACE}]",
}
_CONTROLS = {"t": r"\t", "n": r"\n", "r": r"\r", "f": r"\x0C", "v": r"\x0B", "0": r"\x00"}
_ANCHORS = {"b": r"(?-u:\b)", "B": r"(?-u:\B)", "A": r"\A", "Z": r"\z", "z": r"\z"}
_QUANTIFIER = re.compile(r"\{(\d+)(?:,(\d*))?\}", re.ASCII)
_MAX_REPEATS = 100_000
_UNSUPPORTED_GROUPS = {
    "(?=": "it looks ahead",
    "(?!": "it looks ahead",
    "(?<=": "it looks behind",
    "(?<!": "it looks behind",
    "(?>": "it has an atomic group",
    "(?P=": "it refers back to a group",
    "(?(": "it has a condition",
}
_FLAGS = re.compile(r"\(\?([A-Za-z-]*)([:)])")
_NAMED_GROUP = re.compile(r"\(\?P?<[^>]*>")
_HEX = re.compile(r"u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})")
_LOW_SURROGATE = re.compile(r"\\u(D[C-F][0-9A-F]{2})", re.IGNORECASE)
_PROPERTY = re.compile(r"[pP](?:\{[^}]*\}|[A-Z])")
_CONTROL_LETTER = re.compile(r"c([A-Za-z])")


class _Translator:
    """One pass over a pattern, from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._out: list[str] = []
        self._open = [1]  # states of the groups that are open, the outermost first
        self._last = 0  # states of what a quantifier would repeat
        self._atoms = self._repeats = 0
        self._dot = r"[^\n\r\x{2028}\x{2029}]"

    def run(self) -> _Translated:
        while self._at < len(self._pattern):
            self._next()
        is_plain = self._atoms == 1 and self._repeats == 1 and self._pattern.startswith("^")
        return _Translated(text="".join(self._out), states=1 if is_plain else sum(self._open))

    def _next(self) -> None:
        char = self._pattern[self._at]
        if char == "\\":
            self._atom(self._escape(in_class=False).text)
        elif char == "[":
            self._atom(self._class())
        elif char == "(":
            self._open_group()
        elif char == ")":
            self._close_group()
        elif char == "{" and (found := _QUANTIFIER.match(self._pattern, self._at)):
            self._repeat(found)
        elif char in "*+?|^$":
            self._out.append(self._take())
        else:
            self._take()
            self._atom(self._dot if char == "." else f"\\{char}" if char in "{}]" else char)

    def _take(self, count: int = 1) -> str:
        taken = self._pattern[self._at : self._at + count]
        self._at += count
        return taken

    def _atom(self, text: str) -> None:
        self._out.append(text)
        self._atoms += 1
        self._open[-1] += 1
        self._last = 1

    def _open_group(self) -> None:
        for start, reason in _UNSUPPORTED_GROUPS.items():
            if self._pattern.startswith(start, self._at):
                raise _Unsupported(reason)
        if named := _NAMED_GROUP.match(self._pattern, self._at):
            self._at = named.end()
            self._out.append("(?:")
        elif flags := _FLAGS.match(self._pattern, self._at):
            self._at = flags.end()
            self._set_flags(flags)
            if flags.group().endswith(")"):
                return
        else:
            self._out.append(self._take())
        self._open.append(0)

    def _set_flags(self, found: re.Match[str]) -> None:
        names = found.group(1)
        if set(names) - set("imsua-"):
            msg = f"it sets the flags {names}"
            raise _Unsupported(msg)
        if "s" in names.partition("-")[0]:
            self._dot = "(?s:.)"
        kept = re.sub(r"[sua]", "", names).removesuffix("-")
        self._out.append(f"(?{kept}{found.group(2)}" if kept or found.group(2) == ":" else "")

    def _close_group(self) -> None:
        self._out.append(self._take())
        if len(self._open) > 1:
            self._last = self._open.pop()
            self._open[-1] += self._last

    def _repeat(self, found: re.Match[str]) -> None:
        self._at = found.end()
        self._repeats += 1
        self._out.append(found.group())
        times = max(int(found.group(1)), int(found.group(2) or 0))
        if times > _MAX_REPEATS:
            msg = f"it repeats {times} times"
            raise _Unsupported(msg)
        self._last *= max(times, 1)
        self._open[-1] += self._last

    def _class(self) -> str:
        """Translate a class in brackets; in Rust's, `[`, `&`, `-` and `~` have meanings of their own."""
        self._take()
        negated = self._pattern.startswith("^", self._at)
        self._at += negated
        items: list[_Item] = []
        while not self._pattern.startswith("]", self._at):
            if self._at >= len(self._pattern):
                return "["  # not closed, which the engine reports
            char = self._pattern[self._at]
            if char == "\\":
                items.append(self._escape(in_class=True))
            else:
                items.append(_Item(text=_literal(self._take()), is_set=False, is_dash=char == "-"))
        self._take()
        if not items:
            return "(?s:.)" if negated else r"[^\x{0}-\x{10FFFF}]"
        return f"[{'^' if negated else ''}{_class_items(items)}]"

    def _escape(self, *, in_class: bool) -> _Item:
        self._take()
        char = self._pattern[self._at : self._at + 1]
        if found := _HEX.match(self._pattern, self._at):
            self._at = found.end()
            return _Item(text=self._code_point(int(next(filter(None, found.groups())), 16)), is_set=False)
        if found := _PROPERTY.match(self._pattern, self._at):
            self._at = found.end()
            return _Item(text=f"\\{found.group()}", is_set=True)
        if found := _CONTROL_LETTER.match(self._pattern, self._at):
            self._at = found.end()
            return _Item(text=rf"\x{{{ord(found.group(1)) % 32:X}}}", is_set=False)
        self._take()
        if char in _CLASSES:
            return _Item(text=_CLASSES[char], is_set=True)
        if not in_class and char in _ANCHORS:
            return _Item(text=_ANCHORS[char], is_set=True)
        return _Item(text=_single(char, in_class=in_class), is_set=False)

    def _code_point(self, code: int) -> str:
        low = _LOW_SURROGATE.match(self._pattern, self._at)
        if 0xD800 <= code <= 0xDBFF and low:
            self._at = low.end()
            code = 0x10000 + (code - 0xD800) * 0x400 + int(low.group(1), 16) - 0xDC00
        if 0xD800 <= code <= 0xDFFF:
            msg = "it contains half of a surrogate pair"
            raise _Unsupported(msg)
        return rf"\x{{{code:X}}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """One part of a class: a character, or a set of them."""

    text: str
    is_set: bool
    is_dash: bool = False
    """True if it is a dash without a backslash, which may make a range."""


def _class_items(items: list[_Item]) -> str:
    out: list[str] = []
    index = 0
    while index < len(items):
        if index + 2 < len(items) and items[index + 1].is_dash and not (items[index].is_set or items[index + 2].is_set):
            out.append(f"{items[index].text}-{items[index + 2].text}")
            index += 3
        else:
            out.append(items[index].text)
            index += 1
    return "".join(out)


def _single(char: str, *, in_class: bool) -> str:
    """Translate the escape of one character. `char`: empty at the end of the pattern, which the engine reports."""
    if char == "":
        return "\\"
    if char == "b" and in_class:
        return r"\x08"
    if char in _CONTROLS:
        return _CONTROLS[char]
    if char.isdigit() or char == "k":
        msg = "it refers back to a group"
        raise _Unsupported(msg)
    if char.isascii() and char.isalpha():
        msg = rf"\{char} is no escape of ECMA-262"
        raise _Unsupported(msg)
    return _literal(char)


def _literal(char: str) -> str:
    return char if char.isalnum() or not char.isascii() else rf"\x{{{ord(char):X}}}"
