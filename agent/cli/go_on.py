"""Build the commands that go on with the runs that a signal or a failed server ended."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable

from ..journal.events import Event, RunEnded, RunStarted


class GoOn:
    """The runs of one command that are in progress, or that a signal or a failed server ended."""

    def __init__(self, args: argparse.Namespace) -> None:
        given = (("--base-url", args.base_url), ("--model", args.model))
        self._options = [part for flag, value in given if value is not None for part in (flag, value)]
        self._runs: dict[str, None] = {}

    def watching(self, show: Callable[[Event], None], run: str = "") -> Callable[[Event], None]:
        """Return an observer of one run, which shows each event; `run` is the name of one that is resumed."""

        def observe(event: Event) -> None:
            nonlocal run
            run = event.run if isinstance(event, RunStarted) else run
            self._runs[run] = None
            if isinstance(event, RunEnded) and event.status != "interrupted" and event.cause != "endpoint":
                del self._runs[run]
            show(event)

        return observe

    def advice(self) -> str:
        """Return the commands that resume the runs. Empty if there are none."""
        commands = [shlex.join(["agent", "run", "--resume", run, *self._options]) for run in self._runs]
        return "\n  ".join(["Go on with:", *commands]) if commands else ""
