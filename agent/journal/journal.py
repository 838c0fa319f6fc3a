"""The run's file of events: one JSON line each, on disk before its effect is acted on; read back for a resume."""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..errors import ConfigError
from .events import Event

JOURNAL_NAME = "journal.jsonl"


@cache
def _adapter() -> TypeAdapter[Event]:
    return TypeAdapter(Event)


def event_json(event: Event) -> bytes:
    """Return one event as the line that stands for it, without its end."""
    return _adapter().dump_json(event)


class JournalLost(OSError):
    """Raised when an event cannot be kept, such as on a full disk; the run must not go on."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.path = path
        super().__init__(
            f"The journal {path} cannot be written: {error.strerror}. What was done so far is in it; make room, then "
            "resume the run."
        )


class Journal:
    """Appends events to a run's file.

    A line is handed to the kernel before `write` returns, so a killed process loses at most the line in the making;
    `sync` makes it survive a power cut too (4 ms measured), and is called before every effect on the world.
    """

    def __init__(self, folder: Path) -> None:
        """Open or make the file, and cut off half a line that a killed process left.

        Raises:
            ConfigError: another process writes to it, or the folder cannot be written.
        """
        self.path = folder / JOURNAL_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            msg = f"Cannot write the journal {self.path}: {error.strerror}. Set AGENT_RUNS_DIR to a folder that can be."
            raise ConfigError(msg) from error
        self._busy = threading.Lock()
        self._lock()
        self._size_bytes = self._cut_torn_line()

    def write(self, event: Event) -> None:
        """Append one event, whole or not at all.

        Raises:
            JournalLost: the disk is full, or the file cannot be written.
        """
        line = _line(event)
        try:
            # A disk that is nearly full takes a part of the line, without an error.
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            os.truncate(self._file.fileno(), self._size_bytes)
            raise JournalLost(self.path, error) from error
        self._size_bytes += len(line)

    def sync(self) -> None:
        """Wait until everything written is on the disk.

        Raises:
            JournalLost: the disk has failed.
        """
        try:
            with self._busy:
                if not self._file.closed:  # a sync whose call was cancelled may come too late
                    os.fdatasync(self._file.fileno())
        except OSError as error:
            raise JournalLost(self.path, error) from error

    def close(self) -> None:
        """Close; closing twice is harmless."""
        # While a sync is under way in another thread the kernel would keep the file, and its lock, behind our back.
        with self._busy:
            self._file.close()

    def _lock(self) -> None:
        # Two processes that go on with one run would do everything twice. The kernel lets go when a process dies.
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            msg = f"The run {self.path.parent.name!r} is under way in another process. Wait for it, or stop it first."
            raise ConfigError(msg) from error

    def _cut_torn_line(self) -> int:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.truncate(self._file.fileno(), whole)
        return whole


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
            yield read_event(line)
        except ValueError as error:
            msg = f"The journal is damaged here ({_reason(error)}). `agent show` and `--resume` need every line whole."
            raise ConfigError(msg, path=path, line=number) from error


# A flipped bit in a text is still JSON, so each line begins with a checksum of itself without it.
_CHECKSUM = b'{"crc":"%08x",'
_CHECKSUM_BYTES = len(_CHECKSUM % 0)


def _line(event: Event) -> bytes:
    line = event_json(event)
    return _CHECKSUM % zlib.crc32(line) + line[1:] + b"\n"


def read_event(line: bytes) -> Event:
    """Read one line.

    Raises:
        ValueError: it is not as it was written.
    """
    bare = b"{" + line[_CHECKSUM_BYTES:]
    if line[:_CHECKSUM_BYTES] != _CHECKSUM % zlib.crc32(bare):
        msg = "its checksum is wrong"
        raise ValueError(msg)
    return _adapter().validate_json(bare)


def _reason(error: ValueError) -> str:
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
