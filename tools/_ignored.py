"""What the .gitignore files of a workspace name: left out of listings and searches, and counted where it is listed."""

from __future__ import annotations

from pathlib import Path

import pathspec

from agent import ToolError

from . import _paths

_MOST_BYTES = 256_000


class Ignored:
    """The .gitignore files of a workspace, read as far as they are needed."""

    def __init__(self, workspace: Path, top: _paths.Inside) -> None:
        """Begin to walk.

        Args:
            workspace: the run's.
            top: the folder that was asked for; nothing below it is left out if it is itself named.
        """
        self._workspace = workspace
        self._specs: dict[str, pathspec.GitIgnoreSpec | None] = {}
        self._asked_for = top != "." and self._named(top, is_folder=True)
        self.count = 0
        """How many were left out."""

    def leaves_out(self, relative: _paths.Inside, *, is_folder: bool) -> bool:
        """Tell whether a file or folder is left out, and count it."""
        found = not self._asked_for and self._named(relative, is_folder=is_folder)
        self.count += found
        return found

    def _named(self, relative: str, *, is_folder: bool) -> bool:
        """Tell what the nearest rule about a path says; its folders are judged by whoever walks them."""
        parts = relative.split("/")
        verdict = False
        for depth in range(len(parts)):
            spec = self._spec("/".join(parts[:depth]))
            if spec is not None:
                below = "/".join(parts[depth:]) + ("/" if is_folder else "")
                found = spec.check_file(below).include
                verdict = verdict if found is None else found
        return verdict

    def _spec(self, folder: str) -> pathspec.GitIgnoreSpec | None:
        if folder not in self._specs:
            self._specs[folder] = self._read(f"{folder}/.gitignore" if folder else ".gitignore")
        return self._specs[folder]

    def _read(self, name: str) -> pathspec.GitIgnoreSpec | None:
        try:
            with _paths.open_file(self._workspace, _paths.inside(self._workspace, name)) as file:
                lines = file.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
            return pathspec.GitIgnoreSpec.from_lines(lines)
        except (ToolError, ValueError):  # none there, or one that git would not take either
            return None
