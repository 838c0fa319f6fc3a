"""Find the paths that a call reaches, and hold what the rules decide about them for what its tool opens."""

from __future__ import annotations

import errno
import glob
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import JsonValue

from ..errors import ConfigError
from ..policy.permissions import Permission, decide
from ..policy.targets import Target, literal_start, normal_pattern
from ..sandbox.opened import checking_opened
from ..sandbox.programs import links_to
from ..tooling.context import ToolContext
from ..tooling.tool import Tool
from . import prompts

_MAX_CHARS = 4_096
# Of a tool that declares nothing, such as one of an MCP server.
_PATH_KEY = re.compile(r"path|file|dir|folder|uri|source|src|dest|target|location|root|input|output", re.IGNORECASE)
# As diff and git write them, and as models that were trained on `*** Begin Patch` do.
_PATCH = re.compile(
    r"^(?:@@|rename to |copy to |\*\*\* (?:Begin Patch|Add File|Update File|Delete File))", re.MULTILINE
)
_PATCHED = re.compile(
    r"^(?:---|\+\+\+|(?:rename|copy) (?:from|to)|\*\*\* (?:(?:Add|Update|Delete) File|Move to):) "
    r'"?(?:[ab]/)?([^\t\r\n"]+)',
    re.MULTILINE,
)
_THROUGH_PROCESS = re.compile(r"/+proc/[^/]+/(task/[^/]+/)?(cwd|root|fd|map_files)(/|$)")


def call_targets(tool: Tool, arguments: Mapping[str, JsonValue], workspace: Path) -> tuple[Target, ...]:
    """Return the paths that a call reads or writes, as the tool declares them or as its arguments hold them.

    Raises:
        ValueError: one leads through another process, so that where it ends cannot be told.
        OSError: a symlink cannot be read.
    """
    if tool.paths is not None:
        declared = dict.fromkeys(tool.paths(arguments, workspace))
        return tuple(_target(path, workspace, below=path.endswith("/")) for path in declared)
    found: dict[str, None] = {}
    for key, text in _texts(arguments):
        paths = _paths_in(text, workspace)
        if _PATH_KEY.search(key) or any(os.path.lexists(workspace / path) for path in paths):
            found |= dict.fromkeys(paths)
    if strange := next((path for path in found if _leads_through_process(workspace / path)), None):
        msg = f"{strange!r} leads through a process"
        raise ValueError(msg)
    # What such a tool does with a folder is unknown. Commands, if it starts any, do not see what a rule denies.
    return tuple(
        _target(path, workspace, below=path.endswith("/") or (not tool.commands and _is_folder(workspace / path)))
        for path in found
    )


def _texts(arguments: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """Yield the texts in arguments, each with the nearest key above it, and as `path` what keys and patches name."""
    pending: list[tuple[str, JsonValue | Mapping[str, JsonValue]]] = [("", arguments)]
    while pending:
        key, value = pending.pop()
        if isinstance(value, str):
            yield key, value
            if _PATCH.search(value):
                yield from (("path", name) for name in _PATCHED.findall(value) if name != "/dev/null")
        elif isinstance(value, Mapping):
            names = {name for name in value if re.search("[/.]", name)}  # of files, and their contents below
            yield from (("path", name) for name in value if name in names)
            pending += [("" if name in names else name, part) for name, part in value.items()][::-1]
        elif isinstance(value, list):
            pending += [(key, part) for part in value[::-1]]


def _paths_in(text: str, workspace: Path) -> Sequence[str]:
    """Return the paths that a program may understand by a text, each no longer than a path can be."""
    text = text.partition("\0")[0]
    if re.match("file:", text, re.IGNORECASE):
        text = unquote(urlsplit(text).path)
    bare = text.strip()
    found = [
        posixpath.normpath(path) if len(path) > _MAX_CHARS or "\n" in path else path
        for path in dict.fromkeys((text, bare, posixpath.expanduser(bare)))
        if path
    ]
    return [path for path in found if len(path) <= _MAX_CHARS and ("\n" not in path or _is_odd_name(path, workspace))]


def _is_odd_name(path: str, workspace: Path) -> bool:
    """Return whether a text of several lines is a path: if that exists, or the folder that it would be in."""
    folder = posixpath.dirname(path)
    return os.path.lexists(workspace / path) or (folder != "" and os.path.lexists(workspace / folder))


def _leads_through_process(path: Path) -> bool:
    """Return whether a path leads through a link that each process sees another target of."""
    links = next((links for part in (path, *path.parents) if (links := links_to(part)) is not None), ())
    return any(_THROUGH_PROCESS.match(str(place)) for place in (os.path.normpath(path), *links))


def _is_folder(path: Path) -> bool:
    with suppress(OSError):
        return path.is_dir()
    return False


def _target(path: str, workspace: Path, *, below: bool) -> Target:
    joined = workspace / path  # keeps `..`
    # The tools resolve `..` before symlinks, other programs after them.
    forms = (os.path.normpath(joined), os.path.realpath(os.path.normpath(joined)), os.path.realpath(joined))
    roots = _roots(workspace)
    return Target(forms=tuple(dict.fromkeys(_relative(form, roots) for form in forms)), below=below)


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
        check = partial(self._check, _roots(self.workspace))

        async def body(value: object, context: ToolContext[Any]) -> object:
            with checking_opened(check):
                return await tool.body(value, context)

        return replace(tool, body=body)

    def _check(self, roots: Mapping[str, None], path: str) -> None:
        """Check a path of the workspace without symlinks.

        Raises:
            PermissionError: the decision was about other paths, and a rule restricts this one.
        """
        real = _relative(path, roots)
        if real.startswith("/") or any(target.spelled(real, below=target.below) for target in self.targets):
            return
        names = [name for target in self.targets for name in target.spelled(real, below=True)]
        found = Target(forms=tuple(dict.fromkeys((real, *names))))
        rule = decide(self.rules, self.tool, self.arguments, [found], workspace=str(self.workspace))
        if rule is None or (rule is self.approved and ("path" not in rule.match or names)):
            return
        raise PermissionError(errno.EPERM, prompts.path_restricted(real, rule), path)


def with_real_paths(rules: Sequence[Permission], workspace: Path, original: Path) -> tuple[Permission, ...]:
    """Return the rules, and one more for each path that leads elsewhere by a symlink, or is written in another way.

    Call it before the run can change the symlinks.

    Args:
        rules: of the user.
        workspace: the folder that the run works in.
        original: the folder that this may be a copy of; an absolute path in it means the same one in the copy.

    Raises:
        ConfigError: a symlink cannot be read.
    """
    found: list[Permission] = []
    for rule in rules:
        found.append(rule)
        pattern = normal_pattern(rule.match.get("path", ""), str(workspace))
        if rule.do == "allow" or not pattern:
            continue
        folder, rest = literal_start(pattern)
        try:
            real = _relative(os.path.realpath(workspace / folder), {**_roots(workspace), **_roots(original)})
        except OSError as error:  # it is replaced at this moment
            msg = f"`permissions` has a rule for {pattern!r}, and where that leads cannot be read: {error}. Try again."
            raise ConfigError(msg, key="permissions.match.path") from error
        if real != folder:
            there = posixpath.normpath(f"{glob.escape(real)}/{rest}")
            found.append(replace(rule, match={**rule.match, "path": there}))
    return tuple(found)
