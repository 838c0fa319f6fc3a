"""Take secrets out of text before the model, the journal or a report gets it: the values, wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(
    r"(^|_)(api_?key|access_?key|key|token|secret|password|passwd|passphrase|credentials?|auth|dsn)(_|\d|$)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"^\w+://[^/@\s]*:[^/@\s]+@")
"""An address that holds a password."""
_PAIR = re.compile(r"""\s*(?:export\s+)?["']?(?P<name>[A-Za-z_][\w.-]*)["']?\s*[:=](?P<value>(?!=).+)""")
"""A name and a value; a line of a key that ends in = or == is none."""
_LEAST_CHARS = 8
"""Shorter values would take ordinary words out of every text."""


def secrets_in(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables of an environment that are secrets, as their names say, or a password in an address."""
    return {
        name: value
        for name, value in env.items()
        if len(value.strip()) >= _LEAST_CHARS and (_NAME.search(name) or _LOGIN.search(value))
    }


def secrets_of_file(text: str, name: str) -> dict[str, str]:
    """Return the values that stand in a file: of each line what follows its name, or the whole line.

    Args:
        text: `NAME=value` as in .env, JSON, YAML or INI, or lines such as those of a key.
        name: of the file, for what has no name of its own.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        pair = _PAIR.match(line)
        value = (pair["value"] if pair else line).strip().rstrip(",").strip("\"'")
        if len(value) >= _LEAST_CHARS and not line.lstrip().startswith("#"):
            found[pair["name"] if pair else _unused(found, name)] = value
    return found


def _unused(found: Mapping[str, str], name: str) -> str:
    return name if name not in found else f"{name} {len(found) + 1}"


def redacted(text: str, secrets: Mapping[str, str]) -> str:
    """Return the text with `[secret NAME]` for each value; the longest first, since one may hold another."""
    for name, value in sorted(secrets.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(value.strip(), f"[secret {name}]")
    return text
