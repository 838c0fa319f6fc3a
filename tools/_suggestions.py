"""Find the path that a model may have meant by one that does not exist; searches the workspace within limits."""

from __future__ import annotations

import difflib
import itertools
import posixpath
import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from agent import GitIgnore

from ._differences import escaped
from ._listing import NEVER_WALKED, scan

MAX_VISITED = 10_000
"""Files and folders looked at; their order is breadth first, so the deepest are left out."""
_MAX_SHOWN = 3


def suggestion(workspace: Path, missing: str, *, otherwise: str = "Call list_files to see what there is.") -> str:
    """Return a sentence with the path that was probably meant, or `otherwise` if none is similar."""
    folder, name = posixpath.split(missing)
    paths = list(walk(workspace))
    here = _names_in(workspace, folder)
    equal = [path for path in paths if _folded(posixpath.basename(path)) == _folded(name)]
    if close := [entry for entry in here if _folded(entry) == _folded(name)]:
        found = [posixpath.join(folder, close[0])]
    elif equal:
        found = sorted(equal, key=lambda path: (-_common_parts(path, missing), -_likeness(path, missing), path))
    elif close := difflib.get_close_matches(name.lower(), [entry.lower() for entry in here], n=1, cutoff=0.8):
        found = [posixpath.join(folder, next(entry for entry in here if entry.lower() == close[0]))]
    else:
        found = _similar(name, paths) or _similar(name, [posixpath.join(folder, entry) for entry in here], cutoff=0.6)
    if not found:
        return otherwise
    return _wording(missing, found)


def _wording(missing: str, found: Sequence[str]) -> str:
    shown = " or ".join(f'"{printable(path)}"' for path in found[:_MAX_SHOWN])
    if unicodedata.normalize("NFC", found[0]) == unicodedata.normalize("NFC", missing):
        # The two look the same, so show the characters that differ as a JSON string can hold them.
        return f'There is one in another Unicode form. Send it with these escapes: "{escaped(found[0])}".'
    more = f", or {len(found) - _MAX_SHOWN} others" if len(found) > _MAX_SHOWN else ""
    return f"Did you mean {shown}{more}?"


def look_alike(workspace: Path, new: str) -> str:
    """Return the path that exists and differs from a new one only in Unicode form; empty if there is none."""
    folder = ""
    for part in new.split("/"):
        form = unicodedata.normalize("NFC", part)
        names = [] if part.isascii() else _names_in(workspace, folder)
        other = next((name for name in names if unicodedata.normalize("NFC", name) == form), part)
        if other != part and part not in names:
            return posixpath.join(folder, other)
        folder = posixpath.join(folder, part)
    return ""


def printable(name: str) -> str:
    """Return a file name that prints on one line: control characters and undecodable bytes are escaped."""
    if name.isprintable():
        return name
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]", lambda found: ascii(found[0])[1:-1], name)


def walk(workspace: Path) -> Iterator[str]:
    """Yield up to `MAX_VISITED` files and folders, breadth first, without what .gitignore ignores."""
    rules = GitIgnore.below(workspace)
    pending, visited = deque([""]), 0
    while pending:
        folder = pending.popleft()
        try:
            entries = scan(workspace, folder or ".").entries
        except OSError:
            continue
        for entry in entries:
            visited += 1
            if visited > MAX_VISITED:
                return
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name in NEVER_WALKED or rules.names(path, is_folder=entry.kind == "folder"):
                continue
            yield path
            if entry.kind == "folder":
                pending.append(path)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _common_parts(path: str, missing: str) -> int:
    """Return how many parts two paths have in common at their ends."""
    pairs = zip(reversed(path.split("/")), reversed(missing.split("/")), strict=False)
    return len(list(itertools.takewhile(lambda pair: _folded(pair[0]) == _folded(pair[1]), pairs)))


def _likeness(path: str, missing: str) -> float:
    return difflib.SequenceMatcher(None, path.split("/"), missing.split("/")).ratio()


def _similar(name: str, paths: Sequence[str], *, cutoff: float = 0.8) -> list[str]:
    by_name = {posixpath.basename(path).lower(): path for path in reversed(paths)}
    return [by_name[match] for match in difflib.get_close_matches(name.lower(), by_name, n=1, cutoff=cutoff)]


def _names_in(workspace: Path, folder: str) -> list[str]:
    with suppress(OSError):
        return [entry.name for entry in scan(workspace, folder or ".").entries]
    return []
