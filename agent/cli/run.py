"""`agent run`: define its arguments; run_task.py and batch.py do the work and are imported only when it starts."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent run`."""
    parser.add_argument(
        "task",
        nargs="?",
        help="The task file (YAML), or a folder: runs its task.yaml, or else every */task.yaml in it, sorted by name. "
        "Omit it only with --resume.",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="Set a variable of the task, or a setting by its dotted key (limits.steps=5). Can be repeated; applies "
        "to all tasks of a folder.",
    )
    parser.add_argument("--base-url", metavar="URL", help="URL of the model server, such as http://127.0.0.1:8000/v1.")
    parser.add_argument(
        "--model", metavar="NAME", help="Name of the served model; `pocket` starts a tiny one on the CPU."
    )
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N",
        help="How many tasks of a folder to run at once (default 1); `auto`: as many as the engine's KV cache holds.",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--json",
        action="store_true",
        help="Print every event as a JSON line instead of the live view; for a folder, one line per task and one with "
        "the totals.",
    )
    shown.add_argument("-v", "--verbose", action="store_true", help="Show replies, calls and results of a run whole.")
    shown.add_argument(
        "-q", "--quiet", action="store_true", help="Show only how a run ends; for a folder, only the totals."
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="Print the prompt, the tools and the number of tokens; send the model nothing.",
    )
    parser.add_argument("--resume", metavar="RUN", help="Resume a run: its name, a prefix of it, or `last`.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    # `agent run --help` must not wait for pydantic, yaml and the loop.
    from .batch import is_batch, run_batch
    from .ending import ending_on_signals
    from .run_task import run

    with ending_on_signals(ends_process=args.ends_process):
        return run_batch(args) if is_batch(args) else run(args)


def _jobs(text: str) -> int | None:
    """Return the number of jobs. None means `auto`."""
    if text == "auto":
        return None
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    msg = f"must be 1 or more, or auto, got {text!r}"
    raise argparse.ArgumentTypeError(msg)
