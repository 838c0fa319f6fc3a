"""Choose how `agent run` shows a run: at a terminal, as plain lines, as JSON lines, or only its end."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from ..journal.events import Event, RunEnded
from ..journal.journal import event_json
from ..model.deltas import Delta
from ..model.endpoint import Endpoint
from ..view.live import LiveView
from ..view.text import visible_json
from .engine_metrics import endpoint_metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """How one run is shown."""

    show: Callable[[Event], None]
    deltas: Callable[[Delta], None] | None = None
    """Takes the parts of replies. None if they are not shown."""
    paused: Callable[[], AbstractContextManager[None]] = nullcontext
    """Leaves the terminal to something else inside its block."""


@contextmanager
def run_view(args: argparse.Namespace, endpoint: Endpoint) -> Generator[RunView]:
    """Show a run until the block ends, by the options of `agent run`."""
    if args.json:
        yield RunView(show=_json_line)
    elif args.quiet:
        lines = LiveView(sys.stdout)
        yield RunView(show=lambda event: lines.show(event) if isinstance(event, RunEnded) else None)
    elif not sys.stdout.isatty():
        yield RunView(show=LiveView(sys.stdout, full=args.verbose).show)
    else:
        from ..view.engine_line import EngineLine
        from ..view.terminal import TerminalView

        engine = EngineLine(lambda: endpoint_metrics(endpoint), time.monotonic)
        with TerminalView(sys.stdout, full=args.verbose, load=engine.text) as view:
            yield RunView(show=view.show, deltas=view.add, paused=view.paused)


def _json_line(event: Event) -> None:
    sys.stdout.write(visible_json(event_json(event).decode()) + "\n")
    sys.stdout.flush()
