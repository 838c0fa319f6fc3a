"""A conversation of many turns with one agent: history, workspace, ladder position, limits and journals."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic

from typing_extensions import TypeVar

from .errors import ConfigError
from .given import prompt_of
from .journal.runs import check_run_name, first_event, list_runs, read_run
from .loop import prompts
from .loop.outcome import Outcome
from .loop.state import RunState
from .loop.watching import Observer
from .messages import Image, Message, ToolResult
from .model.conversation import to_chat
from .policy.budget import Spent, limits_left, tighter
from .policy.limits import Limits
from .run_settings import RunSettings
from .starting import Start, Watching
from .workspace.prepare import WorkspaceMode

OutputT = TypeVar("OutputT", default=str)
Starter = Callable[[RunSettings, Start, Watching], Awaitable[Outcome[OutputT]]]
Resumer = Callable[[Path, Watching], Awaitable[Outcome[OutputT]]]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn of a session as it ended, or as far as it came.

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


class Session(Generic[OutputT]):
    """A conversation with an agent, made by `agent.session()`; each turn is a run with a journal of its own.

    A turn goes on in the conversation, the folder and on the rung of the ladder where the last one ended. With `runs`,
    a session is saved as it goes: `agent.session(name)` in another process goes on with it. One turn runs at a time.
    """

    def __init__(
        self, name: str, *, settings: Callable[[], RunSettings], start: Starter[OutputT], resume: Resumer[OutputT],
        limits: Limits, turns: Iterable[Turn] = (), place: tuple[Path, WorkspaceMode] | None = None,
    ) -> None:  # fmt: skip
        """Create a session; `agent.session()` does.

        Args:
            name: of the session.
            settings: returns the settings of the agent's runs.
            start: starts a run.
            resume: resumes the run in a folder.
            limits: of all turns together.
            turns: those that were, oldest first.
            place: the folder that the next turn works in, and how. None means as the agent says.
        """
        self.name = name
        self.limits = limits
        self._settings = settings
        self._start = start
        self._resume = resume
        self._turns = list(turns)
        self._place = place
        self._number = len(self._turns)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns so far, oldest first."""
        return tuple(self._turns)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, its system prompt included."""
        return self._turns[-1].messages if self._turns else ()

    @property
    def usage(self) -> Spent:
        """What all turns used together."""
        return sum((turn.spent for turn in self._turns), Spent())

    def to_chat(self) -> list[dict[str, Any]]:
        """Return the conversation so far in OpenAI's chat completions format."""
        return to_chat(self.messages)

    async def run(
        self, prompt: str, *, images: Iterable[Image] = (), limits: Limits | None = None,
        observe: Observer | None = None,
    ) -> Outcome[OutputT]:  # fmt: skip
        """Run one turn and return its outcome; a turn that fails is part of the conversation too.

        Args:
            prompt: What to do next.
            images: Images that belong to the prompt.
            limits: Of this turn. None means those of the agent; what is left of the session's limits holds as well.
            observe: Called with each event after it is recorded.

        Raises:
            ConfigError: A setting is invalid, or another process has started a turn of this session.
            EndpointError: The server could not be reached before the turn started.
        """
        settings = self._placed(self._settings())
        allowed = tighter(settings.limits if limits is None else limits, limits_left(self.limits, self.usage))
        begin = Start(
            prompt=prompt_of(prompt, images),
            history=self.messages,
            name=None if settings.runs is None else f"{self.name}-{self._number + 1:03d}",
            session=self.name,
            rung=self._turns[-1].rung if self._turns else 0,
        )
        started = self._start(replace(settings, limits=allowed), begin, Watching(observe=observe))
        return await self._take(started, settings, begin.name)

    async def resume(self, *, observe: Observer | None = None) -> Outcome[OutputT]:
        """Resume the last turn, which was interrupted or failed, and return its outcome.

        Raises:
            ConfigError: There is nothing to resume, or no journal.
            EndpointError: The server could not be reached.
        """
        settings = self._settings()
        if settings.runs is None or not self._turns:
            msg = "This session has no turn to resume" + ("" if self._turns else ": it has had none") + "."
            raise ConfigError(f"{msg} A turn can be resumed if the agent has `runs`.")
        last = self._turns.pop()
        try:
            return await self._take(
                self._resume(settings.runs / last.run, Watching(observe=observe)), settings, last.run, is_new=False
            )
        except BaseException:
            if not self._turns or self._turns[-1].run != last.run:
                self._turns.append(last)
            raise

    def fork(self, name: str | None = None, *, turns: int | None = None) -> Session[OutputT]:
        """Return a new session that goes on from this one, or from an earlier turn of it.

        It works in the same folder, or in a copy of it if the agent works in a copy or worktree. Files are as they are
        now, whatever the turn.

        Args:
            name: of the new session. None means one made of the time.
            turns: how many turns it keeps. None means all.

        Raises:
            ConfigError: the session has fewer turns, or there is a session of this name.
        """
        if turns is not None and not 0 <= turns <= len(self._turns):
            msg = f"`turns` is {turns}, but the session {self.name!r} has {len(self._turns)}."
            raise ConfigError(msg, key="turns")
        settings = self._settings()
        new = name or new_name()
        if settings.runs is not None:
            check_run_name(settings.runs, f"{new}-001")
        kept = self._turns[:turns]
        is_own = settings.workspace_mode in {"copy", "worktree"} and bool(self._turns)
        place: tuple[Path, WorkspaceMode] | None = (self._turns[-1].workspace, "copy") if is_own else self._place
        forked = Session(
            new, settings=self._settings, start=self._start, resume=self._resume, limits=self.limits, turns=kept,
            place=place,
        )  # fmt: skip
        forked._number = 0  # its own turns are numbered from 1; those that it keeps are runs of this session
        return forked

    def _placed(self, settings: RunSettings) -> RunSettings:
        if self._place is not None:
            return replace(settings, workspace=self._place[0], workspace_mode=self._place[1])
        if settings.workspace_mode in {"copy", "worktree"} and settings.runs is None:
            msg = f"A session cannot work in a {settings.workspace_mode} that is deleted after a turn. Give `runs`."
            raise ConfigError(msg, key="runs")
        return settings

    async def _take(
        self, turn: Awaitable[Outcome[OutputT]], settings: RunSettings, run: str | None, *, is_new: bool = True
    ) -> Outcome[OutputT]:
        try:
            outcome = await turn
        except asyncio.CancelledError:
            if settings.runs is not None and run is not None and first_event(settings.runs / run) is not None:
                self._add(read_turn(settings.runs / run, settings), is_new=is_new)
            raise
        self._add(
            Turn(
                run=outcome.run, messages=outcome.messages, spent=outcome.usage, rung=outcome.rung,
                workspace=outcome.workspace,
            ),
            is_new=is_new,
        )  # fmt: skip
        return outcome

    def _add(self, turn: Turn, *, is_new: bool) -> None:
        self._turns.append(turn)
        self._number += is_new
        self._place = (turn.workspace, "in_place") if self._settings().workspace is not None else None


def new_name() -> str:
    """Return a name for a session, made of the time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def read_turn(folder: Path, settings: RunSettings) -> Turn:
    """Return a turn from its journal, whether it ended or not.

    Raises:
        ConfigError: the journal cannot be read.
    """
    first, events = read_run(folder)
    state = RunState(first, settings.profile(first.model))
    for event in events[1:]:
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
