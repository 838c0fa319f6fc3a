"""Decide which patterns of strings are sent: those that both grammar back-ends compile and read as ECMA-262 does."""

from __future__ import annotations

import re

from . import patterns

# llguidance 1.7.6 reads patterns with Rust's syntax, in which `[`, `&&`, `--` and `~~` mean something in a class, and
# refuses look-around, `\b`, back-references and inner anchors. xgrammar 0.2.8 refuses `\p`, flags and 129 repeats.
_ESCAPE = r"\\(?:[dDwWsStnr]|x[0-9A-Fa-f]{2}|u(?![Dd][89A-Fa-f])[0-9A-Fa-f]{4}|[^\w\s])"
_CLASS = rf"\[\^?(?:{_ESCAPE}|(?!--|&&|~~)[^\\\[\]])+\]"
_COUNT = r"(?:\d\d?|1[01]\d|12[0-8])"
_REPEAT = rf"(?:[*+?]|\{{{_COUNT}(?:,{_COUNT}?)?\}})\??"
_GROUP = r"\((?:\?:|\?P?<[A-Za-z_]\w*>)?"
_PART = rf"(?:(?:{_ESCAPE}|{_CLASS}|\.|\)|[^\\^$.|?*+()\[\]{{}}])(?:{_REPEAT})?|{_GROUP}|\|)"
_READABLE = re.compile(rf"\^?{_PART}*\$?", re.ASCII | re.DOTALL)

# xgrammar reads every pattern as one of the whole text, and cannot write what JSON escapes: quotes, backslashes and
# control characters. So the pattern must have both anchors, and only characters that it lists.
_PLAIN_ESCAPE = r'\\(?:[dw]|[^\w\s"\\])'
_PLAIN_CLASS = rf"\[(?!\^)(?:{_PLAIN_ESCAPE}|[ !#-\[\]-~])+\]"
_PLAIN_PART = rf"(?:{_PLAIN_ESCAPE}|{_PLAIN_CLASS}|[ !#-\-/-Z_-~*+?(){{}}|])"
_PLAIN = re.compile(rf"\^{_PLAIN_PART}*\$", re.ASCII)


def is_writable(pattern: str, *, by_xgrammar: bool) -> bool:
    """Return whether a grammar of the pattern allows every text that the pattern matches.

    Args:
        pattern: A regular expression as JSON Schema has it: ECMA-262, matched anywhere in the text.
        by_xgrammar: Whether xgrammar must be able to write those texts too. It always compiles the pattern.
    """
    if _READABLE.fullmatch(pattern) is None or patterns.compiled(pattern).unchecked:
        return False
    return not by_xgrammar or (_PLAIN.fullmatch(pattern) is not None and not _has_outer_choice(pattern))


def _has_outer_choice(pattern: str) -> bool:
    """Return whether `|` is outside of every group, so that an anchor is one of a branch only."""
    depth = 0
    for part in re.findall(r"\\.|\[(?:\\.|[^\]\\])*\]|.", pattern, re.DOTALL):
        depth += (part == "(") - (part == ")")
        if part == "|" and depth == 0:
            return True
    return False
