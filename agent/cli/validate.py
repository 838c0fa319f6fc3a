"""`agent validate`: check a task file, its tools and the files it refers to, without running anything."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent validate`."""
    parser.add_argument("task", help="The task file (YAML).")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="Set a variable of the task, or a setting by its dotted key (limits.steps=5). Can be repeated.",
    )


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import os

    from ..agent import Agent
    from ..journal.runs import runs_folder
    from ..tooling.notes import notes_of
    from ..view.text import on_one_line
    from .discovery import NOWHERE
    from .run_task import parse_overrides
    from .task_file import read_task

    task = read_task(args.task, parse_overrides(args.overrides))
    agent = Agent.from_task(task, NOWHERE, environ=os.environ, runs=runs_folder(os.environ))
    task.rendered_prompt()
    task.images()
    tools = agent.settings().toolbox()
    print(f"{args.task}: the task {task.name!r} is valid ({', '.join(tools.names) or 'no tools'}).")
    for note in notes_of(tools):
        print(f"  note: {on_one_line(note)}")
    return 0
