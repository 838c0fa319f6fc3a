"""What the .gitignore files of a workspace name: left out of listings and searches, and counted where it is listed."""

from __future__ import annotations

from pathlib import Path

from agent import GitIgnore, ToolError

from . import _paths


class Ignored:
    """Leaves out of a walk what .gitignore names."""

    def __init__(self, workspace: Path, top: _paths.Inside) -> None:
        """Begin to walk.

        Args:
            workspace: the run's.
            top: the folder that was asked for; nothing below it is left out if it is itself named.
        """

        def read(path: str) -> bytes | None:
            try:
                with _paths.open_file(workspace, _paths.inside(workspace, path)) as file:
                    return file.read(GitIgnore.MAX_BYTES)
            except ToolError:
                return None

        self._rules = GitIgnore(read)
        self._asked_for = top != "." and self._rules.names(top, is_folder=True)
        self.count = 0
        """How many were left out."""

    def leaves_out(self, relative: _paths.Inside, *, is_folder: bool) -> bool:
        """Tell whether a file or folder is left out, and count it."""
        found = not self._asked_for and self._rules.names(relative, is_folder=is_folder)
        self.count += found
        return found
