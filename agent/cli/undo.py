"""`agent undo`: restore a run's workspace to its state before the run."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent undo`."""
    parser.add_argument("run", help="The run's name, a prefix of it, or `last`.")
    parser.add_argument("--yes", action="store_true", help="Do not ask for confirmation; required without a terminal.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import os
    import sys
    from datetime import UTC, datetime

    from ..errors import ConfigError
    from ..journal.runs import runs_folder
    from ..workspace.recorded import recorded_run
    from ..workspace.workspace import NoSnapshot

    found = recorded_run(runs_folder(os.environ), args.run)
    changes = found.workspace.diff(found.snapshot, max_chars=0)
    if not changes:
        print(f"The workspace is the same as before run {found.run}.")
        return 0
    print(f"These paths in {found.workspace.path} will be restored, including changes made after the run:")
    for change in changes:
        print(f"  {change.kind:8} {change.path}")
    if not args.yes:
        if not sys.stdin.isatty():
            raise ConfigError("Nothing was restored: there is no terminal to ask for confirmation. Use --yes.")
        if input("Restore them? [y/N] ").strip().lower()[:1] != "y":
            print("Nothing was restored.")
            return 1
    backup = found.folder / f"before-undo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    copied = found.workspace.snapshot(backup, like=found.snapshot.tree)
    if isinstance(copied, NoSnapshot):
        msg = f"Nothing was restored: the current state could not be saved first: {copied.reason}."
        raise ConfigError(msg)
    restored = found.workspace.restore(found.snapshot)
    print(f"Restored: {len(restored.changed)}. The state before this undo is in {backup}.")
    if restored.kept:
        why = "too large for the snapshot, or they contain excluded files"
        print(f"Not restored ({why}): {', '.join(restored.kept)}")
    return 0
