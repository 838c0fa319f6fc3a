"""Define what programs outside the sandbox load, by the files and folders that it may come from; reads no file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.machinery import all_suffixes
from pathlib import Path

from .programs import is_inside

_PACKAGE_ENDS = tuple(f"/__init__{suffix}" for suffix in all_suffixes())
MODULE_ENDS = (*all_suffixes(), *_PACKAGE_ENDS)
"""What the name of a module ends with, in the path of its file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What programs outside the sandbox load."""

    files: frozenset[Path] = frozenset()
    """Files that they load at any time; one that is missing is loaded if it appears."""
    arguments: frozenset[Path] = frozenset()
    """Files that they are given, and read when they start, such as settings; they may write them too."""
    modules: Mapping[Path, frozenset[str]] = field(default_factory=dict[Path, frozenset[str]])
    """Names that Python looks for in folders; one that appears may hide another."""
    environments: frozenset[Path] = frozenset()
    """Folders of which everything may be loaded."""
    libraries: frozenset[Path] = frozenset()
    """Folders of installed packages, which may import what is in the folders of `modules`."""
    parsed_bytes: int = field(default=0, compare=False)
    """How much was read for their imports."""
    is_partial: bool = field(default=False, compare=False)
    """Whether that was too much, so that not all imports were found."""

    def __or__(self, other: Sources) -> Sources:
        """Return what the programs of both load."""
        folders = self.modules.keys() | other.modules.keys()
        none = frozenset[str]()
        return Sources(
            files=self.files | other.files,
            arguments=self.arguments | other.arguments,
            modules={folder: self.modules.get(folder, none) | other.modules.get(folder, none) for folder in folders},
            environments=self.environments | other.environments,
            libraries=self.libraries | other.libraries,
            parsed_bytes=self.parsed_bytes + other.parsed_bytes,
            is_partial=self.is_partial or other.is_partial,
        )

    def inside(self, folders: Sequence[Path]) -> Sources:
        """Return the part that lies in folders, or is reached by a symlink there."""
        return Sources(
            files=frozenset(path for path in self.files if is_inside(path, folders)),
            arguments=frozenset(path for path in self.arguments if is_inside(path, folders)),
            modules={folder: names for folder, names in self.modules.items() if is_inside(folder, folders)},
            environments=frozenset(path for path in self.environments if is_inside(path, folders)),
            libraries=self.libraries,
            parsed_bytes=self.parsed_bytes,
            is_partial=self.is_partial,
        )

    def existing(self) -> frozenset[Path]:
        """Return the files that are there now, without those of the environments."""
        found = {path for path in self.files | self.arguments if path.is_file()}
        for folder, names in self.modules.items():
            found.update(modules_in(folder, names.__contains__))
        return frozenset(found)

    def unlisted(self) -> frozenset[Path]:
        """Return the modules in the folders of `modules` that have none of the names there."""
        found: set[Path] = set()
        for folder, names in self.modules.items():
            found.update(modules_in(folder, lambda name, names=names: name not in names))
        return frozenset(found)


def modules_in(folder: Path, is_wanted: Callable[[str], bool]) -> Iterator[Path]:
    """Yield the files in a folder by which Python finds modules, of those names that are wanted."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (name := entry.name.partition(".")[0]).isidentifier() and is_wanted(name):
                end = entry.name.removeprefix(name)
                ends = ("",) if end in MODULE_ENDS else () if end else _PACKAGE_ENDS
                yield from (path for end in ends if (path := Path(entry.path + end)).is_file())
