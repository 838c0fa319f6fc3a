"""All that is needed to start one engine, as data that can be handed to another process; starts nothing."""

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
"""Engines' logs that are kept below the state dir; older ones are removed at a start."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One engine to start."""

    engine: EngineName
    command: tuple[str, ...]
    """The program and its arguments."""
    environment: Mapping[str, str]
    """Variables that are set in addition to our own; no secrets."""
    secrets: Mapping[str, Path]
    """Variables whose value is read from a file at the start."""
    folder: Path
    """Where the process stands."""
    logs: Path
    """The folder that receives a file with all that the engine says, at each start."""
    base_url: str
    """Ends in /v1."""
    health_url: str
    """Answers 200 as soon as the server listens."""
    model: str
    """What requests call the model."""
    mark: str
    """What all of its processes have in their environment."""
    api_key_file: Path | None
    """The file with the key that requests need. None: they need none."""

    def new_log(self) -> Path:
        """Make the log of a start that begins now, and remove the oldest logs.

        Raises:
            EngineError: the folder cannot be written.
        """
        log = self.logs / f"{self.engine}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.log"
        with writing_to(self.folder):
            self.logs.mkdir(parents=True, exist_ok=True)
            for old in sorted(self.logs.glob("*.log"), key=lambda log: log.stat().st_mtime)[: -LOGS_KEPT + 1]:
                old.unlink(missing_ok=True)
            log.touch()
        return log

    def variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Put together all variables of the process.

        Args:
            inherited: those of whoever starts it.

        Raises:
            EngineError: a secret's file cannot be used.
        """
        # A PYTHONPATH of the user's project would put its modules before the engine's.
        own = {name: value for name, value in inherited.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        secrets = {name: read_key(file) for name, file in self.secrets.items()}
        return own | dict(self.environment) | secrets | mark_environment(self.mark)

    def to_json(self) -> str:
        """Write it down for another process."""
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def from_json(text: str) -> "Launch":
        """Read what `to_json` wrote."""
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
    """Say how an engine's command is started on this machine.

    Args:
        command: what to start.
        python: an interpreter that has the engine.
        state: the folder of logs and record.
    """
    secrets = {item.name: item.secret_file for item in command.environment if item.secret_file is not None}
    return Launch(
        engine=command.engine,
        # It starts in another folder. Not resolved: what a link in an environment leads to lacks its packages.
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
