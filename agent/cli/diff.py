"""`agent diff`: show everything that a run changed in its workspace."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent diff`."""
    parser.add_argument("run", help="The run's name, a prefix of it, or `last`.")
    parser.add_argument("--names", action="store_true", help="Print only the paths, each with the kind of change.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import os
    import sys

    from ..journal.runs import runs_folder
    from ..view.text import visible
    from ..workspace.recorded_run import recorded_run

    changed = recorded_run(runs_folder(os.environ), args.run)
    changes = changed.workspace.diff(changed.snapshot, max_chars=0 if args.names else sys.maxsize)
    # A patch for a program is written as it is; on a terminal, the text of a file must not control it.
    shown = visible if sys.stdout.isatty() else str
    # An empty file has no hunks: git would take the diff that follows its header for a part of it, so it comes last.
    for change in sorted(changes, key=lambda change: change.diff.startswith("diff --git ")):
        listed = f"{change.kind:8} {change.path}"
        print(shown(listed if args.names else change.diff if change.has_text else f"{listed}  {change.diff}"))
    if not changes:
        print(f"The workspace is the same as before run {changed.run}.")
    return 0
