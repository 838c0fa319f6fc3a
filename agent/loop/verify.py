"""Run the command that decides whether a task is done; every failure of it is a Verification, nothing is raised."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..sandbox import Sandbox

HEAD_BYTES = 4_000
TAIL_BYTES = 12_000
"""Test runners sum up at the end, so the end is kept longer than the beginning."""

_GRACE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """How the command ended."""

    command: str
    ok: bool
    """True: exit code 0 in time."""
    exit_code: int | None
    """Below 0: the signal that ended it. None: it did not start, or did not end in time."""
    output: str
    """Standard output and error as they came, the middle cut out if it is long; or why the command did not start."""
    elapsed_s: float
    timed_out: bool = False


async def verify(
    command: str, *, workspace: Path, env: Mapping[str, str], timeout_s: float, sandbox: Sandbox,
    read: Sequence[Path] = (),
) -> Verification:  # fmt: skip
    """Run a shell command in the workspace; it and all that it started are gone when this returns or is cancelled.

    Args:
        command: for /bin/sh -c.
        workspace: where it runs.
        env: its whole environment.
        timeout_s: seconds after which it is killed.
        sandbox: what isolates it, since it runs what the model wrote.
        read: absolute; what it may read beside the workspace.
    """
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    output = _Output()
    # A pipe of our own: asyncio's wait() returns only when its pipes are closed, which a background child never does.
    read_end, write_end = os.pipe()
    timed_out = False
    exit_code: int | None = None
    try:
        try:
            with sandbox.launch(["/bin/sh", "-c", command], workspace=workspace, env=env, read=read) as launch:
                process = await asyncio.create_subprocess_exec(
                    *launch.argv,
                    cwd=workspace,
                    env=dict(launch.env),
                    pass_fds=launch.pass_fds,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=write_end,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            text = f"The command could not be started in {workspace}: {reason}."
            return Verification(command=command, ok=False, exit_code=None, output=text, elapsed_s=loop.time() - start_s)
        finally:
            os.close(write_end)
        drained = _collect(loop, read_end, output)
        try:
            async with asyncio.timeout(timeout_s):
                exit_code = await process.wait()
        except TimeoutError:
            timed_out = True
        finally:
            _kill_group(process.pid)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await process.wait()
        # Killing the group closes the pipe, but for what left the group with setsid: wait no longer for that.
        await asyncio.wait({drained}, timeout=_GRACE_S)
    finally:
        loop.remove_reader(read_end)
        os.close(read_end)
    return Verification(
        command=command,
        ok=exit_code == 0,
        exit_code=exit_code,
        output=output.text(),
        elapsed_s=loop.time() - start_s,
        timed_out=timed_out,
    )


def feedback(verification: Verification, *, attempt: int, attempts: int) -> str:
    """Tell the model that its work did not pass.

    Args:
        verification: one that is not ok.
        attempt: which one it was, from 1.
        attempts: how many there are in all.
    """
    if verification.timed_out:
        ending = f"Stopped after {verification.elapsed_s:.0f} s: it took too long."
    elif verification.exit_code is None:
        ending = "It did not start."
    else:
        ending = f"Exit code: {verification.exit_code}{_signal_name(verification.exit_code)}"
    return (
        f"Verification failed (attempt {attempt} of {attempts}).\n"
        f"Command: {verification.command}\n{ending}\n"
        f"Output:\n{verification.output or '(none)'}"
    )


@dataclass(kw_only=True, slots=True)
class _Output:
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    cut_bytes: int = 0

    def add(self, data: bytes) -> None:
        room = HEAD_BYTES - len(self.head)
        self.head += data[:room]
        self.tail += data[room:] if room > 0 else data
        over = len(self.tail) - TAIL_BYTES
        if over > 0:
            del self.tail[:over]
            self.cut_bytes += over

    def text(self) -> str:
        if not self.cut_bytes:
            return (self.head + self.tail).decode(errors="replace").rstrip()
        head = self.head.decode(errors="replace")
        tail = self.tail.decode(errors="replace").rstrip()
        return f"{head}\n[... {self.cut_bytes} bytes cut ...]\n{tail}"


def _collect(loop: asyncio.AbstractEventLoop, read_end: int, output: _Output) -> asyncio.Future[None]:
    os.set_blocking(read_end, False)
    drained: asyncio.Future[None] = loop.create_future()

    def on_readable() -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(read_end, 65_536)
            output.add(data)
            if not data:
                loop.remove_reader(read_end)
                if not drained.done():
                    drained.set_result(None)

    loop.add_reader(read_end, on_readable)
    return drained


def _kill_group(pid: int) -> None:
    # The group outlives its leader as long as anything in it runs; its number is not given to others until then.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _signal_name(exit_code: int) -> str:
    if exit_code >= 0:
        return ""
    try:
        return f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        return ""
