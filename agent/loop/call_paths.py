"""Find the paths that a call reaches and those that commands must not reach; hold a decision for what is opened."""

from __future__ import annotations

import errno
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import JsonValue

from ..policy.permissions import Permission, decide
from ..policy.targets import Target, literal_folder, matches, normal_pattern
from ..sandbox.opened import checking_opened
from ..tooling.context import ToolContext
from ..tooling.tool import Tool
from ..workspace.tree import walk
from . import prompts

_MAX_CHARS = 4_096
# Of a tool that declares nothing, such as one of an MCP server.
_PATH_KEY = re.compile(r"path|file|dir|folder|uri|source|src|dest|target|location|root|input|output", re.IGNORECASE)
_MOST_HIDDEN = 200


def call_targets(tool: Tool, arguments: Mapping[str, JsonValue], workspace: Path) -> tuple[Target, ...]:
    """Return the paths that a call reads or writes, as the tool declares them or as its arguments hold them."""
    if tool.paths is not None:
        declared = dict.fromkeys(tool.paths(arguments, workspace))
        return tuple(_target(path, workspace) for path in declared)
    found = dict.fromkeys(
        path for key, path in _texts("", arguments) if _PATH_KEY.search(key) or os.path.lexists(workspace / path)
    )
    return tuple(_target(path, workspace) for path in found)


def _texts(key: str, value: JsonValue | Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """Yield the texts in a value that a path may be, each with the nearest key above it."""
    if isinstance(value, str):
        path = unquote(urlsplit(value).path) if value.startswith("file:") else value
        if path and len(path) <= _MAX_CHARS and "\n" not in path and "\0" not in path:
            yield key, path
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _texts(name, part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(key, part)


def _target(path: str, workspace: Path) -> Target:
    joined = workspace / path  # keeps `..`
    # The tools resolve `..` before symlinks, other programs after them.
    forms = (os.path.normpath(joined), os.path.realpath(os.path.normpath(joined)), os.path.realpath(joined))
    roots = _roots(workspace)
    return Target(forms=tuple(dict.fromkeys(_relative(form, roots) for form in forms)), below=path.endswith("/"))


def _roots(workspace: Path) -> Mapping[str, None]:
    return dict.fromkeys([str(workspace), os.path.realpath(workspace)])


def _relative(path: str, roots: Mapping[str, None]) -> str:
    for root in roots:
        if path == root or path.startswith(f"{root.rstrip('/')}/"):
            return posixpath.relpath(path, root)
    return path


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the rules of a run have decided about a call that may be made."""

    rules: Sequence[Permission]
    tool: str
    arguments: Mapping[str, JsonValue]
    targets: Sequence[Target]
    """The paths that the decision is about."""
    approved: Permission | None
    """The rule because of which a person was asked, who approved. None means that no rule restricts the call."""
    workspace: Path

    def hold(self, tool: Tool) -> Tool:
        """Return the tool whose body reaches no path that the decision does not cover, if it opens with `beneath`."""

        async def body(value: object, context: ToolContext[Any]) -> object:
            with checking_opened(self._check):
                return await tool.body(value, context)

        return replace(tool, body=body)

    def _check(self, path: str) -> None:
        """Check a path of the workspace without symlinks.

        Raises:
            PermissionError: the decision was about other paths, and a rule restricts this one.
        """
        real = _relative(path, _roots(self.workspace))
        if real.startswith("/") or any(_includes(target, real, below=target.below) for target in self.targets):
            return
        rule = decide(
            self.rules, self.tool, self.arguments, [Target(forms=(real,))], workspace=str(self.workspace)
        )  # fmt: skip
        if rule is None:
            return
        if rule is self.approved and (
            "path" not in rule.match or any(_includes(target, real, below=True) for target in self.targets)
        ):
            return
        raise PermissionError(errno.EPERM, prompts.path_restricted(real, rule), path)


def _includes(target: Target, path: str, *, below: bool) -> bool:
    return any(
        path == form or (below and (form == "." or path.startswith(f"{form.rstrip('/')}/"))) for form in target.forms
    )


def path_patterns(rules: Sequence[Permission], tool: str) -> tuple[str, ...]:
    """Return the path patterns of the rules that keep commands of a tool out of a path."""
    found: list[str] = []
    for rule in rules:
        if not rule.names(tool):
            continue
        if rule.do == "allow" and not rule.match:
            break
        if rule.do != "allow" and "path" in rule.match:
            found.append(rule.match["path"])
    return tuple(dict.fromkeys(found))


def hidden_paths(patterns: Sequence[str], workspace: Path) -> tuple[Path, ...]:
    """Return what exists in the workspace and matches a pattern, without what lies in another returned folder.

    Symlinks are left out: what they lead to is found by its own name.
    """
    found: dict[Path, None] = {}
    wide: list[str] = []
    for pattern in (normal_pattern(pattern, str(workspace)) for pattern in patterns):
        folder = literal_folder(pattern)
        path = workspace / (pattern if folder is None else folder)
        if folder is None and re.search(r"[*?\[]", pattern):
            wide.append(pattern)
        elif path.exists():
            real = Path(os.path.realpath(path))
            found[real] = None
    if wide:
        for path in _matching(wide, workspace):
            found[path] = None
            if len(found) > _MOST_HIDDEN:
                return (workspace,)  # too many mounts for one command
    return tuple(path for path in found if not any(folder in found for folder in path.parents))


def _matching(patterns: Sequence[str], workspace: Path) -> Iterator[Path]:
    matched: set[str] = set()
    for path, entry in walk(workspace, protected=frozenset(), skip_unreadable=True):
        is_below = path.rpartition("/")[0] in matched
        if is_below or any(matches(path, pattern) for pattern in patterns):
            if entry.kind == "folder":
                matched.add(path)
            if not is_below and entry.kind != "link":
                yield workspace / path
