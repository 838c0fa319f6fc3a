"""Run the command that decides whether a task is done; every failure of it is a Verification, nothing is raised."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..sandbox import Sandbox
from ..sandbox.process import Output, start_process

HEAD_BYTES = 4_000
TAIL_BYTES = 12_000
"""Test runners sum up at the end, so the end is kept longer than the beginning."""


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
    output = Output(head_bytes=HEAD_BYTES, tail_bytes=TAIL_BYTES, note="[... {} bytes cut ...]")
    try:
        with sandbox.launch(["/bin/sh", "-c", command], workspace=workspace, env=env, read=read) as launch:
            process = await start_process(launch, folder=workspace, output=output)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        text = f"The command could not be started in {workspace}: {reason}."
        return Verification(command=command, ok=False, exit_code=None, output=text, elapsed_s=0.0)
    result = await process.finish(timeout_s)
    return Verification(
        command=command,
        ok=result.exit_code == 0,
        exit_code=result.exit_code,
        output=result.output.rstrip(),
        elapsed_s=result.elapsed_s,
        timed_out=result.timed_out,
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


def _signal_name(exit_code: int) -> str:
    if exit_code >= 0:
        return ""
    try:
        return f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        return ""
