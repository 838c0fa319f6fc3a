"""Find the files that may match a regular expression, so that the others need not be read; uses ripgrep if present.

The results are the same without it: it only looks for text that every match contains; the matcher does the rest.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

from agent import ToolContext

from ._paths import Inside

_TIMEOUT_S = 3.0
"""Longer than ripgrep needs for a gigabyte; a slower filter saves no time."""
_MIN_CHARS = 2
_MAX_CHARS = 10_000
"""A longer pattern is not looked at: the time grows with its square, 54 s for a million characters."""
# Letter escapes without literal text of their own. With any other (\n, \x41, \1, ...) the filter is not used.
_NON_LITERAL_ESCAPES = frozenset("AbBdDsSwWZ")
_QUANTIFIER = re.compile(r"\{\d*,?\d*\}")
_CHARACTER_SET = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")


def required_text(pattern: str) -> str:
    """Return the longest text found that every match of a regular expression contains; empty if none is certain."""
    if "|" in pattern or "(?" in pattern or not pattern.isascii() or len(pattern) > _MAX_CHARS:
        return ""
    found: list[str] = [""]
    at = depth = 0
    while at < len(pattern):
        character, step = pattern[at], 1
        if character == "\\":
            escaped, step = pattern[at + 1 : at + 2], 2
            if escaped.isalnum() and escaped not in _NON_LITERAL_ESCAPES:
                return ""
            literal = "" if escaped.isalnum() else escaped
        elif character == "[":
            matched = _CHARACTER_SET.match(pattern, at)
            if matched is None:
                return ""
            literal, step = "", matched.end() - at
        elif character in "*?{":
            found[-1] = found[-1][:-1]  # the character before it may be absent
            matched = _QUANTIFIER.match(pattern, at)
            literal, step = "", matched.end() - at if matched else 1
        else:
            depth += (character == "(") - (character == ")")
            literal = "" if character in "().^$+" else character
        if literal and not depth and literal.isprintable():
            found[-1] += literal
        else:
            found.append("")
        at += step
    longest = max(found, key=len)
    return longest if len(longest) >= _MIN_CHARS else ""


def files_containing(text: str, context: ToolContext[Any], top: Inside) -> frozenset[str] | None:
    """Return the files below a folder that contain a text, relative to the workspace. None means ripgrep was no help.

    Nothing that ripgrep reads is shown, so a symlink that leads out does no harm.
    """
    try:
        program = context.find_program("rg") if text else None
    except OSError:
        return None
    if program is None:
        return None
    argv = [
        program, "--no-config", "--files-with-matches", "--null", "--fixed-strings", "--text",
        "--no-ignore", "--hidden", "--no-messages", "--glob=!.git", "--", text, top,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            argv, cwd=context.workspace, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode not in {0, 1}:  # 2: a file could not be read
        return None
    return frozenset(os.path.normpath(os.fsdecode(name)) for name in done.stdout.split(b"\0") if name)
