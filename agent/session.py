"""A conversation of many turns with one agent: history, workspace, ladder position, limits and journals."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from .begin import Start, Watching
from .errors import ConfigError
from .given import check_kind, prompt_of
from .journal.events import Event, RunStarted
from .journal.forks import Fork, kept_turn, write_fork
from .journal.runs import check_run_name, first_event
from .keywords import checked_keywords, unknown_attribute
from .loop.outcome import Outcome
from .loop.watching import Observer
from .messages import Image, Message
from .model.conversation import to_chat
from .old_names import SESSION_ATTRIBUTES, SESSION_ELSEWHERE
from .policy.budget import SharedLimits, Spent
from .policy.limits import NO_LIMITS, Limits
from .run_settings import RunSettings
from .streaming import EventStream
from .turns import NOTHING_SAVED, Place, SavedSession, Turn, read_turn, session_names, turn_of

OutputT = TypeVar("OutputT", default=str)
Starter = Callable[[RunSettings, Start, Watching], Awaitable[Outcome[OutputT]]]
Resumer = Callable[[RunSettings, Path, Watching], Awaitable[Outcome[OutputT]]]


class Session(Generic[OutputT]):
    """A conversation with an agent, made by `agent.session()`; each turn is a run with a journal of its own.

    Each turn continues the conversation in the same folder, on the rung of the ladder where the last turn ended. If a
    turn fails or is cancelled, what it did until then stays in the conversation. With `runs`, every turn and every fork
    is saved: `agent.session(name)` continues the session in another process. One turn runs at a time.
    """

    def __init__(
        self, name: str, *, settings: Callable[[], RunSettings], start: Starter[OutputT], resume: Resumer[OutputT],
        limits: Limits, saved: SavedSession = NOTHING_SAVED,
    ) -> None:  # fmt: skip
        """Create a session. Programs call `agent.session()` instead.

        Args:
            name: Name of the session.
            settings: Returns the settings of the agent's runs.
            start: Starts a run.
            resume: Resumes the run in a folder.
            limits: Limits of all turns together.
            saved: Its earlier turns.
        """
        self.name = name
        self.limits = limits
        self._settings = settings
        self._start = start
        self._resume = resume
        self._turns = list(saved.turns)
        self._kept = tuple(saved.kept)
        self._place = saved.place
        self._is_running = False

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

    @checked_keywords(elsewhere=SESSION_ELSEWHERE)
    async def run(
        self, prompt: str, *, images: Iterable[Image] = (), limits: Limits | None = None,
        observe: Observer | None = None,
    ) -> Outcome[OutputT]:  # fmt: skip
        """Run one turn and return its outcome; a turn that fails is part of the conversation too.

        Args:
            prompt: What to do next.
            images: Images that belong to the prompt.
            limits: Limits of this turn. None means the agent's. It also stays within what is left of the session's.
            observe: Called with each event after it is recorded.

        Raises:
            ConfigError: A setting is invalid, or another turn of this session is running or was started elsewhere.
            EndpointError: The server could not be reached before the turn started.
        """
        return await self._turn(prompt, images, limits, Watching(observe=observe))

    @checked_keywords(elsewhere=SESSION_ELSEWHERE)
    def stream(
        self, prompt: str, *, images: Iterable[Image] = (), limits: Limits | None = None
    ) -> EventStream[OutputT]:
        """Run one turn and return its events and the parts of its replies as they come, like `agent.stream`.

        The arguments are those of `run`. The loop raises what `run` raises. A turn that is cancelled by leaving the
        loop is part of the conversation too.
        """
        return EventStream(lambda watching: self._turn(prompt, images, limits, watching))

    async def _turn(
        self, prompt: str, images: Iterable[Image], limits: Limits | None, watching: Watching
    ) -> Outcome[OutputT]:
        check_kind(limits, (Limits, type(None)), "limits", "Write Limits(steps=...).")
        self._refuse_while_running()
        settings = self._placed(self._settings())
        number = len(self._turns) - len(self._kept) + 1
        begin = Start(
            prompt=prompt_of(prompt, images),
            history=self.messages,
            name=None if settings.runs is None else f"{self.name}-{number:03d}",
            session=self.name,
            rung=self._turns[-1].rung if self._turns else 0,
        )
        if settings.runs is not None and begin.name is not None and (settings.runs / begin.name).exists():
            msg = (
                f"The session {self.name!r} has gone on elsewhere: its turn {begin.name!r} is in {settings.runs} "
                f"already. Continue from there with agent.session({self.name!r}), or from here with session.fork()."
            )
            raise ConfigError(msg)
        seen: list[Event] = []
        if settings.runs is None:
            watching = replace(watching, observe=_keeping(seen, watching.observe))
        settings = replace(settings, limits=settings.limits if limits is None else limits)
        return await self._take(self._start(self._limited(settings), begin, watching), settings, begin.name, seen)

    @checked_keywords()
    async def resume(self, *, observe: Observer | None = None) -> Outcome[OutputT]:
        """Resume the last turn, which was interrupted or failed; the agent's limits apply, within those of the session.

        Raises:
            ConfigError: There is nothing to resume, or no journal.
            EndpointError: The server could not be reached.
        """
        settings = self._settings()
        if not self._turns:
            msg = "This session has no turn to resume: it has had none. Start one with session.run(prompt)."
            raise ConfigError(msg)
        if settings.runs is None:
            msg = (
                "A turn can be resumed only if the agent has `runs`. The conversation holds what the turn did until "
                "it ended: continue with session.run(prompt)."
            )
            raise ConfigError(msg, key="runs")
        self._refuse_while_running()
        if len(self._turns) == len(self._kept):
            msg = (
                f"The last turn of this session, {self._turns[-1].run!r}, is one of the session that it was forked "
                "from. Continue after it with session.run(prompt)."
            )
            raise ConfigError(msg)
        last = self._turns.pop()
        try:
            resumed = self._resume(self._limited(settings), settings.runs / last.run, Watching(observe=observe))
            return await self._take(resumed, settings, last.run, [])
        except BaseException:
            if not self._turns or self._turns[-1].run != last.run:
                self._turns.append(last)
            raise

    @checked_keywords()
    def fork(self, name: str | None = None, *, turns: int | None = None) -> Session[OutputT]:
        """Return a new session that continues from this one, or from an earlier turn of it.

        It works in the same folder, or in a copy of it if the agent works in a copy or worktree. Files are not
        restored: they are as the last turn left them. With `runs`, it is saved at once.

        Args:
            name: Name of the new session. None means one made from the time.
            turns: How many turns it keeps. None means all.

        Raises:
            ConfigError: The name is not allowed or is in use, the session has fewer turns, or the fork cannot be saved.
        """
        if turns is not None and not 0 <= turns <= len(self._turns):
            msg = f"`turns` is {turns}, but the session {self.name!r} has {len(self._turns)}."
            raise ConfigError(msg, key="turns")
        settings = self._settings()
        new = session_name(name)
        if settings.runs is not None:
            check_run_name(None, f"{new}-001")
            if new in session_names(settings.runs) or (settings.runs / f"{new}-001").exists():
                msg = (
                    f"There is a session named {new!r} in {settings.runs} already. Choose another name, or "
                    f"continue that one: agent.session({new!r})."
                )
                raise ConfigError(msg, key="name")
        kept = [*self._kept, *(kept_turn(settings.runs, turn.run) for turn in self._turns[len(self._kept) :])][:turns]
        is_own = settings.workspace_mode in {"copy", "worktree"} and bool(self._turns)
        place: Place = (self._turns[-1].workspace, "copy") if is_own else self._place
        if settings.runs is not None:
            workspace = None if place is None else str(place[0])
            at = datetime.now(UTC).isoformat(timespec="seconds")
            fork = Fork(session=new, at=at, kept=tuple(kept), workspace=workspace, is_copied=is_own)
            write_fork(settings.runs, fork)
        return Session(
            new, settings=self._settings, start=self._start, resume=self._resume, limits=self.limits,
            saved=SavedSession(turns=self._turns[:turns], kept=kept, place=place),
        )  # fmt: skip

    if not TYPE_CHECKING:  # a type checker would accept every name

        def __getattr__(self, name: str) -> object:
            raise unknown_attribute(self, name, SESSION_ATTRIBUTES)

    def _placed(self, settings: RunSettings) -> RunSettings:
        if self._place is not None:
            return replace(settings, workspace=self._place[0], workspace_mode=self._place[1])
        if settings.workspace_mode in {"copy", "worktree"} and settings.runs is None:
            msg = f"A session cannot work in a {settings.workspace_mode} that is deleted after a turn. Give `runs`."
            raise ConfigError(msg, key="runs")
        return settings

    async def _take(
        self, turn: Awaitable[Outcome[OutputT]], settings: RunSettings, run: str | None, seen: Sequence[Event]
    ) -> Outcome[OutputT]:  # fmt: skip
        self._is_running = True
        try:
            outcome = await turn
        except asyncio.CancelledError:
            if settings.runs is not None and run is not None and first_event(settings.runs / run) is not None:
                self._add(read_turn(settings.runs / run, settings))
            elif seen and isinstance(seen[0], RunStarted):
                self._add(turn_of(seen[0], seen[1:], settings))
            raise
        finally:
            self._is_running = False
        self._add(
            Turn(
                run=outcome.run, messages=outcome.messages, spent=outcome.usage, rung=outcome.rung,
                workspace=outcome.workspace,
            )
        )  # fmt: skip
        return outcome

    def _refuse_while_running(self) -> None:
        if self._is_running:
            msg = (
                f"A turn of the session {self.name!r} is running. Wait until it has ended, or fork the session before: "
                "session.fork()."
            )
            raise ConfigError(msg)

    def _limited(self, settings: RunSettings) -> RunSettings:
        """Return the settings of a turn that stays within what the other turns left of the session's limits."""
        if self.limits == NO_LIMITS:
            return settings
        shared = SharedLimits(of="session", name=self.name, limits=self.limits, spent=self.usage)
        return replace(settings, shared_limits=(shared,))

    def _add(self, turn: Turn) -> None:
        self._turns.append(turn)
        settings = self._settings()
        has_folder = settings.workspace is not None or settings.workspace_mode in {"copy", "worktree"}
        self._place = (turn.workspace, "in_place") if has_folder else None


def session_name(given: str | None) -> str:
    """Return the name of a session. None means one made from the time.

    Raises:
        ConfigError: the name is not allowed; each turn is a run in a folder of this name and a number.
    """
    if given is None:
        return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    check_kind(given, str, "name", "Give a text.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,89}", given):
        msg = f"The session cannot be named {given!r}. Use 1 to 90 letters, digits, dots, dashes and underscores."
        raise ConfigError(msg, key="name")
    return given


def _keeping(seen: list[Event], observe: Observer | None) -> Observer:
    """Return an observer that also keeps the events, for a session that has no journal."""

    def keep(event: Event) -> object:
        seen.append(event)
        return None if observe is None else observe(event)

    return keep
