"""Find the workspace of a past run and its snapshot; show and undo what the run changed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import ConfigError
from ..journal.events import RunStarted
from ..journal.runs import find_run, read_run
from .diff import Change
from .withheld import SecretFiles, withheld
from .workspace import NoSnapshot, Restored, Snapshot, Workspace


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


def in_patch_order(changes: Iterable[Change]) -> list[Change]:
    """Return changes in the order of a patch that git applies."""
    # An empty file has no hunks: git would take the diff that follows its header for a part of it, so it comes last.
    return sorted(changes, key=lambda change: change.diff.startswith("diff --git "))


def diff_text(workspace: Workspace, snapshot: Snapshot) -> str:
    """Return everything that differs from a snapshot, as one unified diff; files without text by their names."""
    changes = in_patch_order(workspace.diff(snapshot, max_chars=sys.maxsize))
    return "".join(f"{one.text}\n" for one in changes)


def undo(found: RecordedRun) -> tuple[Restored, Path]:
    """Restore the workspace to its snapshot; return what was done, and the copy of the state before.

    Raises:
        ConfigError: the current state cannot be saved first; nothing is restored then.
    """
    backup = found.folder / f"before-undo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    copied = found.workspace.snapshot(
        backup, like=found.snapshot.tree, secret=SecretFiles(paths=withheld(found.snapshot.tree))
    )
    if isinstance(copied, NoSnapshot):
        msg = f"Nothing was restored: the current state could not be saved first: {copied.reason}."
        raise ConfigError(msg)
    return found.workspace.restore(found.snapshot), backup


def works_in_place(first: RunStarted, folder: Path) -> bool:
    """Return whether a run works in the folder that the caller named, not in a copy or worktree in the run's folder."""
    return not Path(first.workspace).is_relative_to(folder.resolve())


def claimed_folder(first: RunStarted, folder: Path) -> Path | None:
    """Return the folder that a run claimed at its start, to be claimed again. None if it claimed none."""
    # Without a snapshot and a reason for its absence, the run was given no folder, or no tool that changes files.
    restorable = first.snapshot is not None or bool(first.note)
    return Path(first.workspace) if restorable and works_in_place(first, folder) else None
