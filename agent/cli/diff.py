"""`agent diff`: show what a run changed in its workspace."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent diff`."""
    parser.add_argument("run", help="The run's name, a prefix of it, or `last`.")
    parser.add_argument("--names", action="store_true", help="Print only the paths, each with the kind of change.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import os

    from ..journal.runs import runs_folder
    from ..workspace.recorded import recorded_run

    changed = recorded_run(runs_folder(os.environ), args.run)
    # About as much as a terminal's scrollback; for more there are --names and the files.
    changes = changed.workspace.diff(changed.snapshot, max_chars=1_000_000)
    for change in changes:
        print(f"{change.kind:8} {change.path}" if args.names or change.diff.startswith("[") else change.diff)
    if not changes:
        print(f"The workspace is the same as before run {changed.run}.")
    return 0
