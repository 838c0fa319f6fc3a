"""`agent runs`: list the runs on this machine, newest last."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .runs_option import add_runs_option, chosen_runs

if TYPE_CHECKING:
    from datetime import datetime

    from ..journal.runs import RunSummary

_HEAD = ("run", "started", "took", "steps", "tokens", "status", "task", "model")
_NUMBERS = frozenset({"took", "steps", "tokens"})
_MAX_TASK_CHARS = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent runs`."""
    parser.add_argument("--last", type=int, default=20, metavar="N", help="How many runs to list (default 20).")
    add_runs_option(parser)
    parser.add_argument("--json", action="store_true", help="Print one JSON object per line.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    import json
    import shutil
    import sys
    from dataclasses import asdict
    from datetime import UTC, datetime

    from ..journal.runs import list_runs, summarize

    folder = chosen_runs(args)
    found = list_runs(folder)[-max(0, args.last) :] if args.last else []
    if args.json:
        for run in found:
            print(json.dumps(asdict(summarize(run))))
        return 0
    if not found:
        print(f"No runs in {folder} yet. Start one: agent run task.yaml")
        return 0
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table([summarize(run) for run in found], now=datetime.now(UTC).astimezone(), columns=columns):
        print(line)
    return 0


def table(runs: Sequence[RunSummary], *, now: datetime, columns: int | None) -> list[str]:
    """Format runs as lines in aligned columns.

    Args:
        runs: oldest first.
        now: the current time; its zone is that of the times shown.
        columns: width of the terminal; a longer line is cut. None means there is no limit.
    """
    from ..view.text import shorten

    rows = [_HEAD, *(_row(run, now) for run in runs)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    lines: list[str] = []
    for row in rows:
        cells = zip(_HEAD, row, widths, strict=True)
        padded = [cell.rjust(width) if name in _NUMBERS else cell.ljust(width) for name, cell, width in cells]
        line = "  ".join(padded).rstrip()
        lines.append(line if columns is None else shorten(line, columns))
    return lines


def _row(run: RunSummary, now: datetime) -> tuple[str, ...]:
    from ..view.text import on_one_line, shorten

    if run.status == "damaged":
        return (run.run, "", "", "", "", run.status, "", "")
    task, model = shorten(on_one_line(run.task), _MAX_TASK_CHARS), on_one_line(run.model)
    spent = run.spent
    tokens = f"{'~' if spent.estimated_tokens else ''}{spent.tokens:,}"
    return (
        run.run, _started(run.at, now), _duration(spent.wall_s), str(spent.steps), tokens, run.status,
        task or "-", model,
    )  # fmt: skip


def _started(at: str, now: datetime) -> str:
    """Format a time in the zone of `now`; the time of day only for the current year, as `ls -l` does."""
    from datetime import datetime

    try:
        local = datetime.fromisoformat(at).astimezone(now.tzinfo)
    except ValueError:
        return ""
    return f"{local:%b %d %H:%M}" if local.year == now.year else f"{local:%b %d  %Y}"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
