"""Start, watch and stop the processes of this program; never touches a process that others started."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TERM_S = 15.0
_KILL_S = 5.0
# Longer than a supervisor needs to stop an engine that ignores SIGTERM: _TERM_S, _KILL_S and the deadlines in marks.py.
_OWNER_S = 45.0
_POLL_S = 0.1
_GONE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """Identifies one process, even if its PID is reused later."""

    pid: int
    """Also its process group ID: each engine is started as the leader of its own session."""
    start_ticks: int
    """Start time in clock ticks since boot (field 22 of /proc/PID/stat); 0 means unknown."""


def identify(pid: int) -> ProcessId | None:
    """Find the living process with this PID; None if there is none or it is a zombie."""
    if pid <= 0:  # As an argument of kill, 0 would mean the caller's own group.
        return None
    try:
        rest = _stat_fields(Path(f"/proc/{pid}/stat"))
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _identify_by_signal(pid)
    except ProcessLookupError:
        return None
    return None if rest[0] in "ZX" else ProcessId(pid=pid, start_ticks=int(rest[19]))


def is_alive(process: ProcessId) -> bool:
    """Return whether this exact process is still running."""
    return identify(process.pid) == process


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is currently free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as bound:
        bound.bind((host, 0))
        return int(bound.getsockname()[1])


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a process as the leader of a new session: it gets no terminal signals and outlives this process.

    Args:
        command: the program and its arguments.
        environment: its whole environment.
        folder: its working directory.
        log: receives stdout and stderr; truncated first.

    Raises:
        OSError: the program cannot be started.
    """
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_group(process: ProcessId, *, reap: subprocess.Popen[bytes] | None = None, term_s: float = _TERM_S) -> bool:
    """Stop a process group: SIGTERM first, SIGKILL after the deadline and for members that outlive their leader.

    Args:
        process: the group's leader. If its PID has been reused by another process, nothing is done.
        reap: the child with that PID. None means the leader is not a child of this process.
        term_s: how long the group may take to exit after SIGTERM, seconds.

    Returns:
        Whether the leader was still running.
    """
    if not is_alive(process):
        # A session ID is not reused while a member lives, so this is still the same group, provided that the leader was
        # not reaped long ago: only its parent may rely on this.
        if reap is not None:
            _clear_group(process.pid)
            reap.wait()
        return False
    _signal_group(process.pid, signal.SIGTERM)
    try:
        if not _wait_for_exit(process, reap, term_s):
            _signal_group(process.pid, signal.SIGKILL)
            _wait_for_exit(process, reap, _KILL_S)
    finally:  # Also on a second Ctrl-C, which skips the wait.
        _clear_group(process.pid)
    return True


def stop_owner(process: ProcessId) -> bool:
    """Stop one process that stops its own children on SIGTERM; do not signal its group.

    Returns:
        Whether it was still running.
    """
    if not is_alive(process):
        return False
    for number, deadline_s in ((signal.SIGTERM, _OWNER_S), (signal.SIGKILL, _KILL_S)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
        if _wait_for_exit(process, None, deadline_s):
            break
    return True


def run_to_end(command: Sequence[str], on_line: Callable[[str], None]) -> int:
    """Run a command to completion and pass each output line to `on_line`; kill the command on any exception.

    Returns:
        The exit status.

    Raises:
        OSError: the program cannot be started.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                on_line(line.rstrip())
            return process.wait()
        except BaseException:
            _signal_group(process.pid, signal.SIGKILL)
            raise


def _identify_by_signal(pid: int) -> ProcessId | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ProcessId(pid=pid, start_ticks=0)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _clear_group(group: int) -> None:
    # SIGKILL takes effect asynchronously, and a dying process may still hold the port: wait for the last member.
    _signal_group(group, signal.SIGKILL)
    until = time.monotonic() + _GONE_S
    while _has_living_member(group) and time.monotonic() < until:
        time.sleep(_POLL_S / 10)


def _has_living_member(group: int) -> bool:
    # killpg(group, 0) would also find zombies that nobody reaps, as in a container without an init.
    return any(stat[0] not in "ZX" and int(stat[2]) == group for stat in _all_stats())


def _all_stats() -> Iterator[list[str]]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield _stat_fields(file)


def _stat_fields(file: Path) -> list[str]:
    """Read the fields of /proc/PID/stat from the third on: state, parent, group, …"""
    # The second field is the program's name in parentheses; the name may contain spaces and parentheses.
    return file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _wait_for_exit(process: ProcessId, reap: subprocess.Popen[bytes] | None, deadline_s: float) -> bool:
    if reap is not None:
        try:
            reap.wait(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            return False
        return True
    for _ in range(int(deadline_s / _POLL_S)):
        if not is_alive(process):
            return True
        time.sleep(_POLL_S)  # It is not a child of this process, so it cannot be waited for.
    return not is_alive(process)
