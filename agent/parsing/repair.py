"""Parse the text of a call's arguments into one JSON object; repairs only what is unambiguous, guesses nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from ..tooling import numbers
from ..tooling.arguments import JsonObject
from .lenient_json import LenientObject, read_lenient
from .strict_json import DECODER, MAX_DEPTH, Unreadable
from .unescaped_quotes import read_unescaped_quotes


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """Arguments that are one JSON object."""

    value: JsonObject
    """Its numbers keep their spelling."""
    text: str
    """The object as JSON; the original text if nothing was repaired, so the history keeps the model's bytes."""
    repairs: tuple[str, ...]
    """Names of the repairs, in order. Empty means none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unparsable:
    """Arguments that are not a JSON object, or are ambiguous."""

    reason: str
    """A clause for the model, to be followed by the position: `expected a comma or }`."""
    position: int | None
    """Index into the text, from 0. None means the text as a whole."""
    cut_off: bool
    """True if the text seems to end early."""


def parse_object(text: str) -> Parsed | Unparsable:
    """Parse the arguments of a call.

    Repairs what can mean only one thing (a comparison of eight repair libraries on 49 inputs, 2026-11): Python and
    JavaScript spellings, trailing or missing commas, wrappers around one complete object, one level of double
    encoding, raw control characters, unescaped quotes. Never closes a string, number, array or object that the text
    leaves open.
    Never raises.
    """
    try:
        value = DECODER.decode(text)
    except json.JSONDecodeError:
        return _repaired(text)
    except (ValueError, RecursionError) as error:
        return _unparsable("", _as_unreadable(error))
    if isinstance(value, dict):
        return _accept(cast("JsonObject", value), text, ())
    if isinstance(value, str):
        return _double_encoded(value)
    return Unparsable(reason=f"it is {_kind_of(value)}, not an object", position=None, cut_off=False)


_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"
# A string that is only a drive and segments that all begin with the letter of a JSON escape.
_WINDOWS_PATH = re.compile(r'"[A-Za-z]:(?:\\[bfnrt][^\\"\s:]*)+"')


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "null" if value is None else "an array" if isinstance(value, list) else "a number"


def _as_unreadable(error: ValueError | RecursionError) -> Unreadable:
    if isinstance(error, Unreadable):
        return error
    if isinstance(error, RecursionError):
        return Unreadable(_TOO_DEEP)
    return Unreadable("a number has too many digits")  # json's only other ValueError: int() refuses over 4300 digits


def _accept(value: JsonObject, text: str, repairs: tuple[str, ...]) -> Parsed | Unparsable:
    """Accept the object unless it cannot be meant or encoded: deep nesting, lone surrogates, misread Windows paths."""
    # A short text without escapes is neither too deep nor holds a lone surrogate; most calls are like that.
    simple = len(text) <= MAX_DEPTH and text.isascii() and "\\" not in text
    flaw = None if simple else _flaw(value, text)
    if flaw is not None:
        return _unparsable("", flaw)
    return Parsed(value=value, text=numbers.dumps(value) if repairs else text, repairs=repairs)


def _flaw(value: JsonObject, text: str) -> Unreadable | None:
    # Walking the values is cheaper than searching the text: a megabyte of text is usually one string.
    level: list[JsonValue] = [value]
    is_like_path = False
    for _ in range(MAX_DEPTH + 1):
        deeper: list[JsonValue] = []
        for item in level:
            if isinstance(item, str):
                if not item.isascii() and not _is_whole(item):
                    return Unreadable("a \\ud800 to \\udfff escape stands alone, which is half a character")
                is_like_path = is_like_path or (item[1:2] == ":" and item[2:3] in {"\b", "\f", "\n", "\r", "\t"})
            elif isinstance(item, dict):
                deeper += item
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
        if not deeper:
            return _misread_path(text) if is_like_path else None
        level = deeper
    return Unreadable(_TOO_DEEP)


def _is_whole(item: str) -> bool:
    try:
        item.encode()
    except UnicodeEncodeError:
        return False
    return True


def _misread_path(text: str) -> Unreadable | None:
    path = _WINDOWS_PATH.search(text)
    if path is None:
        return None
    reason = "it reads as a Windows path with single backslashes; double each, or write a line break as \\u000a"
    return Unreadable(reason, position=path.start())


def _double_encoded(inner: str) -> Parsed | Unparsable:
    if not inner.lstrip().startswith("{"):
        return Unparsable(reason="it is a string, not an object", position=None, cut_off=False)
    found = parse_object(inner)
    if isinstance(found, Unparsable):
        reason = f"it is a string that holds JSON, and in that {found.reason}"
        return Unparsable(reason=reason, position=None, cut_off=found.cut_off)
    return _accept(found.value, inner, ("double_encoded", *found.repairs))


_MARK = r"(?:</?s>|<\|[a-z_]+\|>|<pad>|\[/[A-Z_]+\]|</tool_call>|</function>)"
_LEADING_TEXT = re.compile(r"[^\W\d_][^{}\[\]\"<>`\\]*\s[^{}\[\]\"<>`\\]*\s")
_FENCE = re.compile(r"```\w*\s+")
_TAIL_MARKS = re.compile(rf"(?:\s|\}}|```|{_MARK})*")
_END_MARK = re.compile(rf"(?:```|{_MARK})\Z")
_MAX_MARK_CHARS = 60
_TRAILING_TEXT = re.compile(r"\s+[^\W\d_][^{}\[\]\"<>`]*|\s*(?://|#)[^\n]*\s*")


def _repaired(text: str) -> Parsed | Unparsable:
    start = text.find("{")
    if not text.strip():
        return Unparsable(reason="it is empty", position=None, cut_off=False)
    head = None if start < 0 else _head(text[:start])
    if head is None:
        return _unparsable(text, Unreadable("it is not an object", position=0))
    try:
        read = _read(text, start)
        tail = _tail(text[read.end :], fenced="code_fence" in head, braces=read.deviations[:1] == ("double_braces",))
    except (ValueError, RecursionError) as caught:
        error = _as_unreadable(caught)
        value = read_unescaped_quotes(text[start:]) if not head and error.position is not None else None
        return _unparsable(text, error) if value is None else _accept(value, text, ("unescaped_quotes",))
    # A brace in place of a comma looks like a missing comma plus an extra brace.
    if tail is None or ("missing_comma" in read.deviations and "}" in text[read.end :]):
        return _unparsable(text, Unreadable("more text follows the object", position=read.end))
    # If nothing was named, the text held whitespace that JSON does not allow.
    return _accept(read.value, text[start : read.end], (*head, *read.deviations, *tail) or ("blanks",))


def _read(text: str, start: int) -> LenientObject:
    inner = text.find("{", start + 1)
    if inner > start and not text[start + 1 : inner].strip():
        found = _read_single(text, inner)
        return LenientObject(value=found.value, end=found.end, deviations=("double_braces", *found.deviations))
    return _read_single(text, start)


def _read_single(text: str, start: int) -> LenientObject:
    try:  # the C parser first: a large object may be valid and only the text around it not
        value, end = DECODER.raw_decode(text, start)
    except json.JSONDecodeError:
        return read_lenient(text, start)
    return LenientObject(value=cast("JsonObject", value), end=end, deviations=())


def _head(head: str) -> tuple[str, ...] | None:
    """Return the repairs for the text before the object; None if it is more than a wrapper."""
    if not head.strip():
        return ()
    prose = _LEADING_TEXT.match(head)
    repairs: tuple[str, ...] = ()
    rest = head
    if prose is not None:
        repairs, rest = ("leading_text",), head[prose.end() :]
    rest = rest.lstrip()
    if not rest:
        return repairs
    return (*repairs, "code_fence") if _FENCE.fullmatch(rest) else None


def _tail(tail: str, *, fenced: bool, braces: bool) -> tuple[str, ...] | None:
    """Return the repairs for the text after the object; None if it is more than marks or a remark."""
    if braces and not tail.lstrip().startswith("}"):
        raise Unreadable("the text ends inside the object", position=None, cut_off=True)
    marks = _TAIL_MARKS.match(tail)
    rest = tail if marks is None else tail[marks.end() :]
    used = tail[: len(tail) - len(rest)].strip()
    repairs = ("trailing_marks",) if used.removeprefix("}" if braces else "```" if fenced else "") else ()
    if not rest.strip():
        return repairs
    spaced = tail[len(tail) - len(rest) - 1 :] if len(rest) < len(tail) else rest
    return (*repairs, "trailing_text") if _TRAILING_TEXT.fullmatch(spaced) else None


def _unparsable(text: str, error: Unreadable) -> Unparsable:
    end = text.rstrip()
    while (mark := _END_MARK.search(end, max(0, len(end) - _MAX_MARK_CHARS))) is not None:
        end = end[: mark.start()].rstrip()
    early = "{" in text and not end.endswith("}")
    return Unparsable(reason=error.reason, position=error.position, cut_off=error.cut_off or early)
