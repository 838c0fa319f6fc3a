"""Run `agent serve status`, `stop` and `logs` on the recorded server; starts none."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving import ServerRecord

NO_SERVER = "No server is recorded on this machine. Start one: agent serve, or without a GPU: agent serve pocket"
_LOAD_S = 5.0
_FOLLOW_S = 0.5


def status() -> int:
    """Print which server is recorded and its state; return 0 if it is ready for requests."""
    from serving.running.record import find_orphans, is_present, read_record

    record = read_record()
    if record is None:
        print(NO_SERVER)
        return 1
    present = is_present(record)
    print(headline(record))
    for line in filter(None, (_detail(record), _load(record) if present else "", _restarts(record))):
        print(f"  {line}")
    orphans = find_orphans(record)
    if orphans:
        pids = ", ".join(str(process.pid) for process in orphans)
        print(f"  still running: processes {pids} of its engine. Stop them: agent serve stop")
    log = f"log {record.log}" if record.log else "no log yet"
    print(f"  {_processes(record)}{log}" if present else f"  {log}")
    return 0 if present and record.state == "ready" else 1


def stop() -> int:
    """Stop the recorded server and all its processes."""
    from serving.running.record import read_record, stop_server

    record = read_record()
    if record is None:
        print(NO_SERVER)
        return 0
    ran = stop_server(record)
    print(f"Stopped {record.model} at {record.base_url}." if ran else f"{record.model} was not running any more.")
    return 0


def logs(*, lines: int, follow: bool) -> int:
    """Print the last lines of the recorded server's log; with `follow`, also new lines until the server ends."""
    from serving.running.record import is_present, read_record

    record = read_record()
    if record is None:
        print(NO_SERVER, file=sys.stderr)
        return 1
    reader = _LogReader(record.log)
    for text in deque(reader.new_lines(record.log), maxlen=max(lines, 0)):
        print(text, end="", flush=True)
    present = follow
    while present:
        threading.Event().wait(_FOLLOW_S)  # A file cannot be waited for.
        record = read_record() or record
        present = is_present(record)  # Checked before reading, so that the last lines are printed too.
        for text in reader.new_lines(record.log):
            print(text, end="", flush=True)
    return 0


class LoadLine:
    """Describes the recorded server's load in one line; queries the server at most every five seconds."""

    def __init__(self) -> None:
        self._queried_s = -_LOAD_S
        self._line = ""

    def __call__(self) -> str:
        """Return the line; empty if no server is recorded."""
        if time.monotonic() - self._queried_s >= _LOAD_S:
            from serving import current_server

            record = current_server()
            load = "" if record is None else _load(record) or "reports no load"
            self._line = "" if record is None else f"{record.model} at {record.base_url}: {load}"
            self._queried_s = time.monotonic()
        return self._line


class _LogReader:
    """Reads a server's log, and later the lines added to it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._at = 0

    def new_lines(self, file: str) -> Iterator[str]:
        """Yield the rest of the log, then all of `file` if a restart has changed the log to it."""
        yield from self._added()
        if file != self._file:
            self._file, self._at = file, 0
            yield from self._added()

    def _added(self) -> Iterator[str]:
        if not Path(self._file).is_file():  # A starting engine has no log yet, and old logs are removed.
            return
        with Path(self._file).open(encoding="utf-8", errors="replace") as log:
            log.seek(self._at)
            yield from log
            self._at = log.tell()


def headline(record: ServerRecord) -> str:
    """Describe the recorded server and its state in one line."""
    from serving.running.record import is_present

    state = (
        record.state if is_present(record) or record.state == "failed" else "not running, and neither is its supervisor"
    )
    since = f" since {_since(record.started_at)}" if record.started_at and state == "ready" else ""
    return f"{record.model} at {record.base_url}: {state}{since}"


def _since(started_at: str) -> str:
    started = datetime.fromisoformat(started_at)
    minutes, seconds = divmod(int((datetime.now(UTC) - started).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{started.astimezone():%Y-%m-%d %H:%M:%S} ({hours}:{minutes:02}:{seconds:02})"


def _detail(record: ServerRecord) -> str:
    return f"now: {record.detail}" if record.detail and record.state in ("starting", "restarting") else record.detail


def _restarts(record: ServerRecord) -> str:
    return f"restarts: {record.restarts}; cause of the last: {record.last_death}" if record.restarts else ""


def _processes(record: ServerRecord) -> str:
    engine = f"process {record.pid}" if record.pid else "no process"
    return f"{engine}, supervisor {record.supervisor_pid}, " if record.supervisor_pid else f"{engine}, "


def _load(record: ServerRecord) -> str:
    """Query the server's metrics and describe its load; empty if it does not report any."""
    from .engine_metrics import read_metrics

    metrics = read_metrics(record.base_url)
    if metrics is None or metrics.running is None:
        return ""
    usage = "" if metrics.kv_usage is None else f", KV cache {metrics.kv_usage:.0%} used"
    return f"{metrics.running} requests running, {metrics.waiting or 0} waiting{usage}"
