"""Match paths against the .gitignore files of a tree; the caller decides what to do with a match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..sandbox.beneath import open_regular
from ..sandbox.opened import checking_opened
from .ignore_rules import Effort, IgnoreRules


class GitIgnore:
    """The rules in the .gitignore files of a tree; each file is read when it is first needed."""

    MAX_BYTES = 256_000
    """How much of one file needs to be read."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        """Create the rules; nothing is read yet.

        Args:
            read: returns the content of a .gitignore by its path relative to the root, or None if there is no such
                file.
        """
        self._read = read
        self._inside: dict[str, tuple[_Scoped, ...] | None] = {}
        """The rules that hold in a folder, those of its own .gitignore last. None if the folder is ignored."""
        self._effort = Effort()

    @classmethod
    def below(cls, root: Path) -> GitIgnore:
        """Return the rules of a folder; like git, skips a .gitignore that is a symlink."""

        def read(path: str) -> bytes | None:
            try:
                with checking_opened(None), open_regular(root, path) as file:  # no tool shows what is in it
                    return file.read(cls.MAX_BYTES)
            except OSError:  # missing, or not a regular file
                return None

        return cls(read)

    def names(self, path: str, *, is_folder: bool) -> bool:
        """Return whether git would ignore a path, by itself or with a folder above it.

        Once the workspace has cost too much matching, nothing more is ignored; see `Effort`.

        Args:
            path: relative to the root, with / between its parts.
            is_folder: whether the path is a folder.
        """
        above = self._rules_in(path.rpartition("/")[0])
        return above is None or self._decide(path, is_folder=is_folder, rules=above)

    def _rules_in(self, folder: str) -> tuple[_Scoped, ...] | None:
        unknown: list[str] = []
        known = folder
        while known not in self._inside:  # not recursive: a path may have 2,000 parts
            unknown.append(known)
            if not known:
                break
            known = known.rpartition("/")[0]
        rules: tuple[_Scoped, ...] | None = self._inside.get(known, ())
        for below in reversed(unknown):
            rules = self._inside[below] = None if rules is None else self._enter(below, above=rules)
        return rules

    def _enter(self, folder: str, *, above: tuple[_Scoped, ...]) -> tuple[_Scoped, ...] | None:
        """Return the rules that hold in a folder, where those of the folder above it are known."""
        if folder and self._decide(folder, is_folder=True, rules=above):
            return None
        content = self._read(f"{folder}/.gitignore" if folder else ".gitignore")
        start = len(folder) + 1 if folder else 0
        return above if content is None else (*above, _Scoped(start=start, rules=IgnoreRules(content)))

    def _decide(self, path: str, *, is_folder: bool, rules: tuple[_Scoped, ...]) -> bool:
        """Return whether the nearest matching rule ignores a path."""
        for scoped in reversed(rules):
            decided = scoped.rules.decide(path[scoped.start :], is_folder=is_folder, effort=self._effort)
            if decided is not None:
                return decided
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scoped:
    """The rules of a .gitignore and the place of its folder."""

    start: int
    """Index in each path where the part below the folder begins."""
    rules: IgnoreRules
