"""Return what a runner reads of a file of settings that it shares with other programs, and of one of its own."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from .verify_environments import plugin_lines

_SCRIPT_KEYS = frozenset({"scripts", "jest", "vitest", "mocha", "ava", "nyc", "c8"})
_TOOL = re.compile(r"(?:pytest|tox|coverage|hatch|nox|poe|pdm|uv)\b")
_MAX_DOTS = 100
"""In a line of TOML; tomllib takes minutes for one key of 100,000 parts."""
_INI_SECTION = re.compile(r"\[(?:tool:)?(?:pytest|tox|testenv|coverage|DEFAULT)\b")
"""configparser, with which tox and coverage read, adds DEFAULT to each section."""
_SURE_INI_LINE = re.compile(r"[^\s\[].*|[ \t]+(?:[^\s\[].*)?|\[[^\[\]]+\][ \t]*(?:[#;].*)?|")
"""A line that pytest's parser and configparser take for the same; an indented `[` begins a section for one of them."""


def loaded_part(name: str, content: bytes) -> bytes | None:
    """Return what a runner reads of a file: all of it where that is in doubt. None if it reads nothing of it."""
    if name == "entry_points.txt":
        return plugin_lines(content)
    with suppress(ValueError, RecursionError):
        if name == "package.json":
            return _of_keys(json.loads(content), lambda key: key in _SCRIPT_KEYS)
        if name == "pyproject.toml" and all(line.count(b".") <= _MAX_DOTS for line in content.splitlines()):
            data = tomllib.loads(content.decode())
            return _of_keys(data.get("tool"), lambda key: _TOOL.match(key) is not None)
        if name == "setup.cfg":
            return _of_ini(content.decode())
    return content


def _of_keys(data: object, is_read: Callable[[str], bool]) -> bytes | None:
    keys = cast("dict[str, object]", data) if isinstance(data, dict) else {}
    read = {key: value for key, value in keys.items() if is_read(key)}
    return json.dumps(read, sort_keys=True, default=repr).encode() if read else None


def _of_ini(text: str) -> bytes | None:
    lines = text.replace("\r\n", "\n").split("\n")
    if "{[" in text or not all(
        line.replace("\t", " ").isprintable() and _SURE_INI_LINE.fullmatch(line) for line in lines
    ):
        return text.encode()  # tox replaces `{[section]key}` by what another section says
    kept: list[str] = []
    is_kept = False
    for line in lines:
        is_kept = bool(_INI_SECTION.match(line)) if line.startswith("[") else is_kept
        kept += [line] if is_kept and line.strip() else []
    return "\n".join(kept).encode() if kept else None
