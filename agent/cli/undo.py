"""`agent undo`: put a run's workspace back to what it was before the run."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `agent undo`."""
    parser.add_argument("run", help="The run's name, a beginning of it, or `last`.")
    parser.add_argument("--yes", action="store_true", help="Do not ask; needed where there is no terminal.")


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
        print(f"Nothing differs from what run {found.run} began with.")
        return 0
    print(f"Put back in {found.workspace.path}, also what was changed there after the run:")
    for change in changes:
        print(f"  {change.kind:8} {change.path}")
    if not args.yes:
        if not sys.stdin.isatty():
            raise ConfigError("Nothing was put back: there is no terminal to ask at. Say --yes.")
        if input("Put it back? [y/N] ").strip().lower()[:1] != "y":
            print("Nothing was put back.")
            return 1
    kept = found.folder / f"before-undo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    copied = found.workspace.snapshot(kept, like=found.snapshot.tree)
    if isinstance(copied, NoSnapshot):
        msg = f"Nothing was put back: what is there now could not be kept first: {copied.reason}."
        raise ConfigError(msg)
    restored = found.workspace.restore(found.snapshot)
    print(f"Put back: {len(restored.changed)}. What was there is in {kept}.")
    if restored.kept:
        why = "too large to be kept, or something that is never touched is in them"
        print(f"Not put back ({why}): {', '.join(restored.kept)}")
    return 0
