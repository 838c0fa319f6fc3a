"""Check that a run cannot change its own record, nor what the user's programs read in a home; changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigError


def check_kept_apart(folders: Iterable[Path], runs: Path | None) -> None:
    """Check the folders that commands or file tools of a run may change.

    Args:
        folders: these folders.
        runs: folder of all runs. None means that no run is recorded.

    Raises:
        ConfigError: one holds the records of runs, or the user's home.
    """
    home = os.environ.get("HOME")
    for folder in folders:
        if home and Path(home).resolve().is_relative_to(folder.resolve()):
            msg = (
                f"The run could change {str(folder)!r}, which is or holds your home {home!r}: what it wrote into files "
                "such as ~/.profile would later run as you. Give it a folder of its own as workspace. If this is not "
                "the home of a person, set HOME to another folder."
            )
            raise ConfigError(msg, key="workspace")
        if runs is not None and runs.resolve().is_relative_to(folder.resolve()):
            msg = (
                f"The runs would be recorded in {str(runs)!r}, inside {str(folder)!r}, which the run can change: it "
                "could rewrite its own journal and snapshot. Keep the records elsewhere, with `runs` of the agent or "
                "$AGENT_RUNS_DIR; the default is in your state folder, and `runs_folder()` returns it."
            )
            raise ConfigError(msg, key="runs")
