"""Keep the one record of the server that runs here; decides nothing about whether to use it.

The file is `<state dir>/server.json`, the state dir being `$XDG_STATE_HOME/tramontane` or `~/.local/state/tramontane`.
Who wants to know the server may read the file without this package. Its content, version 1:

    {"version": 1, "base_url": "http://127.0.0.1:PORT/v1", "model": "pocket", "engine": "vllm", "pid": 4711,
     "start_ticks": 123456, "started_at": "2026-11-23T16:00:00+00:00", "log": "/…/vllm-PORT.log",
     "max_model_len": 8192}

`pid` leads the engine's process group. `start_ticks` is field 22 of /proc/PID/stat when the record was written (0 where
there is no /proc): if that process is gone, or shows another number, the record is stale and to be ignored.
The file is replaced as a whole, so that a reader never meets half of it.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from .places import state_dir
from .process_group import ProcessId, is_alive, stop_group

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """Which server runs here."""

    base_url: str
    """The root of the OpenAI-compatible endpoints, ends in /v1."""
    model: str
    """What requests call the model."""
    engine: Literal["vllm"]
    """Whose process it is."""
    pid: int
    """The leader of the engine's process group."""
    start_ticks: int
    """When that process started, clock ticks since boot; 0: unknown."""
    started_at: str
    """When it was ready, ISO 8601 with its offset from UTC."""
    log: str
    """The file with all that the engine said."""
    max_model_len: int
    """Tokens of prompt and answer together."""


def record_path(state: Path) -> Path:
    """Name the record's file below a state dir."""
    return state / "server.json"


def write_record(record: ServerRecord, state: Path) -> None:
    """Replace the record's file as a whole; the folder is made if need be."""
    path = record_path(state)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}")
    half.write_text(json.dumps({"version": _VERSION, **asdict(record)}, indent=1) + "\n", encoding="utf-8")
    half.replace(path)


def read_record(state: Path) -> ServerRecord | None:
    """Read the record, whether or not its server still runs; None: no record that this version understands."""
    try:
        found: Any = json.loads(record_path(state).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    values = cast("dict[str, Any]", found)
    if values.pop("version", None) != _VERSION:
        return None
    try:
        return ServerRecord(**values)
    except TypeError:
        return None


def current_server(state: Path | None = None) -> ServerRecord | None:
    """Find the server that was left running here; None: there is none, or its process has ended.

    Args:
        state: the folder of the record. None: this user's.
    """
    record = read_record(state or state_dir())
    return record if record is not None and is_alive(_process(record)) else None


def stop_server(record: ServerRecord, state: Path | None = None) -> bool:
    """End the server of a record, and remove its log and the record.

    A process that only got the same number is left alone, and the log of a server that died by itself stays.

    Args:
        record: what `current_server` or `Engine.start` gave.
        state: the folder of the record. None: this user's.

    Returns:
        Whether it still ran.
    """
    ran = stop_group(_process(record))
    if ran:
        Path(record.log).unlink(missing_ok=True)
    forget_record(record, state or state_dir())
    return ran


def forget_record(record: ServerRecord, state: Path) -> None:
    """Remove the record's file if it is about this server."""
    if read_record(state) == record:
        with contextlib.suppress(FileNotFoundError):
            record_path(state).unlink()


def _process(record: ServerRecord) -> ProcessId:
    return ProcessId(pid=record.pid, start_ticks=record.start_ticks)
