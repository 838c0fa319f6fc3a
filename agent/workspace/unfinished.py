"""Keep one record for each run that has not ended, and one link to a folder's newest snapshot, beside all runs."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..journal.journal import JOURNAL_NAME
from .folder_keys import folder_key, may_overlap

INDEX = ".index"
"""In the folder of all runs; what it has is found without looking at each run."""


def record_path(folder: Path, workspace: Path) -> Path:
    """Return the file of a run that has not ended.

    Args:
        folder: the run's own; that of an agent as a tool is inside the one of the run that called it.
        workspace: the folder that it works in; absolute.
    """
    runs = all_runs(folder.parent)
    name = hashlib.sha256(os.fsencode(folder.relative_to(runs))).hexdigest()[:16]
    return _unfinished(runs) / f"{folder_key(workspace)}.{name}"


def records_near(runs: Path, workspace: Path) -> Iterator[Path]:
    """Yield the files of runs that may work in this folder, in one above it, or in one inside it.

    Args:
        runs: the folder of all runs, or of those that a run's agents as tools made.
        workspace: absolute, symlinks resolved.
    """
    key = folder_key(workspace)
    with suppress(FileNotFoundError), os.scandir(_unfinished(all_runs(runs))) as items:
        yield from [Path(item.path) for item in items if may_overlap(key, item.name.partition(".")[0])]


def newest_snapshot(folder: Path, workspace: Path) -> Path | None:
    """Return the snapshot that the last run in this folder made. None if there is none, or it was removed.

    Args:
        folder: the own folder of the run that asks.
        workspace: absolute, symlinks resolved.
    """
    snapshot = _snapshot_link(folder, workspace).resolve()
    return snapshot if snapshot.is_dir() else None


def record_snapshot(folder: Path, workspace: Path, snapshot: Path) -> None:
    """Write down which snapshot of a folder is its newest, so that later runs share unchanged files with it."""
    link = _snapshot_link(folder, workspace)
    new = link.with_name(f"{link.name}.{secrets.token_hex(4)}")
    with suppress(OSError):  # a file system without symlinks
        link.parent.mkdir(parents=True, exist_ok=True)
        new.symlink_to(os.path.relpath(snapshot, link.parent))
        new.replace(link)


def _snapshot_link(folder: Path, workspace: Path) -> Path:
    name = hashlib.sha256(os.fsencode(workspace)).hexdigest()[:32]
    return all_runs(folder.parent) / INDEX / "snapshots" / name


def _unfinished(runs: Path) -> Path:
    return runs / INDEX / "unfinished"


def all_runs(runs: Path) -> Path:
    """Return the folder of all runs, also for the folder of those that a run's agents as tools made."""
    while runs.name == "agents" and (runs.parent / JOURNAL_NAME).exists():
        runs = runs.parent.parent
    return runs
