"""Tell which files cannot match a regular expression, so that they need not be read; ripgrep does it where it is there.

The answer is the same without it: what a file must hold is asked for, and what is left is matched as ever.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from ._paths import Inside

_TIMEOUT_S = 3.0
"""Longer than it takes for a gigabyte; what takes longer is no gain."""
_LEAST_CHARS = 2
# Escapes that stand for no text of their own. All others (\n, \x41, \1, ...) are left to the matcher.
_PLACES = frozenset("AbBdDsSwWZ")
_QUANTIFIER = re.compile(r"\{\d*,?\d*\}")
_SET = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")


def required_text(pattern: str) -> str:
    """Return a text that every match of a regular expression holds, the longest found; empty: none for sure."""
    if "|" in pattern or "(?" in pattern or not pattern.isascii():
        return ""
    found: list[str] = [""]
    at = depth = 0
    while at < len(pattern):
        character, step = pattern[at], 1
        if character == "\\":
            escaped, step = pattern[at + 1 : at + 2], 2
            if escaped.isalnum() and escaped not in _PLACES:
                return ""
            literal = "" if escaped.isalnum() else escaped
        elif character == "[":
            matched = _SET.match(pattern, at)
            if matched is None:
                return ""
            literal, step = "", matched.end() - at
        elif character in "*?{":
            found[-1] = found[-1][:-1]  # what it follows may be absent
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
    return longest if len(longest) >= _LEAST_CHARS else ""


def files_with(text: str, workspace: Path, top: Inside) -> frozenset[str] | None:
    """Return the files below a folder that hold a text, relative to the workspace. None: ripgrep could not say.

    Nothing of what it reads is shown, so it matters not where a link may lead it.
    """
    program = shutil.which("rg")
    if program is None or not text:
        return None
    argv = [
        program, "--no-config", "--files-with-matches", "--null", "--fixed-strings", "--text",
        "--no-ignore", "--hidden", "--no-messages", "--glob=!.git", "--", text, top,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            argv, cwd=workspace, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode not in {0, 1}:  # 2: something could not be read
        return None
    return frozenset(os.path.normpath(os.fsdecode(name)) for name in done.stdout.split(b"\0") if name)
