"""Read and write the record of the one server that runs here; does not decide whether to use it.

The file is `<state dir>/server.json`; the state dir is `$XDG_STATE_HOME/tramontane` or `~/.local/state/tramontane`.
Other programs may read the file without this package. Its content, version 1:

    {"version": 1, "base_url": "http://127.0.0.1:PORT/v1", "model": "pocket", "engine": "vllm", "pid": 4711,
     "start_ticks": 123456, "started_at": "2026-11-23T16:00:00+00:00", "log": "/…/vllm-PORT-….log",
     "max_model_len": 8192, "supervisor_pid": 4700, "supervisor_start_ticks": 123400, "mark": "…", "state": "ready",
     "detail": "", "restarts": 0, "last_death": "", "api_key_file": ""}

Keys may be added; a reader ignores those it does not know. `pid` is the leader of the engine's process group, and
`supervisor_pid` is the process that restarts it when it dies. `start_ticks` is field 22 of /proc/PID/stat when the
record was written (0 on a system without /proc): if the process now has another value, the PID was reused. The server
exists as long as one of the two processes lives. `mark` is in the environment of all the engine's processes (marks.py).
The file is replaced atomically, so a reader never sees a partial record.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from ..atomic import write_atomically
from ..capacity.sizing import EngineName
from ..directories import state_dir, writing_to
from ..errors import EngineError
from .marks import end_marked, find_marked
from .process_group import ProcessId, is_alive, stop_group, stop_owner

ServerState = Literal["starting", "ready", "restarting", "failed"]
"""`restarting`: it died, and its supervisor is waiting or starting it again. `failed`: it is not restarted."""

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """The server that runs here, and its state."""

    base_url: str
    """The root of the OpenAI-compatible endpoints; ends in /v1."""
    model: str
    """The model's name in requests."""
    engine: EngineName
    pid: int
    """The leader of the engine's process group. 0 means there is none at the moment."""
    start_ticks: int
    """Start time of that process in clock ticks since boot; 0 means unknown."""
    started_at: str
    """When it last became ready, ISO 8601 with UTC offset. Empty means it has not been ready yet."""
    log: str
    """The file with the engine's whole output since its last start."""
    max_model_len: int
    """The most tokens of prompt and answer together; 0 if the server does not report it."""
    supervisor_pid: int = 0
    """The supervisor's process. 0 means there is no supervisor."""
    supervisor_start_ticks: int = 0
    """Like `start_ticks`, for the supervisor."""
    mark: str = ""
    """Set in the environment of all the engine's processes. Empty means there is no mark."""
    state: ServerState = "ready"
    detail: str = ""
    """What it is doing while it starts, or why it failed; one or more lines to show. Empty means it is ready."""
    restarts: int = 0
    """Number of restarts."""
    last_death: str = ""
    """Cause of the last restart; one sentence."""
    api_key_file: str = ""
    """The file with the API key. Empty means requests need no key."""


def record_path(state: Path) -> Path:
    """Return the path of the record in a state folder."""
    return state / "server.json"


def write_record(record: ServerRecord, state: Path) -> None:
    """Replace the record atomically; create missing folders.

    Raises:
        EngineError: the folder is not writable.
    """
    text = json.dumps({"version": _VERSION, **asdict(record)}, indent=1)
    with writing_to(state):
        write_atomically(record_path(state), text + "\n")


def read_record(state: Path | None = None) -> ServerRecord | None:
    """Read the record, whether or not its server still runs; None if there is no record that this version can read.

    Args:
        state: the folder of the record. None means this user's.
    """
    try:
        found: Any = json.loads(record_path(state or state_dir()).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    values = cast("dict[str, Any]", found)
    if values.get("version") != _VERSION:
        return None
    known = {field.name for field in fields(ServerRecord)}
    try:
        record = ServerRecord(**{name: value for name, value in values.items() if name in known})
    except TypeError:
        return None
    return record if _is_valid(record) else None


def _is_valid(record: ServerRecord) -> bool:
    """Check each value's type and range: the file may have been edited by hand."""
    numbers = ("pid", "start_ticks", "max_model_len", "supervisor_pid", "supervisor_start_ticks", "restarts")
    if not all(type(value) is (int if name in numbers else str) for name, value in asdict(record).items()):
        return False
    try:
        started = datetime.fromisoformat(record.started_at) if record.started_at else None
    except ValueError:
        return False
    has_zone = started is None or started.tzinfo is not None
    return has_zone and record.state in get_args(ServerState) and record.engine in get_args(EngineName)


def current_server(state: Path | None = None) -> ServerRecord | None:
    """Find the server that runs here; None if none is recorded or neither its process nor its supervisor lives.

    Args:
        state: the folder of the record. None means this user's.
    """
    record = read_record(state)
    return record if record is not None and is_present(record) else None


def is_present(record: ServerRecord) -> bool:
    """Return whether the server runs or is about to be restarted."""
    return record.state != "failed" and (is_alive(_leader(record)) or is_alive(_supervisor(record)))


def find_orphans(record: ServerRecord) -> tuple[ProcessId, ...]:
    """Return the engine's processes that outlived both their leader and their supervisor."""
    return () if is_present(record) or not record.mark else find_marked(record.mark)


def stop_server(record: ServerRecord, state: Path | None = None) -> bool:
    """Stop a recorded server, all its processes and its supervisor, and remove the record.

    A process that merely reuses a recorded PID is not touched. The log stays.

    Args:
        record: from `current_server` or `read_record`.
        state: the folder of the record. None means this user's.

    Returns:
        Whether any of its processes was still running.

    Raises:
        EngineError: it belongs to another user, so this user may not stop it. The record stays.
    """
    for process in (_supervisor(record), _leader(record)):
        if is_alive(process) and not _may_signal(process):
            raise EngineError(
                f"Cannot stop {record.model} at {record.base_url}: process {process.pid} belongs to another user.",
                cause="",
                do="Ask that user to run: agent serve stop.",
            )
    # Stop the supervisor first, or it would restart the engine. On SIGTERM it stops its engine, then exits.
    ran = record.supervisor_pid not in (0, os.getpid()) and stop_owner(_supervisor(record))
    ran = stop_group(_leader(record)) or ran
    if record.mark:
        ran = end_marked(record.mark) > 0 or ran
    forget_record(record, state or state_dir())
    return ran


def forget_record(record: ServerRecord, state: Path) -> None:
    """Remove the record's file if it describes this server."""
    found = read_record(state)
    # Other values change during the server's life; its mark does not.
    if found is not None and (found.mark or found.pid) == (record.mark or record.pid):
        with contextlib.suppress(FileNotFoundError):
            record_path(state).unlink()


def _may_signal(process: ProcessId) -> bool:
    try:
        os.kill(process.pid, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    return True


def _leader(record: ServerRecord) -> ProcessId:
    return ProcessId(pid=record.pid, start_ticks=record.start_ticks)


def _supervisor(record: ServerRecord) -> ProcessId:
    return ProcessId(pid=record.supervisor_pid, start_ticks=record.supervisor_start_ticks)
