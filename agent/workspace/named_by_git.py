"""Notice that a run changed files which the user's own git settings name; takes nothing away, and starts none.

A hook in a folder of the project, such as husky's, or settings that are included from it, may be the work that a run
was asked to do.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigError
from ..names import listed
from ..sandbox.file_facts import checksum_of
from ..sandbox.repositories import Search
from .git_command import Setting, listed_settings
from .git_settings import is_harmless
from .tree import folders_below

_MAX_REPOSITORIES = 20
_MAX_FILES = 500
_INCLUDES = re.compile(r"include\.path|includeif\..*\.path")
_WORDS = re.compile(r"[^\s'\"|;&()<>=!$]+")

Named = Mapping[str, Mapping[str, str]]
"""Checksums by path, of what is at or below each path that settings name."""


def named_by_git(workspace: Path) -> Named:
    """Return what settings of git name in a folder, for its repositories and for the one that it lies in.

    Args:
        workspace: absolute; the folder.
    """
    tops = [one.path for one in itertools.islice(Search(workspace), _MAX_REPOSITORIES)]
    tops += [place for place in workspace.parents if (place / ".git").exists()][:1]
    found: dict[str, Mapping[str, str]] = {}
    for top in tops:
        with suppress(ConfigError):  # git is not installed, or refuses the repository
            for path in itertools.chain.from_iterable(_paths(setting, top) for setting in listed_settings(top)):
                if str(path) not in found and _is_worth(path, workspace):
                    found[str(path)] = _checksums(path)
    return found


def changed_since(before: Named, workspace: Path) -> Iterator[str]:
    """Yield a sentence that names the files in a workspace which are not as they were; none if all are."""
    changed: set[str] = set()
    for path, files in before.items():
        now = _checksums(Path(path))
        changed.update(name for name in now.keys() | files.keys() if now.get(name) != files.get(name))
    if changed:
        named = listed(os.path.relpath(name, workspace) for name in sorted(changed))
        yield (
            f"The run changed files that your settings of git name: {named}. git starts them, or reads settings from "
            "them: look at them before you use git or an editor there."
        )


def _paths(setting: Setting, top: Path) -> Iterator[Path]:
    """Yield the paths that a setting names.

    Args:
        setting: of git.
        top: the top of the checkout, where git starts programs.
    """
    key, value = setting.key, setting.value
    if _INCLUDES.fullmatch(key):
        yield _resolved(setting.origin.parent, value)
    elif key == "core.hookspath":
        folder = _resolved(top, value)
        yield folder
        if folder.name == "_":  # husky's own scripts there start those of the project above
            yield folder.parent
    elif not is_harmless(key, value):
        for word in _WORDS.findall(value):
            path = _resolved(top, word)
            if path.is_file():
                yield path


def _resolved(folder: Path, name: str) -> Path:
    with suppress(RuntimeError):  # there is no such home
        return Path(os.path.normpath(folder / Path(name).expanduser()))
    return folder


def _is_worth(path: Path, workspace: Path) -> bool:
    inside = path.relative_to(workspace).parts if path.is_relative_to(workspace) else ()
    return bool(inside) and ".git" not in inside  # what is in .git is taken away


def _checksums(path: Path) -> Mapping[str, str]:
    with suppress(OSError):
        if not path.is_dir():
            return {str(path): checksum_of(path)} if path.exists() else {}
        below = (place / name for place, _, names in folders_below(path) for name in names)
        return {str(file): checksum_of(file) for file in itertools.islice(below, _MAX_FILES)}
    return {}
