"""Match paths against the .gitignore files of a tree; the caller decides what to do with a match."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


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
        self._specs: dict[str, GitIgnoreSpec | None] = {}

    @classmethod
    def below(cls, root: Path) -> GitIgnore:
        """Return the rules of a folder; like git, skips a .gitignore that is a symlink."""

        def read(path: str) -> bytes | None:
            file = root / path
            if file.is_symlink() or not file.is_file():
                return None
            with file.open("rb") as opened:
                return opened.read(cls.MAX_BYTES)

        return cls(read)

    def names(self, path: str, *, is_folder: bool) -> bool:
        """Return whether the nearest matching rule ignores a path; the caller checks the folders above it.

        Args:
            path: relative to the root, with / between its parts.
            is_folder: whether the path is a folder.
        """
        parts = path.split("/")
        ignored = False
        for depth in range(len(parts)):
            spec = self._spec("/".join(parts[:depth]))
            if spec is not None:
                below = "/".join(parts[depth:]) + ("/" if is_folder else "")
                match = spec.check_file(below).include
                ignored = ignored if match is None else match
        return ignored

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._specs:
            from pathspec import GitIgnoreSpec

            rules = self._read(f"{folder}/.gitignore" if folder else ".gitignore")
            self._specs[folder] = None
            if rules is not None:
                with suppress(ValueError):  # git rejects such a file too
                    self._specs[folder] = GitIgnoreSpec.from_lines(rules.decode("utf-8", "replace").splitlines())
        return self._specs[folder]
