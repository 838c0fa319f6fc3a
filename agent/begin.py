"""What a run begins with, and who watches it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from .errors import ConfigError

if TYPE_CHECKING:
    from .loop.watching import Observer
    from .messages import Message, UserMessage
    from .model.deltas import Delta


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a run begins with, besides its settings."""

    prompt: UserMessage
    history: Sequence[Message] = ()
    """The conversation that the run continues, with its system message or without."""
    name: str | None = None
    """Of the run. None means one made of the time."""
    session: str = ""
    """The session that it is a turn of, by name. Empty if it is of none."""
    branch_of: str = ""
    """The run that it is a branch of, by name. Empty if it is of none."""
    rung: int = 0
    """Rung of the ladder that it begins on."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Who watches a run."""

    observe: Observer | None = None
    """Called with each event after it is recorded."""
    deltas: Callable[[Delta], None] | None = None
    """Called with each part of a reply as it arrives."""

    def __post_init__(self) -> None:
        if self.observe is not None and not callable(self.observe):
            found = cast("object", self.observe)
            msg = f"`observe` is {found!r}, of type {type(found).__name__}. Give a function that takes an event."
            raise ConfigError(msg, key="observe")


NOBODY = Watching()
