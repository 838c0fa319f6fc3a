"""Run the verification command and word its feedback; every failure becomes a Verification, nothing is raised."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..sandbox import Sandbox
from ..sandbox.process import Output, start_process

HEAD_BYTES = 4_000
TAIL_BYTES = 12_000
"""Test runners print their summary last, so more of the end is kept than of the beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The result of a verification command."""

    command: str
    ok: bool
    """True if the exit code was 0, before the timeout."""
    exit_code: int | None
    """A negative value is the signal that killed the command. None if it could not start, or timed out."""
    output: str
    """Interleaved stdout and stderr, with the middle cut if it is long; or why the command could not start."""
    elapsed_s: float
    timed_out: bool = False


async def verify(
    command: str, *, workspace: Path, env: Mapping[str, str], timeout_s: float, sandbox: Sandbox,
    read: Sequence[Path] = (),
) -> Verification:  # fmt: skip
    """Run a shell command in the workspace; all its processes have ended when this returns or is cancelled.

    Args:
        command: Command for /bin/sh -c.
        workspace: Working directory.
        env: The complete environment.
        timeout_s: Seconds after which the command is killed.
        sandbox: Sandbox for the command, which may run code that the model wrote.
        read: Absolute paths that the command may read besides the workspace.
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
    """Format a failed verification as feedback for the model.

    Args:
        verification: A failed verification.
        attempt: Number of this attempt, from 1.
        attempts: Number of attempts allowed.
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
