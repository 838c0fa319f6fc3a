"""Find the workspace of a past run, and the snapshot made before it; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..journal.runs import find_run, read_run
from .workspace import Snapshot, Workspace


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A past run's workspace as it is now, and its snapshot from before the run."""

    run: str
    folder: Path
    """The run's own folder."""
    workspace: Workspace
    snapshot: Snapshot


def recorded_run(runs: Path, name: str) -> RecordedRun:
    """Return the workspace and the snapshot of a past run.

    Args:
        runs: folder of all runs.
        name: the run's name, a prefix of it, or `last`.

    Raises:
        ConfigError: there is no such run, its workspace is gone, or it has no snapshot.
    """
    folder = find_run(runs, name)
    first, _ = read_run(folder)
    if first.snapshot is None or not Path(first.snapshot).is_dir():
        why = first.note or "its tools change no files, or it worked in the current folder without naming it"
        msg = f"Run {first.run!r} has no snapshot of its workspace: {why}."
        raise ConfigError(msg)
    return RecordedRun(
        run=first.run, folder=folder, workspace=Workspace(first.workspace), snapshot=Snapshot(tree=Path(first.snapshot))
    )  # fmt: skip
