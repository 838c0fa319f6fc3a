"""Read one YAML document with the line of every key; rejects tags, repeated keys, and documents over the limits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import JsonValue

from ..errors import ConfigError

KeyPath = tuple[str | int, ...]
"""Path of a value: keys of mappings and indices of lists, outermost first."""

MAX_DEPTH = 40
MAX_NODES = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One mistake in a file."""

    line: int | None
    """From 1. None means that the mistake is in an override, not in the file."""
    key: str
    """Dotted. Empty means the file as a whole."""
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A parsed file with the lines of its keys."""

    value: JsonValue
    lines: Mapping[KeyPath, int]
    """Line of each key and list item, from 1; values inside an alias have none."""
    texts: Mapping[KeyPath, str]
    """Numbers and booleans as written, such as `1.10`."""
    problems: tuple[Problem, ...]
    """Mistakes that did not prevent reading the rest, in the order of the file."""

    def line(self, path: KeyPath) -> int:
        """Return the line of a value, or of the nearest enclosing key."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(content: bytes, *, path: Path) -> Document:
    """Read a YAML file from an untrusted source.

    Plain scalars follow YAML 1.2: only `true` and `false` are booleans, only decimal numbers are numbers, dates are
    text. Aliases count towards the limits with everything they repeat.

    Args:
        content: the whole file; the caller limits its size.
        path: shown in errors, not opened.

    Raises:
        ConfigError: it is not UTF-8, not YAML, not a single document, has tags, or is too deep or too large.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError("This is not UTF-8 text. Save the file as UTF-8.", path=path, line=line) from error
    reader = _Reader(path=path, events=yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        value = reader.document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, path) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        msg = f"Not valid YAML: the character {chr(error.character)!a} is not allowed. Remove it."
        raise ConfigError(msg, path=path, line=line) from error
    except (ValueError, OverflowError) as error:
        # PyYAML 6.0.3 does not catch these for "\UFFFFFFFF" and for a very long number in a %YAML line.
        raise ConfigError(f"Not valid YAML: {error}.", path=path, line=reader.line) from error
    return Document(value=value, lines=reader.lines, texts=reader.texts, problems=tuple(reader.problems))


def plain_scalar(text: str) -> JsonValue:
    """Return what an unquoted YAML 1.2 scalar means."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text.lower() in {"true", "false"} and text in {text.lower(), text.upper(), text.capitalize()}:
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text.replace("_", ""))):
        return number
    return text


def dotted(path: KeyPath) -> str:
    """Format a path as `escalation.rungs[0].effort`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]{0,18})")  # 010 is 8 in YAML 1.1 and 10 in 1.2, so it stays text
_FLOAT = re.compile(r"(?=.*[.eE])[-+]?([0-9][0-9_]{0,18}(\.[0-9_]{0,18})?|\.[0-9][0-9_]{0,17})([eE][-+]?[0-9]{1,3})?")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Anchored:
    value: JsonValue
    nodes: int


@dataclass(kw_only=True, slots=True)
class _Reader:
    # Events instead of compose(): compose recurses without limit and does not expand aliases, so neither depth nor
    # alias size could be limited in time, and it does not distinguish an explicit tag from an inferred one.
    path: Path
    events: Iterator[yaml.Event]
    lines: dict[KeyPath, int] = field(default_factory=dict[KeyPath, int])
    texts: dict[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    problems: list[Problem] = field(default_factory=list[Problem])
    anchors: dict[str, _Anchored] = field(default_factory=dict[str, _Anchored])
    nodes: int = 0
    line: int = 1

    def document(self) -> JsonValue:
        self._next()  # stream start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        value = self._node(self._next(), ())
        self._next()  # document end
        if not isinstance(self._next(), yaml.StreamEndEvent):
            raise self._refusal("A second document starts here (`---`). Keep one task per file.")
        return value

    def _next(self) -> yaml.Event:
        event = next(self.events)
        if event.start_mark is not None:
            self.line = event.start_mark.line + 1
        return event

    def _refusal(self, text: str) -> ConfigError:
        return ConfigError(text, path=self.path, line=self.line)

    def _count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            msg = f"Too large: more than {MAX_NODES} values with aliases expanded. Keep data in separate files."
            raise self._refusal(msg)

    def _node(self, event: yaml.Event, at: KeyPath) -> JsonValue:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if not isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent):
            raise self._refusal(f"Not valid YAML: {type(event).__name__} is not expected here.")
        if event.tag is not None:
            raise self._refusal(f"The tag {event.tag!r} is not supported. Remove it; for text, use quotes.")
        if len(at) > MAX_DEPTH:
            raise self._refusal(f"Too deep: more than {MAX_DEPTH} levels. Flatten it.")
        before = self.nodes
        self._count(1)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, at)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(at)
        else:
            value = self._mapping(at)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value=value, nodes=self.nodes - before)
        return value

    def _alias(self, event: yaml.AliasEvent) -> JsonValue:
        anchored = self.anchors.get(event.anchor or "")
        if anchored is None:
            raise self._refusal(f"The alias *{event.anchor} has no anchor &{event.anchor} before it.")
        self._count(anchored.nodes)
        return anchored.value

    def _scalar(self, event: yaml.ScalarEvent, at: KeyPath) -> JsonValue:
        text = event.value
        if _SURROGATE.search(text):
            raise self._refusal("A lone surrogate (\\ud800 to \\udfff) is not a character. Write the whole character.")
        if event.style is not None:
            return text
        value = plain_scalar(text)
        if value is not None and not isinstance(value, str):
            self.texts[at] = text
        return value

    def _sequence(self, at: KeyPath) -> JsonValue:
        items: list[JsonValue] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            here = (*at, len(items))
            self.lines[here] = self.line
            items.append(self._node(event, here))
        return items

    def _mapping(self, at: KeyPath) -> JsonValue:
        pairs: dict[str, JsonValue] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, at)
            line, here = self.line, (*at, key)
            first = self.lines.get(here)
            value = self._node(self._next(), here)
            if key in pairs:
                text = f"`{dotted(here)}` is given twice, first on line {first}. Keep one."
                self.problems.append(Problem(line=line, key=dotted(here), text=text))
                continue
            self.lines[here] = line
            pairs[key] = value
        return pairs

    def _key(self, event: yaml.Event, at: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            msg = "A key must be plain text. Put a value that begins with {, [, * or & in quotes."
            raise self._refusal(msg)
        self._count(1)
        key = event.value
        if event.tag is not None or key == "<<" or _SURROGATE.search(key):
            raise self._refusal(f"The key {key!a} is not supported. Write the keys out, without tags and merges.")
        if event.style is None and not isinstance(plain_scalar(key), str):
            text = f"YAML does not read the key {key!r} as text. Put it in quotes."
            self.problems.append(Problem(line=self.line, key=dotted((*at, key)), text=text))
        return key


def _syntax_error(error: yaml.MarkedYAMLError, path: Path) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    problem = error.problem or "it cannot be read"
    if "'\\t'" in problem:
        advice = "Indent with spaces, not tabs."
    else:
        advice = 'Check the indentation, and put text that contains ": " or " #" in quotes.'
    return ConfigError(f"Not valid YAML: {problem}. {advice}", path=path, line=line)
