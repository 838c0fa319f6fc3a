"""Print the files that a run changed, and the commands that show and undo the changes; never fails the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..journal.runs import first_event
from ..names import on_its_line
from ..view.text import on_one_line
from ..workspace.workspace import Snapshot, Workspace

if TYPE_CHECKING:
    from ..journal.events import RunStarted

_MAX_PATHS = 20


def print_changed_files(folder: Path) -> None:
    """Print what differs from the snapshot of a run that has just ended; nothing if it has no snapshot.

    Args:
        folder: the run's own folder.
    """
    first = first_event(folder)
    if first is None or first.snapshot is None:
        return
    try:
        changes = Workspace(first.workspace).diff(Snapshot(tree=Path(first.snapshot)), max_chars=0)
    except (ConfigError, OSError) as error:
        print(f"changed files: unknown, because the workspace cannot be compared: {on_one_line(str(error))}")
        return
    place = _place(first, folder)
    if not changes:
        print(f"changed files{place}: none")
        return
    print(f"changed files{place}:")
    for change in changes[:_MAX_PATHS]:
        print(f"    {change.line}")
    if len(changes) > _MAX_PATHS:
        print(f"    ... {len(changes) - _MAX_PATHS} more")
    print(f"show them: agent diff {first.run}\nundo them: agent undo {first.run}")


def _place(first: RunStarted, folder: Path) -> str:
    """Return where the files are, if that is not the folder that the task named."""
    if first.worktree:
        return f" in the worktree {on_its_line(first.workspace)}"
    copy = (folder / "workspace").resolve()
    return f" in the copy {on_its_line(str(copy))}" if Path(first.workspace) == copy else ""
