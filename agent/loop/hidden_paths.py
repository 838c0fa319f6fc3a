"""Find the paths that the rules of a run hide from its commands; hides none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from ..policy.permissions import Permission
from ..policy.targets import is_literal, literal_folder, literal_start, matches, normal_pattern
from ..sandbox import Sandbox
from ..sandbox.bubblewrap import SYSTEM
from ..workspace.tree import walk

_MOST_HIDDEN = 200
_START_CHARS = 32
"""Of the names of a server's tools: long ones are cut at their end."""


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


def listing_sandbox(
    server: str, *, rules: Sequence[Permission], workspace: Path, sandbox: Callable[[], Sandbox]
) -> Sandbox:
    """Return the sandbox in which an MCP server lists its tools: it sees nothing that a rule about one of them hides.

    Args:
        server: its name in the task; the names of its tools begin with it.
        rules: of the run.
        workspace: absolute; the folder that it may change.
        sandbox: finds that of commands.

    Raises:
        ConfigError: this machine has no sandbox, or it cannot hide what the rules name.
    """
    found, workspace = sandbox(), workspace.resolve()
    patterns = _patterns_of_any(rules, re.split(r"[^A-Za-z0-9_-]", f"{server}_", maxsplit=1)[0][:_START_CHARS])
    if not patterns:
        return found
    try:
        hidden = hidden_paths(patterns, workspace, found) if found.can_hide else (workspace,)
    except OSError as error:
        msg = f"What the permission rules hide from it could not be found: {error}."
        raise ConfigError(msg, key="permissions") from error
    if workspace in hidden:
        msg = f"The permission rules keep its tools out of {', '.join(patterns)}, and this sandbox cannot hide that."
        raise ConfigError(msg, key="permissions")
    return replace(found, rules=replace(found.rules, hidden=(*found.rules.hidden, *hidden)))


def _patterns_of_any(rules: Sequence[Permission], start: str) -> tuple[str, ...]:
    """Return the path patterns of the rules that may keep a tool out of a path whose name begins with `start`."""
    found: list[str] = []
    for rule in rules:
        literal = re.split(r"[*?[]", rule.tool, maxsplit=1)[0]
        if rule.do == "allow":
            if not rule.match and rule.tool == f"{literal}*" and start.startswith(literal):
                break  # all of them
        elif "path" in rule.match and (
            literal.startswith(start) or (literal != rule.tool and start.startswith(literal))
        ):
            found.append(rule.match["path"])
    return tuple(dict.fromkeys(found))


def hidden_paths(patterns: Sequence[str], workspace: Path, sandbox: Sandbox) -> tuple[Path, ...]:
    """Return what a pattern matches of what commands would see, without what lies in another returned folder.

    Symlinks are left out: what they lead to is found by its own name. A folder that cannot be listed may hold a match,
    and a command may make it readable again, so it is returned too.

    Args:
        patterns: those of the rules.
        workspace: the folder that commands work in. It is returned if there is too much to hide.
        sandbox: of the commands.
    """
    found: dict[Path, None] = {}
    wide: list[str] = []
    for pattern in (normal_pattern(pattern, str(workspace)) for pattern in patterns):
        name = literal_folder(pattern) or pattern
        if not is_literal(name):
            wide.append(pattern)
        else:
            places = _seen(Path(name), sandbox) if name.startswith("/") else [workspace / name]
            found |= {Path(os.path.realpath(place)): None for place in places if place.exists()}
    for path in _matching(wide, workspace, sandbox):
        found[path] = None
        if len(found) > _MOST_HIDDEN:
            break
    for path in [path for path in found if path in workspace.parents]:
        del found[path]
        found |= dict.fromkeys(_around(workspace, path))
    if workspace in found or len(found) > _MOST_HIDDEN:
        return (workspace,)  # too many mounts for one command
    return tuple(path for path in found if not any(folder in found for folder in path.parents))


def _matching(patterns: Iterable[str], workspace: Path, sandbox: Sandbox) -> Iterator[Path]:
    by_folder: dict[Path, list[str]] = {}
    for pattern in patterns:
        is_outside = pattern.startswith("/")
        for folder in _seen(Path(literal_start(pattern)[0]), sandbox) if is_outside else [workspace]:
            by_folder.setdefault(folder, []).append(pattern)
    for folder, ones in by_folder.items():
        yield from _matching_below(folder, ones, named="" if folder == workspace else f"{folder}/")


def _seen(path: Path, sandbox: Sandbox) -> Iterator[Path]:
    """Yield a path outside the workspace if commands see it, or else what they are given in it."""
    given = (*sandbox.rules.read, *sandbox.rules.write)
    system = map(Path, SYSTEM if sandbox.isolation == "bubblewrap" else ())
    if any(path.is_relative_to(place) for place in (*given, *system)):
        yield path
    else:
        yield from (place for place in given if place.is_relative_to(path))


def _around(workspace: Path, folder: Path) -> Iterator[Path]:
    """Yield what is in a folder besides the workspace, which a rule names by paths of its own."""
    for above in (above for above in workspace.parents if above.is_relative_to(folder)):
        for path in above.iterdir():
            if not workspace.is_relative_to(path) and not path.is_symlink():
                yield path


def _matching_below(top: Path, patterns: Sequence[str], *, named: str) -> Iterator[Path]:
    matched, unreadable = set[str](), list[str]()
    for path, entry in walk(top, protected=frozenset(), unreadable=unreadable) if top.is_dir() else ():
        is_below = path.rpartition("/")[0] in matched
        # `docs/*` names the folder too, so that nothing can be added to it.
        whole = [one for one in patterns if one.endswith("*")] if entry.kind == "folder" else ()
        name = f"{named}{path}"
        if is_below or any(matches(name, one) for one in patterns) or any(matches(f"{name}/", one) for one in whole):
            if entry.kind == "folder":
                matched.add(path)
            if not is_below and entry.kind != "link":
                yield top / path
    yield from (top / path for path in unreadable if not (top / path).is_symlink())
