"""`agent schema`: print the JSON Schema of task files, for editors."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent schema`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Save the output as task.schema.json, and begin a task file with:\n"
        "  # yaml-language-server: $schema=task.schema.json"
    )


def main(_: argparse.Namespace) -> int:
    """Run the command."""
    import json

    from ..task.schema import task_schema

    print(json.dumps(task_schema(), indent=2))
    return 0
