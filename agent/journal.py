"""The run's file of events: one JSON line each, on disk before its effect is acted on; read back for a resume."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from .errors import ConfigError
from .events import Event, RunEnded, RunStarted

JOURNAL_NAME = "journal.jsonl"


@cache
def _adapter() -> TypeAdapter[Event]:
    return TypeAdapter(Event)


def event_json(event: Event) -> bytes:
    """Return one event as the line that stands for it, without its end."""
    return _adapter().dump_json(event)


class Journal:
    """Appends events to a run's file.

    A line is handed to the kernel before `write` returns, so a killed process loses at most the line in the making;
    `sync` makes it survive a power cut too (4 ms measured), and is called before every effect on the world.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / JOURNAL_NAME
        self._cut_torn_line()
        self._file = self.path.open("ab", buffering=0)

    def write(self, event: Event) -> None:
        """Append one event.

        Raises:
            OSError: the disk is full or the file cannot be written; the run must not go on.
        """
        self._file.write(event_json(event) + b"\n")

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Sync and close; closing twice is harmless."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def _cut_torn_line(self) -> None:
        """A process that was killed while writing leaves half a line: it is cut off, so that the next one is whole."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.truncate(self.path, whole)


def read_journal(path: Path) -> tuple[Event, ...]:
    """Return the events of a journal, in order; half a line at the end is left out.

    Raises:
        ConfigError: there is no such file, or a whole line of it is not an event.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"Cannot read the journal {path}: {error.strerror}."
        raise ConfigError(msg) from error
    return tuple(_events(path, data))


def _events(path: Path, data: bytes) -> Iterator[Event]:
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            yield _adapter().validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            msg = f"The journal is damaged here ({reason}). `agent show` and `--resume` need every line whole."
            raise ConfigError(msg, path=path, line=number) from error


def runs_folder(environ: Mapping[str, str]) -> Path:
    """Return where runs are kept: $AGENT_RUNS_DIR, else tramontane/runs in the user's state folder.

    Not in the workspace: what the model may edit cannot be evidence about the model.
    """
    if environ.get("AGENT_RUNS_DIR"):
        return Path(environ["AGENT_RUNS_DIR"])
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local" / "state")
    return Path(state) / "tramontane" / "runs"


def find_run(runs: Path, name: str) -> Path:
    """Return the folder of a run, by its full name, a beginning that only one has, or `last`.

    Raises:
        ConfigError: no run, or more than one, fits.
    """
    known = list_runs(runs)
    if name == "last" and known:
        return known[-1]
    fitting = [folder for folder in known if folder.name == name] or [
        folder for folder in known if folder.name.startswith(name)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        msg = f"No run {name!r} in {runs}. `agent runs` lists them."
        raise ConfigError(msg)
    names = ", ".join(folder.name for folder in fitting[:5])
    msg = f"{name!r} fits more than one run: {names}. Give more of the name."
    raise ConfigError(msg)


def list_runs(runs: Path) -> list[Path]:
    """Return the folders that hold a journal, oldest first."""
    folders = [path.parent for path in runs.glob(f"*/{JOURNAL_NAME}")]
    return sorted(folders, key=lambda folder: ((folder / JOURNAL_NAME).stat().st_mtime, folder.name))


def started(events: tuple[Event, ...], path: Path) -> RunStarted:
    """Return the first event of a journal.

    Raises:
        ConfigError: the run was killed before it was written, so there is nothing to go on with.
    """
    if events and isinstance(events[0], RunStarted):
        return events[0]
    msg = f"The journal {path} holds no start of a run. Start the task anew."
    raise ConfigError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLine:
    """A run in one line."""

    run: str
    status: str
    """The outcome, `unfinished` if the journal has no end, or `damaged`."""
    task: str
    model: str


def summarize(folder: Path) -> RunLine:
    """Return a run in one line; never raises for a journal that can be opened."""
    with (folder / JOURNAL_NAME).open("rb") as file:
        head = file.readline()
        *_, tail = file.readlines() or [head]
    try:
        first, last = _adapter().validate_json(head), _adapter().validate_json(tail)
    except ValidationError:
        return RunLine(run=folder.name, status="damaged", task="", model="")
    if not isinstance(first, RunStarted):
        return RunLine(run=folder.name, status="damaged", task="", model="")
    status = last.status if isinstance(last, RunEnded) else "unfinished"
    return RunLine(run=first.run, status=status, task=str(first.task.get("name", "")), model=first.model)
