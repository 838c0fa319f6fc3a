"""Redact secret values, wherever they occur, from text for the model, the journal or a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

_NAME = re.compile(
    r"(^|_)(api_?key|access_?key|key|token|secret|password|passwd|passphrase|credentials?|auth|dsn)(_|\d|$)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"^\w+://[^/@\s]*:[^/@\s]+@")
"""A URL that contains a password."""
_PAIR = re.compile(
    r"""\s*(?:export\s+)?["']?(?P<name>[A-Za-z_][\w.-]*)["']?\s*[:=]"""
    r"""(?:\s*(?P<mark>["'])(?P<quoted>.*?)(?P=mark)|(?P<bare>(?!=).+?))\s*(?:,|\s\#.*)?$"""
)
"""A name and a value, optionally followed by a comment; does not match a line of a key that ends in = or ==."""
_MIN_CHARS = 8
"""Redacting shorter values would remove ordinary words from every text."""


def secrets_in(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment variables that are secrets, judging by their name or a password in a URL."""
    return {
        name: value
        for name, value in env.items()
        if len(value.strip()) >= _MIN_CHARS and (_NAME.search(name) or _LOGIN.search(value))
    }


def secrets_of_file(text: str, name: str) -> dict[str, str]:
    """Return the values in a file by name: those of JSON and YAML, the text after a name, or whole lines.

    Args:
        text: `NAME=value` as in .env, JSON, YAML or INI, or lines such as those of a key.
        name: the file's name; used for values without a name.
    """
    named: list[tuple[str, str]] = []
    for line in text.splitlines():
        pair = _PAIR.match(line)
        if pair or not line.lstrip().startswith("#"):
            named.append((pair["name"], pair["quoted"] or pair["bare"]) if pair else (name, line))
    named += _leaves(text, name)
    found: dict[str, str] = {}
    for label, value in ((label, value.strip()) for label, value in named):
        if len(value) >= _MIN_CHARS and value not in found.values():
            found[label if label not in found else f"{label} {len(found) + 1}"] = value
    return found


def _leaves(text: str, name: str) -> list[tuple[str, str]]:
    """Return the lines of each value in JSON or YAML with the nearest name above it; empty if the text is neither."""
    import yaml

    try:
        whole: object = yaml.BaseLoader(text).get_single_data()  # loads no types: numbers stay as written
    except (yaml.YAMLError, RecursionError):
        return []
    found: list[tuple[str, str]] = []
    waiting: list[tuple[str, object]] = [(name, whole)] if isinstance(whole, dict | list) else []
    seen: set[int] = set()  # YAML aliases can repeat a part so often that visiting each copy never ends
    while waiting:
        label, part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting += [(str(key), value) for key, value in cast("dict[object, object]", part).items()]
        elif isinstance(part, list):
            waiting += [(label, value) for value in cast("list[object]", part)]
        elif isinstance(part, str):
            found += [(label, line) for line in part.splitlines()]
    return found


def redacted(text: str, secrets: Mapping[str, str]) -> str:
    """Replace each value in the text with `[secret NAME]`, and each long line of one; longest first, as they nest."""
    values = [(name, value.strip()) for name, value in secrets.items()]
    # Numbered lines, diffs and matches of a search show the lines of a value one by one.
    values += [
        (name, line.strip())
        for name, value in values
        if "\n" in value
        for line in value.split("\n")
        if len(line.strip()) >= _MIN_CHARS
    ]
    for name, value in sorted(values, key=lambda pair: -len(pair[1])):
        text = text.replace(value, f"[secret {name}]")
    return text
