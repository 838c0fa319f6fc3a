"""Keep the one record of the server that runs here; decides nothing about whether to use it.

The file is `<state dir>/server.json`, the state dir being `$XDG_STATE_HOME/tramontane` or `~/.local/state/tramontane`.
Who wants to know the server may read the file without this package. Its content, version 1:

    {"version": 1, "base_url": "http://127.0.0.1:PORT/v1", "model": "pocket", "engine": "vllm", "pid": 4711,
     "start_ticks": 123456, "started_at": "2026-11-23T16:00:00+00:00", "log": "/…/vllm-PORT-….log",
     "max_model_len": 8192, "supervisor_pid": 4700, "supervisor_start_ticks": 123400, "mark": "…", "state": "ready",
     "detail": "", "restarts": 0, "last_death": "", "api_key_file": ""}

Keys may be added; a reader leaves out those it does not know. `pid` leads the engine's process group, and
`supervisor_pid` is who starts it again when it dies. `start_ticks` is field 22 of /proc/PID/stat when the record was
written (0 where there is no /proc): if that process is gone, or shows another number, it is another process. The server
is there as long as one of the two lives. `mark` stands in the environment of all the engine's processes (marks.py).
The file is replaced as a whole, so that a reader never meets half of it.
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
from .marks import end_marked, marked
from .process_group import ProcessId, is_alive, stop_group, stop_owner

ServerState = Literal["starting", "ready", "restarting", "failed"]
"""`restarting`: it died and its supervisor waits or starts it again. `failed`: it is not started again."""

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """Which server runs here, and how it is."""

    base_url: str
    """The root of the OpenAI-compatible endpoints, ends in /v1."""
    model: str
    """What requests call the model."""
    engine: EngineName
    """Whose process it is."""
    pid: int
    """The leader of the engine's process group. 0: there is none at the moment."""
    start_ticks: int
    """When that process started, clock ticks since boot; 0: unknown."""
    started_at: str
    """When it became ready last, ISO 8601 with its offset from UTC. Empty: it has not been yet."""
    log: str
    """The file with all that the engine said since its last start."""
    max_model_len: int
    """Tokens of prompt and answer together, as the server says; 0: it does not."""
    supervisor_pid: int = 0
    """Who watches over it. 0: nobody."""
    supervisor_start_ticks: int = 0
    """As `start_ticks`, of the supervisor."""
    mark: str = ""
    """What all processes of the engine have in their environment. Empty: nothing."""
    state: ServerState = "ready"
    detail: str = ""
    """What it is doing while it starts, or why it failed; one or more lines for people. Empty: it is ready."""
    restarts: int = 0
    """How often it was started again."""
    last_death: str = ""
    """Why, the last time; one sentence."""
    api_key_file: str = ""
    """The file that holds the key which requests need. Empty: none is needed."""


def record_path(state: Path) -> Path:
    """Name the record's file below a state dir."""
    return state / "server.json"


def write_record(record: ServerRecord, state: Path) -> None:
    """Replace the record's file as a whole; the folder is made if need be.

    Raises:
        EngineError: the folder cannot be written.
    """
    text = json.dumps({"version": _VERSION, **asdict(record)}, indent=1)
    with writing_to(state):
        write_atomically(record_path(state), text + "\n")


def read_record(state: Path | None = None) -> ServerRecord | None:
    """Read the record, whether or not its server still runs; None: no record that this version understands.

    Args:
        state: the folder of the record. None: this user's.
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
    return record if _is_sound(record) else None


def _is_sound(record: ServerRecord) -> bool:
    """Tell whether each value is of its kind: the file may have been written by hand."""
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
    """Find the server that runs here; None: there is none, or neither its process nor its supervisor lives.

    Args:
        state: the folder of the record. None: this user's.
    """
    record = read_record(state)
    return record if record is not None and is_there(record) else None


def is_there(record: ServerRecord) -> bool:
    """Tell whether the server lives, or is about to be started again."""
    return record.state != "failed" and (is_alive(_leader(record)) or is_alive(_supervisor(record)))


def find_orphans(record: ServerRecord) -> tuple[ProcessId, ...]:
    """List the processes of a server's engine that outlived both their leader and their supervisor."""
    return () if is_there(record) or not record.mark else marked(record.mark)


def stop_server(record: ServerRecord, state: Path | None = None) -> bool:
    """End the server of a record with all its processes and its supervisor, and remove the record.

    A process that only got the same number is left alone. The log stays.

    Args:
        record: what `current_server` or `read_record` gave.
        state: the folder of the record. None: this user's.

    Returns:
        Whether anything of it still ran.

    Raises:
        EngineError: it belongs to another user, who alone may end it. The record stays.
    """
    for process in (_supervisor(record), _leader(record)):
        if is_alive(process) and not _may_be_ended(process):
            raise EngineError(
                f"Cannot stop {record.model} at {record.base_url}: process {process.pid} is another user's.",
                cause="",
                do="Let that user end it: agent serve stop.",
            )
    # The supervisor first: it would start the engine again. Asked to end, it ends its engine, and then itself.
    ran = record.supervisor_pid not in (0, os.getpid()) and stop_owner(_supervisor(record))
    ran = stop_group(_leader(record)) or ran
    if record.mark:
        ran = end_marked(record.mark) > 0 or ran
    forget_record(record, state or state_dir())
    return ran


def forget_record(record: ServerRecord, state: Path) -> None:
    """Remove the record's file if it is about this server."""
    found = read_record(state)
    # What the record says of a server changes as it lives; its mark does not.
    if found is not None and (found.mark or found.pid) == (record.mark or record.pid):
        with contextlib.suppress(FileNotFoundError):
            record_path(state).unlink()


def _may_be_ended(process: ProcessId) -> bool:
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
