"""Match the paths of a call with the pattern of a permission rule; pure, follows no symlink."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One path that a call reads or writes."""

    forms: tuple[str, ...]
    """The path as it is written, normalized, and with its symlinks followed; relative to the workspace if it is inside,
    else absolute."""
    below: bool = False
    """True if everything below it is meant too."""


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
    """Return whether a pattern matches a path; `*` also matches slashes, and `**/` no folder too."""
    return fnmatchcase(path, pattern) or (
        "**/" in pattern and fnmatchcase(path, re.sub(r"(?<![^/])\*\*/", "", pattern))
    )


def normal_pattern(pattern: str, workspace: str) -> str:
    """Return a pattern as targets are written: without `./` and `~`, relative to the workspace; `docs/` is `docs/*`."""
    pattern = posixpath.expanduser(pattern)
    if pattern.endswith("/"):
        pattern += "*"
    if pattern.startswith(f"{workspace.rstrip('/')}/"):
        pattern = pattern[len(workspace.rstrip("/")) + 1 :]
    return posixpath.normpath(pattern) if pattern else pattern


def literal_folder(pattern: str) -> str | None:
    """Return the folder that a pattern matches everything in, such as `docs` for `docs/*`. None if there is none."""
    folder = re.sub(r"(/\*+)+$", "", pattern)
    return folder if folder != pattern and folder and not re.search(r"[*?\[]", folder) else None


def _may_match_below(pattern: str, folder: str) -> bool:
    """Return whether the pattern matches a path that starts with the folder."""
    prefix = "" if folder == "." else folder.rstrip("/") + "/"
    head = _tokens(pattern.partition("*")[0])
    shared = min(len(head), len(prefix))
    if not fnmatchcase(prefix[:shared], "".join(head[:shared])):
        return False
    return "*" in pattern or len(head) > len(prefix)


def _tokens(pattern: str) -> Sequence[str]:
    """Return the parts of a pattern without `*` that each match one character."""
    return re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)


def _child(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder.rstrip('/')}/{name}"
