"""Find the runs on this machine by their journals, and read their first events and summaries."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ConfigError
from ..policy.budget import Spent
from ..sandbox import private_folder
from .events import Event, Replied, Requested, Resumed, RunEnded, RunStarted
from .journal import JOURNAL_NAME, read_event, read_journal
from .owner import running_message

# The first two fields of RunStarted, before prompts that would take long to read.
_STARTED_AT = re.compile(rb'\{"crc":"[0-9a-f]{8}",(?:"after":"[0-9a-f]{8}",)?"run":"[^"]*","at":"([^"]*)"')
_HEAD_BYTES = 400


def runs_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of all runs: $AGENT_RUNS_DIR, or tramontane/runs in the user's state folder.

    `agent runs`, `show`, `diff` and `undo` look there. It is not in the workspace, because the model must not be able
    to edit the record of its own run.

    Args:
        environ: None means os.environ.
    """
    environ = os.environ if environ is None else environ
    if environ.get("AGENT_RUNS_DIR"):
        return Path(environ["AGENT_RUNS_DIR"])
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local" / "state")
    return Path(state) / "tramontane" / "runs"


@contextmanager
def run_folder(runs: Path | None, name: str) -> Generator[Path]:
    """Yield the folder of one run, which may not exist yet.

    Args:
        runs: Folder of all runs. None means no journal is written; a temporary folder then holds workspace copies.
        name: Name of the run.
    """
    if runs is not None:
        yield runs / name
        return
    with private_folder() as folder:  # commands may nest its folders deeper than tempfile can remove
        yield folder


def check_run_name(runs: Path | None, name: str) -> None:
    """Check that a new run can have this name.

    Raises:
        ConfigError: it is no name for a folder, or there is a run of this name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name) or name == "last":
        msg = f"The run cannot be named {name!r}. Use 1 to 100 letters, digits, dots, dashes and underscores."
        raise ConfigError(msg, key="name")
    if runs is not None and (runs / name).exists():
        msg = f"There is a run named {name!r} in {runs} already. Choose another name, or resume it."
        raise ConfigError(msg, key="name")


def run_place(runs: Path, given: str | Path) -> Path:
    """Return the folder of a run that is given by its folder, or by its name in the folder of all runs."""
    return Path(given) if Path(given).exists() else runs / given


def find_run(runs: Path, name: str) -> Path:
    """Return the folder of a run, given its full name, a unique prefix of it, or `last`; of a branch, its full name.

    Raises:
        ConfigError: No run matches, or more than one does.
    """
    folders = list_runs(runs)
    if name == "last" and folders:
        return folders[-1]
    matches = [folder for folder in folders if folder.name == name] or [
        folder for folder in folders if folder.name.startswith(name)
    ]
    matches = matches or [path.parent for path in runs.glob(f"*/branches/*/{JOURNAL_NAME}") if path.parent.name == name]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        msg = f"No run {name!r} in {runs}. List the runs with `agent runs`."
        raise ConfigError(msg)
    names = ", ".join(folder.name for folder in matches[:5])
    msg = f"{name!r} matches more than one run: {names}. Give more characters of the name."
    raise ConfigError(msg)


def list_runs(runs: Path) -> list[Path]:
    """Return the run folders that hold a journal, by the start that their journals name, oldest first.

    The time of the file says less: copying a journal changes it, and so does resuming an old run.
    """
    return sorted((path.parent for path in runs.glob(f"*/{JOURNAL_NAME}")), key=_age)


def _age(folder: Path) -> tuple[str, float, str]:
    """Return a key that sorts runs by their start; runs of the same second by the time of the file."""
    path = folder / JOURNAL_NAME
    with path.open("rb") as file:
        found = _STARTED_AT.match(file.read(_HEAD_BYTES))
    return found[1].decode() if found else "", path.stat().st_mtime, folder.name


def first_event(folder: Path) -> RunStarted | None:
    """Return the first event of a run, reading only the first line of its journal. None if it cannot be read."""
    try:
        with (folder / JOURNAL_NAME).open("rb") as file:
            first = read_event(file.readline().rstrip(b"\n"))
    except (OSError, ValueError):
        return None
    return first if isinstance(first, RunStarted) else None


def read_run(folder: Path) -> tuple[RunStarted, tuple[Event, ...]]:
    """Return the first event of a run, and all its events including the first.

    Raises:
        ConfigError: There is no journal, it is damaged, or the run was killed before its first event was written.
    """
    path = folder / JOURNAL_NAME
    events = read_journal(path)
    if events and isinstance(events[0], RunStarted):
        return events[0], events
    msg = f"The journal {path} does not begin with the start of a run. Run the task again."
    raise ConfigError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """One run, as `agent runs` lists it."""

    run: str
    status: str
    """The outcome; `running`; `unfinished` if no process runs it and its last event is not an end; or `damaged`."""
    at: str = ""
    """Date and time of the start, ISO 8601, UTC."""
    task: str = ""
    model: str = ""
    spent: Spent = field(default_factory=Spent)
    """Until the end, or until the last event of a run that has none; `tool_calls` only at the end."""


def summarize(folder: Path) -> RunSummary:
    """Return the summary of a run. Never raises if the journal can be opened."""
    # A partial last line is left by a killed process; it is not damage.
    lines = (folder / JOURNAL_NAME).read_bytes().split(b"\n")[:-1] or [b""]
    try:
        first, last = read_event(lines[0]), read_event(lines[-1])
        spent = last.spent if isinstance(last, RunEnded) else _spent_so_far(lines)
    except ValueError:
        return RunSummary(run=folder.name, status="damaged")
    if not isinstance(first, RunStarted):
        return RunSummary(run=folder.name, status="damaged")
    status = last.status if isinstance(last, RunEnded) else "running" if is_running(folder) else "unfinished"
    task = str(first.task.get("name", ""))
    return RunSummary(run=first.run, status=status, at=first.at, task=task, model=first.model, spent=spent)


def is_running(folder: Path) -> bool:
    """Return whether a process writes to the run's journal now."""
    with (folder / JOURNAL_NAME).open("rb") as file:
        try:
            # A shared lock, so that two of these checks never take each other for the run.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def refuse_running(folder: Path) -> None:
    """Check that no process writes to the run's journal now.

    Raises:
        ConfigError: One does. The message names it.
    """
    if is_running(folder):
        raise ConfigError(running_message(folder))


def _spent_so_far(lines: Sequence[bytes]) -> Spent:
    spent = Spent()
    for line in lines:
        # Validating every event of a long journal would take seconds. A quote inside a text is escaped.
        if not line.endswith((b'"kind":"requested"}', b'"kind":"replied"}', b'"kind":"resumed"}')):
            continue
        match read_event(line):
            case Replied(reply=reply, elapsed_s=elapsed_s):
                spent = spent.after_reply(reply.usage)
                spent = replace(spent, wall_s=spent.wall_s + elapsed_s)
            case Requested(wall_s=wall_s) | Resumed(wall_s=wall_s):
                spent = replace(spent, wall_s=wall_s)
            case _:
                pass
    return spent
