"""What the .gitignore files of a tree name; whoever lists the tree decides what that means for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class GitIgnore:
    """The .gitignore files of a tree, read as far as they are needed."""

    MAX_BYTES = 256_000
    """Of one file that need be read."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        """Begin to judge paths.

        Args:
            read: returns what a .gitignore of the tree holds, by its path relative to the root. None: there is none.
        """
        self._read = read
        self._specs: dict[str, GitIgnoreSpec | None] = {}

    @classmethod
    def below(cls, root: Path) -> GitIgnore:
        """Return the rules of a folder; a .gitignore that is a link does not count, as for git."""

        def read(path: str) -> bytes | None:
            file = root / path
            if file.is_symlink() or not file.is_file():
                return None
            with file.open("rb") as opened:
                return opened.read(cls.MAX_BYTES)

        return cls(read)

    def names(self, path: str, *, is_folder: bool) -> bool:
        """Tell what the nearest rule about a path says; the folders above it are judged by whoever lists them.

        Args:
            path: relative to the root, with / between its parts.
            is_folder: the path is that of a folder.
        """
        parts = path.split("/")
        verdict = False
        for depth in range(len(parts)):
            spec = self._spec("/".join(parts[:depth]))
            if spec is not None:
                below = "/".join(parts[depth:]) + ("/" if is_folder else "")
                found = spec.check_file(below).include
                verdict = verdict if found is None else found
        return verdict

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._specs:
            from pathspec import GitIgnoreSpec

            rules = self._read(f"{folder}/.gitignore" if folder else ".gitignore")
            self._specs[folder] = None
            if rules is not None:
                with suppress(ValueError):  # one that git would not take either
                    self._specs[folder] = GitIgnoreSpec.from_lines(rules.decode("utf-8", "replace").splitlines())
        return self._specs[folder]
