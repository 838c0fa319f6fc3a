"""Find the runs on this machine by their journals: their folders, how each began, and one line about each."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .events import Event, RunEnded, RunStarted
from .journal import JOURNAL_NAME, read_event, read_journal


def runs_folder(environ: Mapping[str, str]) -> Path:
    """Return where runs are kept: $AGENT_RUNS_DIR, else tramontane/runs in the user's state folder.

    Not in the workspace: what the model may edit cannot be evidence about the model.
    """
    if environ.get("AGENT_RUNS_DIR"):
        return Path(environ["AGENT_RUNS_DIR"])
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local" / "state")
    return Path(state) / "tramontane" / "runs"


@contextmanager
def run_folder(runs: Path | None, name: str) -> Generator[Path]:
    """Give a run's own folder, which may not exist yet.

    Args:
        runs: folder of all runs. None: no journal is kept; the folder is a temporary one, since copies need a place.
        name: of the run.
    """
    if runs is not None:
        yield runs / name
        return
    with tempfile.TemporaryDirectory(prefix="tramontane-") as folder:
        yield Path(folder)


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


def first_event(folder: Path) -> RunStarted | None:
    """Return the first event of a run, reading only the first line of its journal. None if it cannot be read."""
    try:
        with (folder / JOURNAL_NAME).open("rb") as file:
            first = read_event(file.readline().rstrip(b"\n"))
    except (OSError, ValueError):
        return None
    return first if isinstance(first, RunStarted) else None


def read_run(folder: Path) -> tuple[RunStarted, tuple[Event, ...]]:
    """Return the first event of a run and all of its events, from its folder.

    Raises:
        ConfigError: there is no journal, it is damaged, or the run was killed before its start was written.
    """
    path = folder / JOURNAL_NAME
    events = read_journal(path)
    if events and isinstance(events[0], RunStarted):
        return events[0], events
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
    # Half a line at the end is what a killed process leaves, no damage.
    lines = (folder / JOURNAL_NAME).read_bytes().split(b"\n")[:-1] or [b""]
    try:
        first, last = read_event(lines[0]), read_event(lines[-1])
    except ValueError:
        return RunLine(run=folder.name, status="damaged", task="", model="")
    if not isinstance(first, RunStarted):
        return RunLine(run=folder.name, status="damaged", task="", model="")
    status = last.status if isinstance(last, RunEnded) else "unfinished"
    return RunLine(run=first.run, status=status, task=str(first.task.get("name", "")), model=first.model)
