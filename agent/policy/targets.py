"""Match the paths of a call with the pattern of a permission rule; pure, follows no symlink."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One path that a call reads or writes."""

    forms: tuple[str, ...]
    """The path as it is written, normalized, and with its symlinks followed; relative to the workspace if it is inside,
    else absolute."""
    below: bool = False
    """True if everything below it is meant too."""

    def ends(self) -> Iterator[str]:
        """Yield where the path ends once its symlinks are followed, with a slash if everything below is meant too."""
        yield from (f"{form}/" if self.below else form for form in self.forms[1:] or self.forms)

    def spelled(self, path: str, *, below: bool) -> Sequence[str]:
        """Return the names of a path by each form of the target. Empty if it is not the target.

        Args:
            path: without symlinks, written as the forms are.
            below: whether what is below the target counts too.
        """
        for form in self.forms:
            folder = "" if form == "." else f"{form.rstrip('/')}/"
            if path == form:
                return self.forms
            if below and path.startswith(folder):
                return [_child(one, path[len(folder) :]) for one in self.forms]
        return ()


def overlaps(target: Target, pattern: str, workspace: str) -> bool:
    """Return whether a call with this target reaches a path that the pattern matches."""
    pattern = normal_pattern(pattern, workspace)
    return any(
        matches(form, pattern)
        or matches(f"{form}/", pattern)
        or matches(form, f"{pattern}/*")  # what names a folder names what is in it
        or (target.below and _may_match_below(pattern, form))
        for form in target.forms
    )


def covered(target: Target, pattern: str, workspace: str) -> bool:
    """Return whether the pattern matches every path of the target, by each of its forms."""
    pattern = normal_pattern(pattern, workspace)
    # A name that no pattern holds stands for all of them.
    return all(matches(_child(form, "\0") if target.below else form, pattern) for form in target.forms)


def matches(path: str, pattern: str) -> bool:
    """Return whether a pattern matches a path; `*` also matches slashes, and `**/` no folder too.

    A bracket may also stand for itself, as in the names of folders such as `[id]`, and a letter for each of its Unicode
    forms.
    """
    path = _composed(path)
    return any(fnmatchcase(path, reading) for reading in _readings(pattern))


def normal_pattern(pattern: str, workspace: str) -> str:
    """Return a pattern as targets are written: without `./` and `~`, relative to the workspace; `docs/` is `docs/*`."""
    if not pattern:
        return pattern
    root = workspace.rstrip("/")
    normal = posixpath.normpath(f"{posixpath.expanduser(pattern)}{'*' if pattern.endswith('/') else ''}")
    return "*" if normal == root else normal.removeprefix(f"{root}/")


def literal_folder(pattern: str) -> str | None:
    """Return the folder that a pattern matches everything in, such as `docs` for `docs/*`. None if there is none."""
    folder = re.sub(r"(/\*+)+$", "", pattern)
    return folder if folder != pattern and folder and is_literal(folder) else None


def literal_start(pattern: str) -> tuple[str, str]:
    """Split a pattern into the folder before its first part with a wildcard, and the rest."""
    parts = pattern.split("/")
    literal = next((place for place, part in enumerate(parts) if not is_literal(part)), len(parts))
    return "/".join(parts[:literal]) or ("/" if pattern.startswith("/") else "."), "/".join(parts[literal:])


def is_literal(pattern: str) -> bool:
    """Return whether a pattern matches only one name."""
    return pattern.isascii() and not re.search(r"[*?\[]", pattern)


def _may_match_below(pattern: str, folder: str) -> bool:
    """Return whether the pattern matches a path that starts with the folder."""
    prefix = "" if folder == "." else _composed(folder.rstrip("/") + "/")
    return any(_may_start_with(prefix, reading) for reading in _readings(pattern))


def _may_start_with(prefix: str, pattern: str) -> bool:
    head = _tokens(pattern.partition("*")[0])
    shared = min(len(head), len(prefix))
    if not fnmatchcase(prefix[:shared], "".join(head[:shared])):
        return False
    return "*" in pattern or len(head) > len(prefix)


@lru_cache(maxsize=256)
def _readings(pattern: str) -> Sequence[str]:
    """Return patterns as `fnmatch` takes them, one of which must match."""
    pattern = _composed(pattern)
    found = (pattern, re.sub(r"(?<![^/])\*\*/", "", pattern))
    return tuple(dict.fromkeys((*found, *(reading.replace("[", "[[]") for reading in found))))


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _tokens(pattern: str) -> Sequence[str]:
    """Return the parts of a pattern without `*` that each match one character."""
    return re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)


def _child(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder.rstrip('/')}/{name}"
