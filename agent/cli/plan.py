"""Run `agent plan`: show whether a model starts on given GPUs, what its KV cache holds, and what would make it fit."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .plan_options import add_plan_arguments

if TYPE_CHECKING:
    from serving.capacity.sizing import Plan

# Compared if no GPUs are given and this machine has none: sets that are commonly rented as a machine.
_COMMON_SETS = ("h100:4", "h100:8", "h200:2", "h200:4", "b200:2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent plan`."""
    add_plan_arguments(parser)
    parser.add_argument("--json", action="store_true", help="Print the plan as one JSON object.")
    parser.epilog = (
        "Exit codes: 0 it is certain to start, 1 it does not or may not, 2 an option is invalid. Without GPUs, a "
        "comparison ends with 0. Nothing is started or loaded."
    )


def main(args: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    import os

    from .plan_options import gpus_of, plan_on

    gpus = gpus_of(args, os.environ)
    if gpus is None:
        return _compare(args)
    plan = plan_on(gpus, args, os.environ)
    _show([plan], args, compare=False)
    return 0 if plan.starts == "yes" else 1


def _compare(args: argparse.Namespace) -> int:
    import os

    from serving.capacity.hardware import parse_gpus

    from .plan_options import installed_version, plan_on

    sets = [parse_gpus(text) for text in _COMMON_SETS]
    if args.engine_version is None:
        args.engine_version = installed_version(sets[0], args, os.environ)  # search only once
    _show([plan_on(gpus, args, os.environ) for gpus in sets], args, compare=True)
    return 0


def _show(plans: list[Plan], args: argparse.Namespace, *, compare: bool) -> None:
    import json
    import os
    import shutil
    import sys

    from .plan_json import plan_object
    from .plan_view import Style, comparison_text, plan_text

    if args.json:
        objects = [plan_object(plan) for plan in plans]
        print(json.dumps({"plans": objects} if compare else objects[0]))
        return
    style = Style(
        width=max(40, min(shutil.get_terminal_size().columns, 100)),  # the table is wider than 40 in any case
        unicode="utf" in (sys.stdout.encoding or "ascii").lower(),
        color=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
    )
    if compare:
        chosen = args.context is None and not args.context_of
        print(comparison_text(plans, style, context_chosen=chosen))
    else:
        print(plan_text(plans[0], style))
