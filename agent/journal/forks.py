"""Record forked sessions beside the runs: which turns of other sessions each begins with, and where it works."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..errors import ConfigError
from .journal import JOURNAL_NAME

_FOLDER = ".forks"
"""In the folder of all runs. No run can have this name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTurn:
    """A turn of another session that a fork begins with."""

    run: str
    events: int
    """How many events its journal had then: if it is resumed later, the fork does not change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fork:
    """How a forked session begins."""

    session: str
    at: str
    """Date and time, ISO 8601, UTC."""
    kept: tuple[KeptTurn, ...]
    """Oldest first."""
    workspace: str | None
    """The folder for its first turn. None means the agent's."""
    is_copied: bool
    """Whether its first turn works in a copy of that folder."""


def kept_turn(runs: Path | None, run: str) -> KeptTurn:
    """Return a turn as it is now. `runs`: None means that there are no journals."""
    events = 0 if runs is None else (runs / run / JOURNAL_NAME).read_bytes().count(b"\n")
    return KeptTurn(run=run, events=events)


def write_fork(runs: Path, fork: Fork) -> None:
    """Record a forked session.

    Raises:
        ConfigError: there is a fork of this name, or it cannot be written.
    """
    path = _path(runs, fork.session)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb", buffering=0) as file:
            file.write(_adapter().dump_json(fork))
    except OSError as error:
        advice = "Choose another name, free disk space, or make the folder writable."
        msg = f"Cannot save the fork as {path}: {error.strerror}. {advice}"
        raise ConfigError(msg) from error


def read_fork(runs: Path, session: str) -> Fork | None:
    """Return how a session was forked. None if it was not.

    Raises:
        ConfigError: the record cannot be read.
    """
    path = _path(runs, session)
    try:
        return _adapter().validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
        msg = f"Cannot read {path}, which says how the session {session!r} begins: {reason}."
        raise ConfigError(msg) from error


def all_forks(runs: Path) -> list[Fork]:
    """Return the forked sessions in a folder of runs whose records can be read, in any order."""
    found: list[Fork | None] = []
    for path in (runs / _FOLDER).glob("*.json"):
        with suppress(ConfigError):
            found.append(read_fork(runs, path.stem))
    return [fork for fork in found if fork is not None]


def _path(runs: Path, session: str) -> Path:
    return runs / _FOLDER / f"{session}.json"


def _adapter() -> TypeAdapter[Fork]:
    return TypeAdapter(Fork)
