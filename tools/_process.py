"""Run a shell command to its end or to its deadline; it and all its children are gone afterwards, whatever happens."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent import Launch, ToolError

HEAD_BYTES = 600_000
TAIL_BYTES = 400_000
# After the command itself has ended, its last words may still be on their way through the pipe.
DRAIN_S = 0.5


class Output:
    """The first and the last bytes of a stream of any length."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._left_out_bytes = 0

    def add(self, data: bytes) -> None:
        """Take in what comes next."""
        room = HEAD_BYTES - len(self._head)
        self._head += data[:room]
        if rest := data[room:]:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
        while self._tail and self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            gone = len(self._tail.popleft())
            self._tail_bytes -= gone
            self._left_out_bytes += gone

    def text(self) -> str:
        """Return what is kept, with a note in place of what is not."""
        head, tail = bytes(self._head), b"".join(self._tail)
        if not self._left_out_bytes:
            return (head + tail).decode("utf-8", "replace")
        middle = f"\n[... {self._left_out_bytes:,} bytes left out ...]\n"
        return head.decode("utf-8", "replace") + middle + tail.decode("utf-8", "replace")


class Process:
    """A program in a session of its own, without input; whoever started it ends it."""

    def __init__(self, process: asyncio.subprocess.Process, read_end: int) -> None:
        self._process = process
        self.output = Output()
        """Takes in both streams as they come; may be replaced by a new one at any time."""
        self._reading = asyncio.create_task(self._read(read_end))

    @classmethod
    async def start(cls, prepared: AbstractContextManager[Launch], *, folder: Path) -> Process:
        """Start a program.

        Args:
            prepared: what `ToolContext.launch` returned.
            folder: where it runs.

        Raises:
            ToolError: it could not be started.
        """
        # A pipe of our own: asyncio's would keep process.wait() waiting for as long as any child holds it open (3.11).
        read_end, write_end = os.pipe()
        try:
            with prepared as launch:
                process = await asyncio.create_subprocess_exec(
                    *launch.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=write_end,
                    cwd=folder,
                    env=dict(launch.env),
                    pass_fds=launch.pass_fds,
                    start_new_session=True,
                )
        except BaseException as error:
            os.close(read_end)
            if not isinstance(error, OSError):
                raise
            long = error.errno == errno.E2BIG
            advice = (
                "Write a script with write_file and run that."
                if long
                else "No command can run now: say so in your answer."
            )
            msg = f"The command could not be started: {error.strerror or error}. {advice}"
            raise ToolError(msg) from error
        finally:
            os.close(write_end)
        return cls(process, read_end)

    async def wait(self, timeout_s: float) -> int | None:
        """Wait for its end and return the exit code, negative for a signal. None: it still runs."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await self._process.wait()
        return None

    def ask_to_end(self) -> None:
        """Send SIGTERM to its process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)

    async def end(self) -> int:
        """Kill it with all its children, read what they still had to say, and return its exit code."""
        kill_session(self._process.pid)
        code = await self._process.wait()
        await asyncio.wait({self._reading}, timeout=DRAIN_S)
        self._reading.cancel()
        return code

    async def _read(self, read_end: int) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
        )
        try:
            while data := await reader.read(65_536):
                self.output.add(data)
        finally:
            transport.close()


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A program that ran to its end, or to its deadline."""

    code: int | None
    """Negative for a signal. None: killed at the deadline."""
    output: str


async def run_to_end(prepared: AbstractContextManager[Launch], *, folder: Path, timeout_s: float) -> Ran:
    """Run a program in a session of its own; it and its children are gone afterwards, also on cancellation.

    Raises:
        ToolError: it could not be started.
    """
    process = await Process.start(prepared, folder=folder)
    code: int | None = None
    try:
        code = await process.wait(timeout_s)
    finally:
        await process.end()
    return Ran(code=code, output=process.output.text())


def python_of(env: Mapping[str, str]) -> str:
    """Return the Python of an environment.

    Raises:
        ToolError: there is none on its PATH.
    """
    found = next(filter(None, (shutil.which(name, path=env.get("PATH")) for name in ("python", "python3"))), None)
    if found is None:
        msg = "There is no `python` on the PATH of this run. Say so in your answer."
        raise ToolError(msg)
    return found


def kill_session(leader: int) -> None:
    """Kill what was started in a session of its own, and its children, those with process groups of their own too.

    Children that are left keep the number taken; with none left it is free, but the system gives a number out again
    only after all the others. A child that made itself a session is not found. Looking for them takes about 15 us for
    each process of the machine (1.0 ms at 67, measured 2026-11-25).
    """
    for pid in _members(leader):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _members(session: int) -> list[int]:
    """Return the processes of a session; none where there is no /proc."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            # proc_pid_stat(5), read 2026-11: behind the name, which may hold anything, stand state,
            # parent, group, session.
            if int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[3]) == session:
                found.append(int(folder.name))
    return found


def ended(code: int) -> str:
    """Word how a program ended: `exit code 3`, or by which signal."""
    return f"exit code {code}" if code >= 0 else f"exit code {128 - code} (killed by {_signal_name(-code)})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
