"""Find what a run of the past left: its workspace, and the copy that was made before it began."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..journal.runs import find_run, read_run
from .workspace import Snapshot, Workspace


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A run's workspace, now and before."""

    run: str
    folder: Path
    """The run's own."""
    workspace: Workspace
    snapshot: Snapshot


def recorded_run(runs: Path, name: str) -> RecordedRun:
    """Return what a run worked on.

    Args:
        runs: folder of all runs.
        name: the run's, a beginning of it, or `last`.

    Raises:
        ConfigError: there is no such run, its workspace is gone, or no copy was made before it began.
    """
    folder = find_run(runs, name)
    first, _ = read_run(folder)
    if first.snapshot is None or not Path(first.snapshot).is_dir():
        why = first.note or "its tools change nothing, or it worked in the current folder without naming it"
        msg = f"Nothing is known of what was there before run {first.run!r}: {why}."
        raise ConfigError(msg)
    return RecordedRun(
        run=first.run, folder=folder, workspace=Workspace(first.workspace), snapshot=Snapshot(tree=Path(first.snapshot))
    )  # fmt: skip
