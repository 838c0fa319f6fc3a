"""Parse and match the rules of one .gitignore as git does, in linear time for each name; reads no file.

Source: gitignore(5) and wildmatch.c of git 2.39, read 2026-11.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

_BYTES = "latin-1"
"""Makes a character of each byte; git compares bytes too."""
_COMPARE_STEPS = 4
"""Steps for the comparison of one part with one name."""
_COMPILE_STEPS = 100
"""Steps for each character of a wildcard that is compiled."""
_POSIX = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": r" \t", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": r"\x21-\x7e", "lower": "a-z", "print": r"\x20-\x7e", "punct": r"!-/:-@\[-`{-~", "space": r"\s",
    "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip


@dataclass(kw_only=True)
class Effort:
    """How much more may be matched; a workspace can hold any number of rules and names."""

    left: int = 40_000_000
    """Steps; one takes about 0.1 microseconds. Negative means that it is used up."""


class IgnoreRules:
    """The rules of one .gitignore."""

    def __init__(self, content: bytes) -> None:
        """Parse the content; a line that git finds no valid rule in is skipped."""
        lines = content.removeprefix(codecs.BOM_UTF8).decode(_BYTES).split("\n")
        self._rules = tuple(rule for line in lines if (rule := _parse(line)) is not None)

    def decide(self, path: str, *, is_folder: bool, effort: Effort) -> bool | None:
        """Return whether the last matching rule ignores a path. None means that no rule matches.

        Args:
            path: relative to the folder of the .gitignore, with / between its parts. Folders above it are not checked.
            is_folder: whether the path is a folder.
            effort: what may be spent; nothing matches once it is used up.
        """
        names = os.fsencode(path).decode(_BYTES).split("/")
        effort.left -= len(names)
        for rule in reversed(self._rules):
            effort.left -= 1
            if effort.left < 0:
                return None
            if (is_folder or not rule.folders_only) and rule.matches(names, effort):
                return not rule.is_negated
        return None


@dataclass(kw_only=True)
class _Part:
    """A pattern for one name of a path."""

    source: str
    """Without escapes unless it is `wild`."""
    kind: Literal["plain", "suffix", "wild"]
    """`suffix` means that any name with this end matches."""
    _compiled: re.Pattern[str] | None = field(default=None, repr=False)

    def matches(self, name: str, effort: Effort) -> bool:
        if self.kind == "plain":
            return name == self.source
        if self.kind == "suffix":
            return name.endswith(self.source)
        if self._compiled is None:
            effort.left -= len(self.source) * _COMPILE_STEPS
            if effort.left < 0:
                return False
            self._compiled = _compile(self.source)
        effort.left -= 1 + len(name) * len(self.source) // 200
        return self._compiled.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class _Rule:
    blocks: tuple[tuple[_Part, ...], ...]
    """The parts between each two `**`; the first block is at the start of the path, the last at its end."""
    is_negated: bool
    folders_only: bool

    @cached_property
    def part_of_name(self) -> _Part | None:
        """The pattern for the name alone, in whatever folder it is. None if the rule is for paths."""
        return self.blocks[1][0] if [*map(len, self.blocks)] == [0, 1] else None

    def matches(self, names: Sequence[str], effort: Effort) -> bool:
        if self.part_of_name is not None:
            return self.part_of_name.matches(names[-1], effort)
        first, last = self.blocks[0], self.blocks[-1]
        if len(self.blocks) == 1:
            return len(first) == len(names) and _fits(first, names, 0, effort)
        # The leftmost place of a block leaves most room for the next, so no place is ever tried again.
        at, end = len(first), len(names) - max(len(last), 1)
        if at > end or not _fits(first, names, 0, effort) or not _fits(last, names, len(names) - len(last), effort):
            return False
        for block in self.blocks[1:-1]:
            while at + len(block) <= end and not _fits(block, names, at, effort):
                at += 1
            at += len(block)
            if at > end:
                return False
        return True


def _fits(block: Sequence[_Part], names: Sequence[str], at: int, effort: Effort) -> bool:
    for offset, part in enumerate(block):
        effort.left -= _COMPARE_STEPS
        if effort.left < 0 or not part.matches(names[at + offset], effort):
            return False
    return True


def _parse(line: str) -> _Rule | None:
    """Return the rule of a line. None if it is empty, a comment, or matches nothing."""
    line = _without_trailing_spaces(line.removesuffix("\r"))
    if not line or line.startswith("#"):
        return None
    is_negated = line.startswith("!")
    pattern = line[is_negated:]
    folders_only = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    is_anchored = "/" in pattern
    sources = _split(pattern.removeprefix("/"))
    if sources is None or (not is_anchored and sources == [""]):
        return None
    blocks: list[list[_Part]] = [[]] if is_anchored else [[], []]
    for source in sources:
        if is_anchored and len(source) > 1 and not source.strip("*"):
            blocks += [[]] if blocks[-1] or len(blocks) == 1 else []
        else:
            blocks[-1].append(_part(source))
    return _Rule(blocks=tuple(map(tuple, blocks)), is_negated=is_negated, folders_only=folders_only)


def _without_trailing_spaces(line: str) -> str:
    """Return a line without the spaces at its end that no backslash escapes."""
    kept = line.rstrip(" ")
    escapes = len(kept) - len(kept.rstrip("\\"))
    return kept + " " if escapes % 2 and len(kept) < len(line) else kept


def _split(pattern: str) -> list[str] | None:
    """Split a pattern at each / that is in no character class. None if git matches nothing with it."""
    sources = [""]
    try:
        for atom in _atoms(pattern):
            if atom == "/":
                sources.append("")
            else:
                sources[-1] += atom
    except ValueError:
        return None
    return sources


def _atoms(pattern: str) -> Iterator[str]:
    r"""Yield the parts of a pattern that each match one character, and each `*` and `/`.

    Raises:
        ValueError: a `\` or `[` is not complete.
    """
    at = 0
    while at < len(pattern):
        end = at + 1
        if pattern[at] == "\\":
            end = at + 2
        elif pattern[at] == "[":
            end = _end_of_class(pattern, at)
        if end > len(pattern):
            raise ValueError
        atom = pattern[at:end]
        yield "/" if atom == "\\/" else atom
        at = end


def _end_of_class(pattern: str, at: int) -> int:
    """Return the index after the `]` of a character class; beyond the pattern if there is none."""
    at += 2 if pattern[at + 1 : at + 2] in {"!", "^"} else 1
    is_first = True
    while at < len(pattern) and (is_first or pattern[at] != "]"):
        is_first = False
        posix = _POSIX_CLASS.match(pattern, at)
        at = posix.end() if posix else at + 1 + (pattern[at] == "\\")
    return at + 1


_FLAGS = re.DOTALL | re.ASCII
_POSIX_CLASS = re.compile(r"\[:([a-z]{1,6}):\]")


def _part(source: str) -> _Part:
    is_suffix = source.startswith("*")
    atoms = list(_atoms(source[is_suffix:]))
    if any(atom[0] in "*?[" for atom in atoms):
        return _Part(source=source, kind="wild")
    return _Part(source="".join(atom[-1] for atom in atoms), kind="suffix" if is_suffix else "plain")


def _compile(source: str) -> re.Pattern[str]:
    runs = [""]
    for atom in _atoms(source):
        if atom == "*":
            runs.append("")
        else:
            runs[-1] += _one_character(atom)
    if len(runs) == 1:
        return re.compile(runs[0], _FLAGS)
    # As in _Rule.matches: an atomic group never tries a second place for its text.
    middle = "".join(f"(?>.*?{run})" for run in runs[1:-1] if run)
    return re.compile(f"{runs[0]}{middle}.*{runs[-1]}", _FLAGS)


def _one_character(atom: str) -> str:
    if atom == "?":
        return "."
    if atom[0] != "[":
        return re.escape(atom[-1])
    body = atom[1:-1]
    is_negated = body[0] in "!^"
    members = "".join(_members(body[is_negated:]))
    if not members:
        return "." if is_negated else "(?!)"
    return f"[{'^' if is_negated else ''}{members}]"


def _members(body: str) -> Iterator[str]:
    """Yield the members of a character class, as in a regular expression."""
    at = 0
    while at < len(body):
        posix = _POSIX_CLASS.match(body, at)
        if posix:
            yield _POSIX.get(posix[1], "")
            at = posix.end()
            continue
        low, at = _unescaped(body, at)
        high = low
        if body[at : at + 1] == "-" and at + 1 < len(body):
            high, at = _unescaped(body, at + 1)
        # To git, [z-a] is a `z`.
        yield f"{re.escape(low)}-{re.escape(max(low, high))}"


def _unescaped(body: str, at: int) -> tuple[str, int]:
    """Return the character at an index without its backslash, and the index after it."""
    at += body[at] == "\\" and at + 1 < len(body)
    return body[at], at + 1
