"""Find and count the files that .gitignore excludes from listings and searches; does not walk the folders itself."""

from __future__ import annotations

from pathlib import Path

from agent import GitIgnore

from . import _paths
from ._listing import NEVER_WALKED


class Ignored:
    """The .gitignore rules for one walk through the workspace."""

    def __init__(self, workspace: Path, top: _paths.Inside) -> None:
        """Prepare to walk a folder.

        Args:
            workspace: the run's workspace.
            top: the folder to walk; if it is itself ignored, nothing below it is skipped.
        """
        self._rules = GitIgnore.below(workspace)
        in_own_folder = top.split("/")[0] in NEVER_WALKED  # .agent has a .gitignore that ignores all
        self._top_is_ignored = in_own_folder or (top != "." and self._rules.names(top, is_folder=True))
        self.count = 0
        """Number of files and folders skipped."""

    def skips(self, relative: _paths.Inside, *, is_folder: bool) -> bool:
        """Return whether to skip a file or folder, and count it if so."""
        skip = not self._top_is_ignored and self._rules.names(relative, is_folder=is_folder)
        self.count += skip
        return skip
