"""Write and read the journal, a JSON Lines file of a run's events with a chain of checksums."""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from ..errors import ConfigError
from .events import Event
from .owner import forget_owner, record_owner, running_message

JOURNAL_NAME = "journal.jsonl"
# `agent runs` looks whether a run is running by taking a shared lock for an instant.
_LOCK_TRIES = 20
_LOCK_WAIT_S = 0.01


@cache
def _adapter() -> TypeAdapter[Event]:
    return TypeAdapter(Event)


def event_json(event: Event) -> bytes:
    """Return one event as JSON, without checksum or newline."""
    try:
        return _adapter().dump_json(event)
    except PydanticSerializationError:
        # A path that is not UTF-8 holds lone surrogates, which only escapes in ASCII can represent.
        return json.dumps(_adapter().dump_python(event), separators=(",", ":")).encode("ascii")


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

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Open the file, lock it, and remove a partial last line left by a killed process.

        Args:
            folder: Folder of the run.
            create: Create the folder and the file if they are missing; if False, that is an error.

        Raises:
            ConfigError: Another process writes to the journal, it does not exist, or the folder is not writable.
        """
        self.path = folder / JOURNAL_NAME
        if not create and not self.path.exists():
            msg = f"Cannot read the journal {self.path}: No such file or directory."
            raise ConfigError(msg)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            advice = "Choose a writable folder for `runs` (AGENT_RUNS_DIR)."
            msg = f"Cannot write the journal {self.path}: {error.strerror}. {advice}"
            raise ConfigError(msg) from error
        self._io_lock = threading.Lock()
        self._lock()
        record_owner(folder)
        self._size_bytes, self._last_crc = self._truncate_partial_line()
        self._synced_bytes = -1

    def write(self, event: Event) -> None:
        """Append one event, completely or not at all.

        Raises:
            JournalWriteError: The disk is full, or the file cannot be written.
        """
        line, crc = _line(event, self._last_crc)
        try:
            # On a nearly full disk a write may be partial without an error.
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            os.truncate(self._file.fileno(), self._size_bytes)
            raise JournalWriteError(self.path, error) from error
        self._size_bytes += len(line)
        self._last_crc = crc

    def sync(self) -> None:
        """Flush everything written to the disk.

        Raises:
            JournalWriteError: The disk failed.
        """
        try:
            with self._io_lock:
                size_bytes = self._size_bytes
                # A sync in a thread may run after its caller was cancelled.
                if not self._file.closed and self._synced_bytes != size_bytes:
                    os.fdatasync(self._file.fileno())
                    self._synced_bytes = size_bytes
        except OSError as error:
            raise JournalWriteError(self.path, error) from error

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        # Wait for a sync in another thread: until it returns, the kernel would keep the file open and locked.
        with self._io_lock:
            if not self._file.closed:
                forget_owner(self.path.parent)
            self._file.close()

    def _lock(self) -> None:
        # Two processes resuming one run would do everything twice. The kernel releases the lock when a process dies.
        for tries_left in reversed(range(_LOCK_TRIES)):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if tries_left:
                    threading.Event().wait(_LOCK_WAIT_S)
                    continue
                self._file.close()
                raise ConfigError(running_message(self.path.parent)) from error
            return

    def _truncate_partial_line(self) -> tuple[int, bytes]:
        """Return the size of the complete lines in bytes, and the checksum of the last of them."""
        data = self.path.read_bytes()
        size_bytes = data.rfind(b"\n") + 1
        if size_bytes != len(data):
            os.truncate(self._file.fileno(), size_bytes)
        last = data[:size_bytes].rstrip(b"\n").rpartition(b"\n")[2]
        return size_bytes, _checksum(last) if last else _NO_LINE


def read_journal(path: Path) -> tuple[Event, ...]:
    """Return the events of a journal, in order. A partial last line is ignored.

    Raises:
        ConfigError: The file cannot be read, a complete line is not a valid event, or a line was taken out.
    """
    return tuple(_events(path, _read(path)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"Cannot read the journal {path}: {error.strerror}."
        raise ConfigError(msg) from error


def _events(path: Path, data: bytes) -> Iterator[Event]:
    previous = _NO_LINE
    is_chained = False
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            event = read_event(line)
            is_chained = _follows(line, previous, must=is_chained)
        except ValueError as error:
            reason = _reason(error)
            msg = f"The journal is damaged here ({reason}). Showing and resuming the run need every line intact."
            raise ConfigError(msg, path=path, line=number) from error
        previous = _checksum(line)
        yield event


def _follows(line: bytes, previous: bytes, *, must: bool) -> bool:
    """Return whether a line has a link to the line before it, after checking that link.

    Args:
        line: A line of the journal.
        previous: The checksum of the line before it.
        must: Whether it must have a link: a journal of an older version, resumed by this one, begins without any.

    Raises:
        ValueError: The link is missing or names another line.
    """
    found = _CHAINED.match(line)
    if (found is None and must) or (found is not None and found[1] != previous):
        msg = "it does not follow the line before it: lines were removed, added or moved"
        raise ValueError(msg)
    return found is not None


# A flipped bit inside a string is still valid JSON, so each line starts with a CRC-32 of the rest of the line. `after`
# is the checksum of the line before it: without it, a line that was taken out is not missed.
_CHECKSUM = b'{"crc":"%s",'
_CHECKSUM_BYTES = len(_CHECKSUM % b"00000000")
_CHAINED = re.compile(rb'\{"crc":"[0-9a-f]{8}","after":"([0-9a-f]{8})",')
_NO_LINE = b"00000000"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _line(event: Event, after: bytes) -> tuple[bytes, bytes]:
    """Return the line of an event, and its checksum."""
    bare = b'{"after":"%s",' % after + event_json(event)[1:]
    crc = b"%08x" % zlib.crc32(bare)
    return _CHECKSUM % crc + bare[1:] + b"\n", crc


def _checksum(line: bytes) -> bytes:
    """Return the checksum that a line starts with, unchecked."""
    return line[len(b'{"crc":"') :][:8]


def read_event(line: bytes) -> Event:
    """Parse one line, without its newline and without checking what it follows.

    Raises:
        ValueError: The checksum does not match, or the line is not an event.
    """
    bare = b"{" + line[_CHECKSUM_BYTES:]
    if line[:_CHECKSUM_BYTES] != _CHECKSUM % (b"%08x" % zlib.crc32(bare)):
        msg = "checksum mismatch"
        raise ValueError(msg)
    found = _CHAINED.match(line)
    return _event(bare if found is None else b"{" + line[found.end() :])


def _event(text: bytes) -> Event:
    try:
        return _adapter().validate_json(text)
    except ValidationError:
        if _SURROGATE.search(text) is None:
            raise
        return _adapter().validate_python(json.loads(text))  # pydantic's parser refuses lone surrogates


def _reason(error: ValueError) -> str:
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
