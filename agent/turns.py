"""The turns of a session: what each left, read from its journal or its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from .journal.events import Event, RunStarted
from .journal.forks import Fork, KeptTurn, all_forks, read_fork
from .journal.journal import JOURNAL_NAME
from .journal.runs import first_event, list_runs, read_run
from .loop import prompts
from .loop.state import RunState
from .messages import Message, ToolResult
from .policy.budget import Spent
from .run_settings import RunSettings
from .workspace.prepare import WorkspaceMode

Place = tuple[Path, WorkspaceMode] | None
"""The folder that the next turn of a session works in, and how. None means the agent's `workspace`."""


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


def read_turn(folder: Path, settings: RunSettings, *, events: int | None = None) -> Turn:
    """Return a turn from its journal, whether it ended or not.

    Args:
        folder: of the run.
        settings: of the agent's runs.
        events: how many of its events to read. None means all.

    Raises:
        ConfigError: the journal cannot be read.
    """
    first, found = read_run(folder)
    return turn_of(first, found[1:events], settings)


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


@dataclass(frozen=True, kw_only=True)
class SavedSession:
    """A session as the journals of its turns have it."""

    turns: Sequence[Turn] = ()
    """Oldest first."""
    kept: Sequence[KeptTurn] = ()
    """Those of other sessions that it began with, if it is a fork: the first of `turns`."""
    place: Place = None
    """Of the next turn."""


NOTHING_SAVED = SavedSession()


def read_session(runs: Path, name: str, settings: RunSettings) -> SavedSession:
    """Return a session from the journals of its turns; an empty one if there is none of this name.

    Raises:
        ConfigError: a journal cannot be read, or that of a turn that a fork begins with is gone.
    """
    firsts = ((folder, first_event(folder)) for folder in list_runs(runs))
    own = [read_turn(folder, settings) for folder, first in firsts if first is not None and first.session == name]
    fork = read_fork(runs, name)
    if fork is None:
        return SavedSession(turns=own, place=_last_copy(own, settings))
    # The first turn of its own has the conversation before it too, so it does without journals that were deleted.
    kept = [one for one in fork.kept if not own or (runs / one.run / JOURNAL_NAME).exists()]
    turns = [read_turn(runs / one.run, settings, events=one.events) for one in kept]
    place = _last_copy(own, settings) if own else _fork_place(fork)
    return SavedSession(turns=[*turns, *own], kept=kept, place=place)


def _fork_place(fork: Fork) -> Place:
    return None if fork.workspace is None else (Path(fork.workspace), "copy" if fork.is_copied else "in_place")


def _last_copy(turns: Sequence[Turn], settings: RunSettings) -> Place:
    """Return the copy or worktree that the turns made, so that the next one does not make another."""
    is_copied = settings.workspace_mode in {"copy", "worktree"}
    return (turns[-1].workspace, "in_place") if turns and is_copied else None


def session_names(runs: Path) -> tuple[str, ...]:
    """Return the names of all sessions in a folder of runs, in the order of their first turns or forks."""
    firsts = (first_event(folder) for folder in list_runs(runs))
    begun = [(first.at, first.session) for first in firsts if first is not None and first.session]
    begun += [(fork.at, fork.session) for fork in all_forks(runs)]
    return tuple(dict.fromkeys(name for _, name in sorted(begun, key=itemgetter(0))))
