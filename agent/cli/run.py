"""`agent run`: its arguments; the work is in running.py and batch.py, which are imported only when it is wanted."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `agent run`."""
    parser.add_argument(
        "task",
        nargs="?",
        help="The task file (YAML), or a folder: its task.yaml is run, or else every */task.yaml in it, sorted by "
        "name. Left out only with --resume.",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="Replace a variable of the task, or a setting by its dotted key (budgets.steps=5). May be repeated; "
        "applies to all tasks of a folder.",
    )
    parser.add_argument("--base-url", metavar="URL", help="The model server, such as http://127.0.0.1:8000/v1.")
    parser.add_argument("--model", metavar="NAME", help="The served model; `pocket` starts a tiny one on the CPU.")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="How many tasks of a folder run at once (default 1)."
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="Print every event as a JSON line instead of a live view; for a folder, a line per task and one for all.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="Print the prompt, the tools and their tokens; ask the model nothing."
    )
    parser.add_argument("--resume", metavar="RUN", help="Go on with a run: its name, a beginning of it, or `last`.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    # `agent run --help` must not wait for pydantic, yaml and the loop.
    from .batch import is_batch, run_batch
    from .running import end_like_interrupt, run

    with end_like_interrupt():
        return run_batch(args) if is_batch(args) else run(args)
