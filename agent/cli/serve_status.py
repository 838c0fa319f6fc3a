"""What `agent serve status`, `stop` and `logs` do: look after the recorded server; starts none."""

from __future__ import annotations

import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving import ServerRecord

NONE = "No server is recorded on this machine. Start one: agent serve, or without a GPU: agent serve pocket"
_LIVE_S = 5.0
_METRICS_S = 2.0
_FOLLOW_S = 0.5


def status() -> int:
    """Say which server runs and how it is; returns 0 if it can be asked."""
    from serving.running.record import find_orphans, is_there, read_record

    record = read_record()
    if record is None:
        print(NONE)
        return 1
    there = is_there(record)
    print(headline(record))
    for line in filter(None, (_doing(record), _live(record) if there else "", _restarts(record))):
        print(f"  {line}")
    left = find_orphans(record)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        print(f"  still running: processes {pids} of its engine. End them: agent serve stop")
    log = f"log {record.log}" if record.log else "no log yet"
    print(f"  {_processes(record)}{log}" if there else f"  {log}")
    return 0 if there and record.state == "ready" else 1


def stop() -> int:
    """End the recorded server with all that it started."""
    from serving.running.record import read_record, stop_server

    record = read_record()
    if record is None:
        print(NONE)
        return 0
    ran = stop_server(record)
    print(f"Stopped {record.model} at {record.base_url}." if ran else f"{record.model} had ended already.")
    return 0


def logs(*, lines: int, follow: bool) -> int:
    """Print the last lines of the recorded server's log, and those to come."""
    from serving.running.record import is_there, read_record

    record = read_record()
    if record is None:
        print(NONE, file=sys.stderr)
        return 1
    read = _Follower(record.log)
    for text in deque(read.new(record.log), maxlen=max(lines, 0)):
        print(text, end="", flush=True)
    there = follow
    while there:
        threading.Event().wait(_FOLLOW_S)  # A file cannot be waited for.
        record = read_record() or record
        there = is_there(record)  # Before the log is read: what it says last belongs to it.
        for text in read.new(record.log):
            print(text, end="", flush=True)
    return 0


class Live:
    """Says in one line how the recorded server is doing, asking it no more than every five seconds."""

    def __init__(self) -> None:
        self._asked_s = -_LIVE_S
        self._said = ""

    def __call__(self) -> str:
        """Say it; empty: it does not tell."""
        if time.monotonic() - self._asked_s >= _LIVE_S:
            from serving import current_server

            record = current_server()
            self._said = "" if record is None else f"{record.model} at {record.base_url}: {_live(record)}"
            self._asked_s = time.monotonic()
        return self._said


class _Follower:
    """Reads a server's log, and later what was added to it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._at = 0

    def new(self, file: str) -> Iterator[str]:
        """Read the rest of the log, and the whole of `file` if the server has another one after a restart."""
        yield from self._added()
        if file != self._file:
            self._file, self._at = file, 0
            yield from self._added()

    def _added(self) -> Iterator[str]:
        if not Path(self._file).is_file():  # An engine that is about to start has none, and old ones are removed.
            return
        with Path(self._file).open(encoding="utf-8", errors="replace") as log:
            log.seek(self._at)
            yield from log
            self._at = log.tell()


def headline(record: ServerRecord) -> str:
    """Say in one line which server is recorded, and whether it is there."""
    from serving.running.record import is_there

    there = is_there(record)
    state = record.state if there or record.state == "failed" else "gone, with whoever watched over it"
    since = f" since {_since(record.started_at)}" if record.started_at and state == "ready" else ""
    return f"{record.model} at {record.base_url}: {state}{since}"


def _since(started_at: str) -> str:
    started = datetime.fromisoformat(started_at)
    minutes, seconds = divmod(int((datetime.now(UTC) - started).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{started.astimezone():%Y-%m-%d %H:%M:%S} ({hours}:{minutes:02}:{seconds:02})"


def _doing(record: ServerRecord) -> str:
    return f"now: {record.detail}" if record.state in ("starting", "restarting") else record.detail


def _restarts(record: ServerRecord) -> str:
    return f"restarts: {record.restarts}; the last because: {record.last_death}" if record.restarts else ""


def _processes(record: ServerRecord) -> str:
    engine = f"process {record.pid}" if record.pid else "no process"
    return f"{engine} watched over by {record.supervisor_pid}, " if record.supervisor_pid else f"{engine}, "


def _live(record: ServerRecord) -> str:
    """Ask the server how it is doing; empty: it does not tell."""
    from serving.metrics import parse_metrics

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # No proxy reaches this machine's loopback.
    try:
        with opener.open(f"{record.base_url.removesuffix('/v1')}/metrics", timeout=_METRICS_S) as reply:
            metrics = parse_metrics(reply.read().decode(errors="replace"))
    except (OSError, HTTPException, ValueError):
        return ""
    if metrics.running is None:
        return ""
    usage = "" if metrics.kv_usage is None else f", KV cache {metrics.kv_usage:.0%} used"
    return f"{metrics.running} requests running, {metrics.waiting or 0} waiting{usage}"
