"""Fill {{name}} placeholders in a text; knows names and values only, no expressions, and fills each text once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(rf"(?P<kept>\\?)(?P<braces>\{{\{{[ \t]*(?P<name>{VARIABLE_NAME.pattern})[ \t]*\}}\}})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placeholder:
    """One place in a text that wants a value."""

    name: str
    line: int
    """In the text, from 1."""


def placeholders(text: str) -> tuple[Placeholder, ...]:
    r"""Return the first place of each name, in order; `\{{name}}` is none, nor is anything but one name in braces."""
    found: dict[str, Placeholder] = {}
    for match in _PLACEHOLDER.finditer(text):
        if not match["kept"] and match["name"] not in found:
            line = text.count("\n", 0, match.start()) + 1
            found[match["name"]] = Placeholder(name=match["name"], line=line)
    return tuple(found.values())


def fill(text: str, values: Mapping[str, str]) -> str:
    r"""Put the values in; a name without one stays as it is, and `\{{name}}` becomes `{{name}}`."""

    def value(match: re.Match[str]) -> str:
        return match["braces"] if match["kept"] else values.get(match["name"], match["braces"])

    return _PLACEHOLDER.sub(value, text)
