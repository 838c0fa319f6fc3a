"""Describe how to start one engine, as data that can be sent to another process; starts nothing."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ..capacity.sizing import EngineName
from ..directories import writing_to
from ..engines.command import EngineCommand
from ..key_file import read_key
from .marks import mark_environment, new_mark

LOGS_KEPT = 10
"""Engine logs kept in the state folder; each start removes older ones."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One engine to start."""

    engine: EngineName
    command: tuple[str, ...]
    """The program and its arguments."""
    environment: Mapping[str, str]
    """Variables set in addition to the inherited ones; no secrets."""
    secrets: Mapping[str, Path]
    """Variables whose values are read from files at each start."""
    folder: Path
    """The working directory."""
    logs: Path
    """The folder in which each start creates a file with the engine's whole output."""
    base_url: str
    """Ends in /v1."""
    health_url: str
    """Returns 200 as soon as the server listens."""
    model: str
    """The model's name in requests."""
    mark: str
    """Set in the environment of all the engine's processes."""
    api_key_file: Path | None
    """The file with the API key. None means requests need no key."""

    def new_log(self) -> Path:
        """Create the log for a new start and remove the oldest logs.

        Raises:
            EngineError: the folder is not writable.
        """
        log = self.logs / f"{self.engine}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.log"
        with writing_to(self.folder):
            self.logs.mkdir(parents=True, exist_ok=True)
            for old in sorted(self.logs.glob("*.log"), key=lambda log: log.stat().st_mtime)[: -LOGS_KEPT + 1]:
                old.unlink(missing_ok=True)
            log.touch()
        return log

    def variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Build the whole environment of the process.

        Args:
            inherited: the environment of the process that starts it.

        Raises:
            EngineError: a secret's file cannot be used.
        """
        # A PYTHONPATH set for the user's project would shadow the engine's modules.
        own = {name: value for name, value in inherited.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        secrets = {name: read_key(file) for name, file in self.secrets.items()}
        return own | dict(self.environment) | secrets | mark_environment(self.mark)

    def to_json(self) -> str:
        """Serialize for another process."""
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def from_json(text: str) -> "Launch":
        """Parse the output of `to_json`."""
        values = cast("dict[str, Any]", json.loads(text))
        key = values.pop("api_key_file")
        return Launch(
            command=tuple(values.pop("command")),
            secrets={name: Path(file) for name, file in values.pop("secrets").items()},
            folder=Path(values.pop("folder")),
            logs=Path(values.pop("logs")),
            api_key_file=None if key is None else Path(key),
            **values,
        )


def launch_of(command: EngineCommand, *, python: Path, state: Path) -> Launch:
    """Build the launch of an engine's command on this machine.

    Args:
        command: what to start.
        python: an interpreter with the engine installed.
        state: the folder of the logs and the record.
    """
    secrets = {item.name: item.secret_file for item in command.environment if item.secret_file is not None}
    return Launch(
        engine=command.engine,
        # Absolute because it starts in another folder. Not resolved: the target of a virtual environment's symlink
        # lacks the environment's packages.
        command=(str(python.absolute()), *command.module, *command.arguments),
        environment={item.name: item.value for item in command.environment if item.secret_file is None},
        secrets=secrets,
        folder=state,
        logs=state / "logs",
        base_url=command.base_url,
        health_url=command.health_url,
        model=command.model,
        mark=new_mark(),
        api_key_file=next(iter(secrets.values()), None),
    )
