"""Remember what programs outside the sandbox load, to notice when some of it changes; runs none of it."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from .file_facts import checksum_of, content_of, facts_below, facts_of
from .programs import is_inside
from .sources import Sources

_MAX_NAMED = 5
_MAX_SEARCHED_BYTES = 256 * 1024 * 1024
_MAX_SOURCE_BYTES = 1024 * 1024
_MAX_NAMES = 500
_PARTLY_READ = (
    "it imports more Python files of folders that the run can change than are read, 2 MB: of what these import, only "
    "modules beside those that were read are looked at for changes"
)
_IMPORT = re.compile(
    rb"(?:^|[:;])[ \t]*(?:from[\s\\]+([\w.]+)[\s\\]+import\b"
    rb"|import[\s\\]+((?:[\w.]+(?:[\s\\]+as[\s\\]+\w+)?[\s\\]*,[\s\\]*)*[\w.]+))"
    rb"|(?:import\w{0,20}|find_spec)\(\s*(?:\w+\s*=\s*)?[rbuf]?[\"']([\w.]+)",
    re.MULTILINE,
)


class _Pin(NamedTuple):
    facts: tuple[int, ...]
    real: str
    checksum: str


_MISSING = _Pin(facts=(), real="", checksum="")


class Pinned:
    """What a program loads, as it was at one moment."""

    def __init__(self, sources: Sources, directory: Path, writable: Sequence[Path]) -> None:
        """Read the files; one that is not there is remembered as missing.

        Args:
            sources: what the program loads.
            directory: absolute; where it runs.
            writable: folders that commands of a run may change; links that lead out of them are not followed.
        """
        self._sources, self._directory, self._writable = sources, directory, writable
        paths = {*sources.files, *sources.arguments, *sources.existing()}
        self._files = {path: _pin(path) for path in paths}
        self._environments = {folder: facts_below(folder, writable) for folder in sources.environments}
        self._unlisted = sources.unlisted()

    def notes(self) -> Sequence[str]:
        """Return what the user should know about the files that were not looked at."""
        return [_PARTLY_READ] if self._sources.is_partial else []

    def is_within(self, folders: Sequence[Path]) -> bool:
        """Return whether the program runs in one of the folders, or something that it loads is looked at."""
        return is_inside(self._directory, folders) or self._sources != Sources(libraries=self._sources.libraries)

    def changed(self, *, runs: bool = False) -> Sequence[Path]:
        """Return the files whose contents are different now, and those that appeared and would be loaded.

        Args:
            runs: whether the program is running, so that what it reads at its start is left out.
        """
        found: list[Path] = []
        for path in {*self._files, *self._sources.existing()} - (self._sources.arguments if runs else set()):
            pin = self._files.get(path, _MISSING)
            # The inode changes too if a file gets back its old content.
            if facts_of(path) != pin.facts and _pin(path)[1:] != pin[1:]:
                found.append(path)
        for folder, before in self._environments.items():
            now = facts_below(folder, self._writable)
            different = (path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
            found += [Path(path) for path in sorted(different)[:_MAX_NAMED]]
        return sorted({*found, *sorted(self._hiding())[:_MAX_NAMED]})

    def _hiding(self) -> Iterable[Path]:
        """Return the modules that appeared, and that something of what is installed imports if it is there."""
        new = self._sources.unlisted() - self._unlisted
        names = imported_names(self._sources.libraries, {module_name(path) for path in new})
        hiding = {path for path in new if module_name(path) in names}
        self._unlisted |= new - hiding  # nothing imports them, so they are looked for only once
        return hiding


def _pin(path: Path) -> _Pin:
    facts = facts_of(path)
    return _Pin(facts=facts, real=os.path.realpath(path), checksum=checksum_of(path)) if facts else _MISSING


def module_name(path: Path) -> str:
    """Return the name of a module, without those of the packages that it is in."""
    stem = path.name.partition(".")[0]
    return path.parent.name if stem == "__init__" else stem


def imported_names(libraries: Iterable[Path], names: Collection[str]) -> frozenset[str]:
    """Return those of the names that a Python file below one of the folders imports; all, if there is too much to read.

    Packages try imports of what need not be installed, such as a faster parser.
    """
    if len(names) > _MAX_NAMES:
        return frozenset(names)
    left, left_bytes = {name: name.encode() for name in names}, _MAX_SEARCHED_BYTES
    found = (facts_below(folder, [Path("/")]) for folder in (libraries if names else ()))
    for path in itertools.chain.from_iterable(found):
        if not path.endswith(".py"):
            continue
        content = content_of(Path(path), _MAX_SOURCE_BYTES) or b""
        left_bytes -= len(content)
        if left_bytes < 0:
            return frozenset(names)
        if any(word in content for word in left.values()):
            for name in _imported_in(content) & left.keys():
                del left[name]
    return frozenset(names) - left.keys()


def _imported_in(content: bytes) -> set[str]:
    """Return the names of modules, without what is in them, that the text of a Python file imports anywhere."""
    listed = (part for found in _IMPORT.findall(content) for group in found for part in re.split(rb"[\s\\]*,", group))
    firsts = (re.match(rb"[\s\\]*(\w+)", part) for part in listed)
    return {first[1].decode(errors="replace") for first in firsts if first}
