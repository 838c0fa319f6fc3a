"""List what a verification loads of the virtual environments in a workspace, so far as it is not the project's own."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..sandbox.beneath import open_regular
from ..sandbox.environments import start_files
from .tree import folders_below

RUNNERS = frozenset({
    "pytest", "_pytest", "py", "pluggy", "iniconfig", "coverage", "pygments", "packaging", "exceptiongroup", "tomli",
    "colorama",
})  # fmt: skip
"""Modules of pytest and coverage, and those that they load."""
MAX_BYTES = 256 * 1024
"""Of one file; of a longer one, only the beginning and the size are compared."""
_PLUGINS = re.compile(rb"^\[pytest11\].*?(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
"""Read by pytest in the entry_points.txt of each installed distribution."""
_MAX_FILES = 20_000
"""Of all environments."""


def files_of_environments(workspace: Path, programs: Iterable[str]) -> tuple[frozenset[str], bool]:
    """Return what Python and pytest read from the virtual environments of programs, and whether that is all.

    Args:
        workspace: the folder in which the environments lie.
        programs: relative paths.
    """
    found = list(itertools.islice(_files(workspace, programs), _MAX_FILES + 1))
    return frozenset(str(path.relative_to(workspace)) for path in found[:_MAX_FILES]), len(found) <= _MAX_FILES


def _files(workspace: Path, programs: Iterable[str]) -> Iterator[Path]:
    seen: set[str] = set()
    for folder in sorted({Path(program).parent for program in programs if Path(program).parent.name == "bin"}):
        config = workspace / folder.parent / "pyvenv.cfg"
        if not config.is_file():
            continue
        yield from (config, *(workspace / folder / name for name in ("python", "python3")))
        # Those that are no links first: they stand for the links that lead to them.
        for packages in sorted(config.parent.glob("lib/python*/site-packages"), key=_is_link):
            real = os.path.realpath(packages)
            if real not in seen:
                seen.add(real)
                yield from start_files(packages)
                yield from _of_runners(packages)


def _is_link(packages: Path) -> bool:
    return packages.is_symlink() or packages.parent.is_symlink()


def _of_runners(packages: Path) -> Iterator[Path]:
    """Yield the files in site-packages that pytest and coverage consist of, and those of pytest's plugins."""
    names = set(RUNNERS)
    for path in itertools.chain(*(packages.glob(f"*.{kind}-info/entry_points.txt") for kind in ("dist", "egg"))):
        yield path
        with suppress(OSError), open_regular(packages, str(path.relative_to(packages))) as file:
            named = (plugin_lines(file.read(MAX_BYTES)) or b"").decode(errors="replace")
            names |= {name for name in re.findall(r"= *(\w+)", named) if name.isidentifier()}
    for path in (*_entries(packages), *_entries(packages / "__pycache__")):
        if path.name.partition(".")[0] in names:
            yield path
            for place, _, files in folders_below(path) if "." not in path.name else ():
                yield from (place, *(place / file for file in files if not file.endswith(".pyi")))


def _entries(folder: Path) -> Sequence[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return ()


def plugin_lines(content: bytes) -> bytes | None:
    """Return what an entry_points.txt says of pytest's plugins. None if it says nothing of them."""
    found = _PLUGINS.search(content)
    return None if found is None else found[0]
