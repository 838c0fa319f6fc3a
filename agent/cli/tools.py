"""`agent tools`: list the ready tools, or print the definition of one as the model receives it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..tooling.tool import Tool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent tools`."""
    parser.add_argument("name", nargs="?", help="Print the definition of this tool: a ready one, or ./file.py:name.")
    parser.add_argument("--json", action="store_true", help="Print the tools as JSON: name, description, parameters.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import json
    import os
    from pathlib import Path

    from .. import ready_tools
    from ..journal.runs import runs_folder
    from ..task.own_files import checked_imports
    from ..task.tool_loading import load_tools
    from ..view.text import visible_json
    from ..workspace.changed_files import refuse_changed

    if args.name:
        runs, file = runs_folder(os.environ), Path.cwd() / (args.name.rpartition(":")[0] or args.name)
        if file.suffix == ".py":
            refuse_changed((), [file], runs)
        with checked_imports([Path.cwd()], runs):
            tools = load_tools([args.name], directory=Path.cwd())
        for tool in tools:
            print(visible_json(json.dumps(tool.definition(), indent=2, ensure_ascii=False)))
        return 0
    listed = [ready_tools.find(name) for name in ready_tools.NAMES]
    if args.json:
        rows = [
            {
                "name": item.name,
                "description": _summary(item),
                "read_only": item.read_only,
                "exclusive": item.exclusive,
                "parameters": item.parameters,
            }
            for item in listed
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    width = max(len(item.name) for item in listed)
    for item in listed:
        flags = "read-only" if item.read_only else "exclusive" if item.exclusive else ""
        print(f"{item.name:{width}}  {flags:9}  {_summary(item)}")
    print("\nList the ones to use under `tools:` in a task file. `agent tools NAME` prints one in full.")
    return 0


def _summary(tool: Tool) -> str:
    return tool.description.partition("\n")[0]
