"""The turns of a session: what each left, read from its journal or its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .journal.events import Event, RunStarted
from .journal.runs import first_event, list_runs, read_run
from .loop import prompts
from .loop.state import RunState
from .messages import Message, ToolResult
from .policy.budget import Spent
from .run_settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn of a session: how it ended, or what it did until it was interrupted.

    Attributes:
        run: Name of the run.
        messages: The whole conversation at the end of the turn.
        spent: What the turn used.
        rung: Rung of the ladder at its end, from 0.
        workspace: The folder that it worked in.
    """

    run: str
    messages: tuple[Message, ...]
    spent: Spent
    rung: int
    workspace: Path


def read_turn(folder: Path, settings: RunSettings) -> Turn:
    """Return a turn from its journal, whether it ended or not.

    Raises:
        ConfigError: the journal cannot be read.
    """
    first, events = read_run(folder)
    return turn_of(first, events[1:], settings)


def turn_of(first: RunStarted, events: Iterable[Event], settings: RunSettings) -> Turn:
    """Return a turn from its events, whether it ended or not. `events`: all but the first."""
    state = RunState(first, settings.profile(first.model))
    for event in events:
        state.apply(event)
    _close(state)
    return Turn(
        run=first.run, messages=tuple(state.history.messages), spent=state.spent, rung=state.position.rung,
        workspace=Path(first.workspace),
    )  # fmt: skip


def _close(state: RunState) -> None:
    """Add a result to each call that the turn ended in the middle of, so that the next turn knows of them."""
    if state.open_turn is None:
        return
    turn, results = state.open_turn.turn, dict(state.results)
    for call in turn.tool_calls:
        text = prompts.INTERRUPTED if call.id in state.started_calls else prompts.NOT_MADE
        interrupted = ToolResult(tool_call_id=call.id, name=call.name, content=text, status="interrupted")
        results.setdefault(call.id, interrupted)
    state.history.add_turn(turn, [results[call.id] for call in turn.tool_calls])


def saved_turns(runs: Path, name: str, settings: RunSettings) -> list[Turn]:
    """Return the turns of a session from their journals, oldest first; empty if there is no session of this name."""
    firsts = ((folder, first_event(folder)) for folder in list_runs(runs))
    return [read_turn(folder, settings) for folder, first in firsts if first is not None and first.session == name]


def session_names(runs: Path) -> tuple[str, ...]:
    """Return the names of all sessions in a folder of runs, in the order of their first turns."""
    firsts = (first_event(folder) for folder in list_runs(runs))
    return tuple(dict.fromkeys(first.session for first in firsts if first is not None and first.session))
