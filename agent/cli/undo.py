"""`agent undo`: restore a run's workspace to its state before the run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .runs_option import add_runs_option, chosen_runs

if TYPE_CHECKING:
    from pathlib import Path

    from ..workspace.recorded_run import RecordedRun

_ACTIONS = {"changed": "restore", "added": "remove", "removed": "recreate"}
# Snapshots leave these out, so an undo leaves them too; caches are of no interest.
_NOT_IN_SNAPSHOT = (".git", ".hg", ".svn", ".venv", "venv", "node_modules", ".tox", ".nox")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent undo`."""
    parser.add_argument("run", help="The run's name, a prefix of it, or `last`.")
    add_runs_option(parser)
    parser.add_argument(
        "--yes", action="store_true", help="Do not ask for confirmation. Without it and a terminal, only show the plan."
    )


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import sys

    from ..errors import ConfigError
    from ..workspace.recorded_run import recorded_run

    found = recorded_run(chosen_runs(args), args.run)
    changes = found.workspace.diff(found.snapshot, max_chars=0)
    left = _left(found)
    if not changes:
        print(f"The workspace is the same as before run {found.run}.")
        _print_left(left)
        return 0
    may_ask = sys.stdin.isatty()
    verb = "Restoring" if args.yes else "This would restore" if may_ask else "Would restore"
    shown = _shown(found)
    place = shown(str(found.workspace.path))
    print(f"{verb} {place} to its state before run {found.run}, including changes made after the run:")
    for change in changes:
        print(f"  {_ACTIONS[change.kind]:8}  {shown(change.path)}")
    _print_left(left)
    if not args.yes:
        if not may_ask:
            msg = (
                "Nothing was restored: there is no terminal to ask for confirmation. To restore it, run: "
                f"agent undo {found.run} --yes"
            )
            raise ConfigError(msg)
        if input("Restore it? [y/N] ").strip().lower()[:1] != "y":
            print("Nothing was restored.")
            return 1
    _restore(found)
    return 0


def _shown(found: RecordedRun) -> Callable[[str], str]:
    """Return what makes a path printable: no secret of the run, nothing that controls a terminal."""
    import os

    from ..journal.runs import first_event
    from ..names import on_its_line
    from ..task.recorded import recorded_secrets
    from ..tooling.redaction import redacted

    first = first_event(found.folder)
    secrets = recorded_secrets({} if first is None else first.task, os.environ)
    return lambda path: on_its_line(redacted(path, secrets))


def _print_left(names: Sequence[str]) -> None:
    if names:
        print(f"Not in the snapshot, so left as it is: {', '.join(names)}.")


def _left(found: RecordedRun) -> list[str]:
    """Return, with an explanation, what runs left in the workspace that a snapshot does not hold."""
    from ..tooling.own_files import OWN_FOLDER

    root = found.workspace.path
    names = [f"{OWN_FOLDER} (tool outputs and saved attempts)"] if (root / OWN_FOLDER).exists() else []
    since_ns = found.snapshot.tree.stat().st_mtime_ns
    made = [name for name in _NOT_IN_SNAPSHOT if _made_ns(root / name) > since_ns]
    return [*names, *(f"{name} (made since the run began)" for name in made)]


def _made_ns(path: Path) -> int:
    """Return about when a folder was made: the time of what was first written into it. 0 means it does not exist."""
    try:
        times = [child.lstat().st_mtime_ns for child in path.iterdir()] if path.is_dir() else []
        return min(times, default=path.lstat().st_mtime_ns)
    except OSError:
        return 0


def _restore(found: RecordedRun) -> None:
    from ..names import on_its_line
    from ..workspace.recorded_run import undo

    restored, backup = undo(found)
    print(f"Restored: {len(restored.changed)}. The state before this undo is in {on_its_line(str(backup))}.")
    if restored.kept:
        why = "too large or too secret for the snapshot, or they contain excluded files"
        print(f"Not restored ({why}): {', '.join(map(_shown(found), restored.kept))}")
