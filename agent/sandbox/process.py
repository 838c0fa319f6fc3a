"""Run a command in its own session and kill that whole session at its end; the command gets no input."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import Launch

_GRACE_S = 1.0
"""How long to wait for a killed process to end; one that waits for a dead disk never ends."""
_DRAIN_S = 0.5
"""How long to wait for the rest of the output after the end; a child that left the session holds the pipe open."""
_MAX_PASSES = 20
LEFT_OUT = re.compile(r"^\[\.\.\. ([\d,]+) bytes left out \.\.\.\]$", re.MULTILINE)
"""The default note of `Output` where it was cut; the group is the number of bytes."""
_leaders: set[int] = set()
"""Processes that were started and are not killed yet, each the leader of its session."""
_kills: list[Callable[[], None]] = []
"""Kill what other modules have started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        exit_code: Negative for a signal. None means it was killed at the deadline.
        output: Standard output and error in order of arrival, the middle cut out if it is long.
        elapsed_s: Seconds from the start to the end or the deadline.
    """

    exit_code: int | None
    output: str
    elapsed_s: float

    @property
    def timed_out(self) -> bool:
        """True if it was killed at the deadline."""
        return self.exit_code is None


@dataclass(kw_only=True, slots=True)
class Output:
    """The first and the last bytes of a stream of any length."""

    head_bytes: int = 600_000
    tail_bytes: int = 400_000
    note: str = "[... {:,} bytes left out ...]"
    """Replaces the bytes between head and tail; formatted with their number."""
    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)
    _seen_bytes: int = 0

    def add(self, data: bytes) -> None:
        """Append the next bytes of the stream."""
        self._seen_bytes += len(data)
        room = self.head_bytes - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        # Cut at twice the size, not at every call: each byte is then moved about once.
        if len(self._tail) > 2 * self.tail_bytes:
            del self._tail[: len(self._tail) - self.tail_bytes]

    def take(self) -> str:
        """Return what was added since the last call, and discard it."""
        head, tail = bytes(self._head), bytes(self._tail[max(0, len(self._tail) - self.tail_bytes) :])
        cut_bytes = self._seen_bytes - len(head) - len(tail)
        self._head, self._tail, self._seen_bytes = bytearray(), bytearray(), 0
        if not cut_bytes:
            return (head + tail).decode(errors="replace")
        return f"{head.decode(errors='replace')}\n{self.note.format(cut_bytes)}\n{tail.decode(errors='replace')}"


class Process:
    """A running program, as returned by `ToolContext.start`; end it with `kill` or `finish`, or it outlives the run."""

    def __init__(self, process: asyncio.subprocess.Process, read_end: int, output: Output) -> None:
        self._process = process
        self._read_end = read_end
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self._drained = asyncio.Event()
        self._killed = False
        _leaders.add(process.pid)
        os.set_blocking(read_end, False)
        self._loop.add_reader(read_end, self._read)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def take_output(self) -> str:
        """Return the output since the last call: both streams in order of arrival, the middle cut out if it is long."""
        return self._output.take()

    async def wait(self, timeout_s: float) -> int | None:
        """Wait until it ends and return the exit code, negative for a signal. None means that it is still running."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await self._process.wait()
        return None

    def terminate(self) -> None:
        """Send SIGTERM to its process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)

    async def kill(self) -> int:
        """Kill it and everything it started, read the rest of its output, and return the exit code; see `kill_session`.

        Call it also for a program that ended by itself: its background processes may still run.
        """
        if not self._killed:
            self._killed = True
            kill_session(self._process.pid)
            _leaders.discard(self._process.pid)
        try:
            code = await self.wait(_GRACE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await self._drained.wait()
        finally:
            self._close()
        return -signal.SIGKILL if code is None else code

    async def finish(self, timeout_s: float) -> CommandResult:
        """Wait until it ends or `timeout_s` has passed, then kill what is left of it; also on cancellation."""
        try:
            code = await self.wait(timeout_s)
            elapsed_s = self._loop.time() - self._start_s
        finally:
            await self.kill()
        return CommandResult(exit_code=code, output=self.take_output(), elapsed_s=elapsed_s)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._read_end, 65_536)
            self._output.add(data)
            if not data:
                self._close()

    def _close(self) -> None:
        if not self._drained.is_set():
            self._drained.set()
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)


async def start_process(launch: Launch, *, folder: Path, output: Output) -> Process:
    """Start a prepared command; on cancellation, nothing of it is left.

    Args:
        launch: as prepared by `Sandbox.launch`, whose context must still be open.
        folder: absolute path of the folder that it runs in.
        output: collects its output.

    Raises:
        OSError: it could not be started.
        ValueError: an argument contains a NUL character.
    """
    starting = asyncio.create_task(_start(launch, folder=folder, output=output))
    try:
        await asyncio.wait({starting})
    except asyncio.CancelledError:
        # If asyncio cancels the start, it kills only the command, not what the command has started meanwhile.
        with suppress(OSError, ValueError):
            await (await starting).kill()
        raise
    return starting.result()


def kill_session(leader: int) -> None:
    """Kill a process that was started in its own session, and its children, with all their process groups.

    While children are left, the leader's ID stays in use; with none left it is free, but the system reuses an ID only
    after all the others. A child that started its own session is not found. Without /proc, only the leader's own group
    is killed. Reading /proc takes about 15 us for each process of the machine (1.0 ms at 67, measured 2026-11-25); it
    is read again only if another group was found.
    """
    killed: set[int] = set()
    found = {leader}
    # A group can appear while /proc is read. A killed group cannot create more: fork fails on a pending SIGKILL.
    for _ in range(_MAX_PASSES):
        for group in found:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        killed |= found
        found = _groups(leader) - killed
        if not found:
            return


def at_forced_end(kill: Callable[[], None]) -> Callable[[], None]:
    """Record what kills processes that `ToolContext.start` did not start, if the program ends without any clean-up.

    The command line does so at a second SIGTERM, or if a run does not end within 8 s; `kill` is called in any thread.

    Returns:
        A function that takes the record back; call it once the processes are killed.
    """
    _kills.append(kill)

    def forget() -> None:
        with suppress(ValueError):
            _kills.remove(kill)

    return forget


def kill_all_sessions() -> None:
    """Kill every process that still runs, for a program that ends without any other clean-up."""
    for leader in list(_leaders):
        kill_session(leader)
    for kill in list(_kills):
        with suppress(Exception):  # the others are still to be killed
            kill()


async def _start(launch: Launch, *, folder: Path, output: Output) -> Process:
    # Not asyncio's pipe: with it, wait() would not return while any child holds the pipe open (3.11).
    read_end, write_end = os.pipe()
    try:
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
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return Process(process, read_end, output)


def _groups(session: int) -> set[int]:
    """Return the process groups of a session. Empty if there is no /proc."""
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            # proc_pid_stat(5), read 2026-11: the name, which may contain anything, is followed by state, parent,
            # group, session.
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:
                found.add(int(fields[2]))
    return found
