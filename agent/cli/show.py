"""`agent show`: show a run from its journal, or print the journal."""

from __future__ import annotations

import argparse

from .runs_option import add_runs_option, chosen_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent show`."""
    parser.add_argument("run", help="The run's name, a prefix of it, or `last`.")
    add_runs_option(parser)
    parser.add_argument("--json", action="store_true", help="Print every event of the journal as a JSON line.")
    parser.add_argument("--full", action="store_true", help="Do not shorten long texts; show tracebacks.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import sys

    from ..journal.journal import JOURNAL_NAME, event_json, read_journal
    from ..journal.prefill import prefill
    from ..journal.runs import find_run
    from ..view.live import LiveView
    from ..view.text import visible_json

    folder = find_run(chosen_runs(args), args.run)
    view = LiveView(sys.stdout, full=args.full)
    events = read_journal(folder / JOURNAL_NAME)
    for event in events:
        if args.json:
            print(visible_json(event_json(event).decode()))
        else:
            view.show(event)
    if not args.json and (account := str(prefill(events))):
        print(account)
    return 0
