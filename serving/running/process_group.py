"""Start, watch and end the processes that are ours; never a process that we did not start."""

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
# Longer than a supervisor takes to end an engine that does not listen: _TERM_S, _KILL_S and the time of the marks.
_OWNER_S = 45.0
_POLL_S = 0.1
_GONE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """One process and no later one that got the same number."""

    pid: int
    """Also the number of its group: we start each engine as the leader of a session of its own."""
    start_ticks: int
    """When it started, clock ticks since the machine's boot (field 22 of /proc/PID/stat); 0: unknown."""


def identify(pid: int) -> ProcessId | None:
    """Find the living process with this number; None: there is none, or it has ended and waits to be reaped."""
    if pid <= 0:  # As an argument of kill, 0 would mean our own group.
        return None
    try:
        rest = _stat_fields(Path(f"/proc/{pid}/stat"))
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _identify_by_signal(pid)
    except ProcessLookupError:
        return None
    return None if rest[0] in "ZX" else ProcessId(pid=pid, start_ticks=int(rest[19]))


def is_alive(process: ProcessId) -> bool:
    """Tell whether this very process still runs."""
    return identify(process.pid) == process


def free_port(host: str = "127.0.0.1") -> int:
    """Ask the system for a port that nobody listens on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as asked:
        asked.bind((host, 0))
        return int(asked.getsockname()[1])


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a process as the leader of a new session, so that no signal of our terminal reaches it, and it outlives us.

    Args:
        command: the program and its arguments.
        environment: all of its variables.
        folder: where it stands.
        log: receives both of its outputs; emptied first.

    Raises:
        OSError: the program cannot be started.
    """
    with log.open("wb") as written:
        return subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_group(process: ProcessId, *, reap: subprocess.Popen[bytes] | None = None, term_s: float = _TERM_S) -> bool:
    """End a group: a request first, force after the deadline, and force for members left behind by their leader.

    Args:
        process: the group's leader. If its number belongs to another process by now, nothing is done.
        reap: our own child of that number; None: the leader is not our child.
        term_s: how long the group may take to end by itself.

    Returns:
        Whether the leader still ran.
    """
    if not is_alive(process):
        # A session's number is not given to a new process while a member lives, so the group is still ours,
        # provided that we have not reaped the leader long ago: only its own parent may use this.
        if reap is not None:
            _clear_group(process.pid)
            reap.wait()
        return False
    _signal_group(process.pid, signal.SIGTERM)
    try:
        if not _ended(process, reap, term_s):
            _signal_group(process.pid, signal.SIGKILL)
            _ended(process, reap, _KILL_S)
    finally:  # Also at a second Ctrl-C, which then means: at once.
        _clear_group(process.pid)
    return True


def stop_owner(process: ProcessId) -> bool:
    """End one process that ends its own children when it is asked to; its group is not touched.

    Returns:
        Whether it still ran.
    """
    if not is_alive(process):
        return False
    for number, deadline_s in ((signal.SIGTERM, _OWNER_S), (signal.SIGKILL, _KILL_S)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
        if _ended(process, None, deadline_s):
            break
    return True


def run_to_end(command: Sequence[str], on_line: Callable[[str], None]) -> int:
    """Run one command to its end, each line of its output given to `on_line`; interrupted, it takes the command along.

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
    # The kernel kills in its own time, and what is killed may still hold the port: wait for the last member.
    _signal_group(group, signal.SIGKILL)
    until = time.monotonic() + _GONE_S
    while _has_living_member(group) and time.monotonic() < until:
        time.sleep(_POLL_S / 10)


def _has_living_member(group: int) -> bool:
    # killpg(group, 0) would also find the dead whom nobody reaps, as in a container without an init.
    return any(stat[0] not in "ZX" and int(stat[2]) == group for stat in _all_stats())


def _all_stats() -> Iterator[list[str]]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield _stat_fields(file)


def _stat_fields(file: Path) -> list[str]:
    """Read /proc/PID/stat from its third field on: state, parent, group, …"""
    # The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    return file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _ended(process: ProcessId, reap: subprocess.Popen[bytes] | None, deadline_s: float) -> bool:
    if reap is not None:
        try:
            reap.wait(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            return False
        return True
    for _ in range(int(deadline_s / _POLL_S)):
        if not is_alive(process):
            return True
        time.sleep(_POLL_S)  # Not our child: there is nothing that could be waited for.
    return not is_alive(process)
