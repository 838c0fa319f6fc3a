"""The option `--runs` of the commands that read past runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_runs_option(parser: argparse.ArgumentParser) -> None:
    """Add `--runs FOLDER`."""
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="The folder of the runs, as in Agent(runs=FOLDER). Default: $AGENT_RUNS_DIR, or the user's state folder.",
    )


def chosen_runs(args: argparse.Namespace) -> Path:
    """Return the folder of the runs that a command is about."""
    from ..journal.runs import runs_folder

    return runs_folder() if args.runs is None else args.runs
