"""`agent runs`: list the runs on this machine, newest last."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent runs`."""
    parser.add_argument("--last", type=int, default=20, metavar="N", help="How many runs to list (default 20).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object per line.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import json
    import os

    from ..journal.runs import list_runs, runs_folder, summarize

    folder = runs_folder(os.environ)
    found = list_runs(folder)[-max(0, args.last) :] if args.last else []
    if not found and not args.json:
        print(f"No runs in {folder} yet. Start one: agent run task.yaml")
    for run in found:
        line = summarize(run)
        if args.json:
            print(json.dumps({"run": line.run, "status": line.status, "task": line.task, "model": line.model}))
        else:
            print(f"{line.run}  {line.status:13}  {line.task:20}  {line.model}")
    return 0
