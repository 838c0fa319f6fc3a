"""Fill {{name}} placeholders in a text; supports no expressions, and does not fill placeholders in filled-in values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(rf"(?P<escape>\\?)(?P<braces>\{{\{{[ \t]*(?P<name>{VARIABLE_NAME.pattern})[ \t]*\}}\}})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placeholder:
    """One placeholder in a text."""

    name: str
    line: int
    """Line in the text, from 1."""


def placeholders(text: str) -> tuple[Placeholder, ...]:
    r"""Return the first placeholder of each name, in order; `\{{name}}` is skipped, as are braces around other text."""
    found: dict[str, Placeholder] = {}
    for match in _PLACEHOLDER.finditer(text):
        if not match["escape"] and match["name"] not in found:
            line = text.count("\n", 0, match.start()) + 1
            found[match["name"]] = Placeholder(name=match["name"], line=line)
    return tuple(found.values())


def fill(text: str, values: Mapping[str, str]) -> str:
    r"""Replace placeholders by their values; one without a value stays as it is, and `\{{name}}` becomes `{{name}}`."""

    def value(match: re.Match[str]) -> str:
        return match["braces"] if match["escape"] else values.get(match["name"], match["braces"])

    return _PLACEHOLDER.sub(value, text)
