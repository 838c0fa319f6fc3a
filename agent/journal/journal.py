"""Write and read the journal, a JSON Lines file of a run's events with a checksum on each line."""

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
    """Return one event as JSON, without checksum or newline."""
    return _adapter().dump_json(event)


class JournalWriteError(OSError):
    """Raised when an event cannot be written, such as on a full disk; the run must not continue."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.path = path
        super().__init__(
            f"Cannot write the journal {path}: {error.strerror}. It holds everything done so far. Free disk space, "
            "then resume the run."
        )


class Journal:
    """Appends events to a run's file.

    `write` returns once the kernel has the line, so a killed process loses at most the line it was writing. `sync`
    makes lines survive a power failure too (4 ms measured); call it before every side effect.
    """

    def __init__(self, folder: Path) -> None:
        """Open or create the file, and remove a partial last line left by a killed process.

        Raises:
            ConfigError: Another process writes to the journal, or the folder is not writable.
        """
        self.path = folder / JOURNAL_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            msg = f"Cannot write the journal {self.path}: {error.strerror}. Set AGENT_RUNS_DIR to a writable folder."
            raise ConfigError(msg) from error
        self._io_lock = threading.Lock()
        self._lock()
        self._size_bytes = self._truncate_partial_line()

    def write(self, event: Event) -> None:
        """Append one event, completely or not at all.

        Raises:
            JournalWriteError: The disk is full, or the file cannot be written.
        """
        line = _line(event)
        try:
            # On a nearly full disk a write may be partial without an error.
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            os.truncate(self._file.fileno(), self._size_bytes)
            raise JournalWriteError(self.path, error) from error
        self._size_bytes += len(line)

    def sync(self) -> None:
        """Flush everything written to the disk.

        Raises:
            JournalWriteError: The disk failed.
        """
        try:
            with self._io_lock:
                if not self._file.closed:  # a sync in a thread may run after its caller was cancelled
                    os.fdatasync(self._file.fileno())
        except OSError as error:
            raise JournalWriteError(self.path, error) from error

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        # Wait for a sync in another thread: until it returns, the kernel would keep the file open and locked.
        with self._io_lock:
            self._file.close()

    def _lock(self) -> None:
        # Two processes resuming one run would do everything twice. The kernel releases the lock when a process dies.
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            msg = f"Run {self.path.parent.name!r} is running in another process. Wait for it to end, or stop it first."
            raise ConfigError(msg) from error

    def _truncate_partial_line(self) -> int:
        data = self.path.read_bytes()
        size_bytes = data.rfind(b"\n") + 1
        if size_bytes != len(data):
            os.truncate(self._file.fileno(), size_bytes)
        return size_bytes


def read_journal(path: Path) -> tuple[Event, ...]:
    """Return the events of a journal, in order. A partial last line is ignored.

    Raises:
        ConfigError: The file cannot be read, or a complete line is not a valid event.
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
            reason = _reason(error)
            msg = f"The journal is damaged here ({reason}). `agent show` and `--resume` need every line intact."
            raise ConfigError(msg, path=path, line=number) from error


# A flipped bit inside a string is still valid JSON, so each line starts with a CRC-32 of the rest of the line.
_CHECKSUM = b'{"crc":"%08x",'
_CHECKSUM_BYTES = len(_CHECKSUM % 0)


def _line(event: Event) -> bytes:
    line = event_json(event)
    return _CHECKSUM % zlib.crc32(line) + line[1:] + b"\n"


def read_event(line: bytes) -> Event:
    """Parse one line, without its newline.

    Raises:
        ValueError: The checksum does not match, or the line is not an event.
    """
    bare = b"{" + line[_CHECKSUM_BYTES:]
    if line[:_CHECKSUM_BYTES] != _CHECKSUM % zlib.crc32(bare):
        msg = "checksum mismatch"
        raise ValueError(msg)
    return _adapter().validate_json(bare)


def _reason(error: ValueError) -> str:
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
