"""Run the verification command and word its feedback; every failure becomes a Verification, nothing is raised."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..journal.events import VerifyEnded, VerifyStarted
from ..policy.verification import Verify
from ..sandbox import Sandbox, Shared
from ..sandbox.process import LEFT_OUT, Output, start_process
from ..sandbox.terminal import displayed
from .background import stop_commands
from .dependencies import RunDependencies
from .file_tracking import FileTracker
from .reported_tests import reported_tests
from .state import RunState
from .system_prompt import HIDDEN_TESTS

HEAD_BYTES = 4_000
TAIL_BYTES = 12_000
"""Test runners print their summary last, so more of the end is kept than of the beginning."""
_NOT_FOUND_CODE = 127
"""The exit code of a shell that did not find a program (POSIX.1-2017, Shell Command Language, 2.8.2)."""
_HIDDEN_TESTS_NOTE = (
    "\nThese tests are not in your folder; a file of the same name there may differ. Fix the cause, then answer again."
)


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
    read: Sequence[Path] = (), redact: Callable[[str], str] = str,
) -> Verification:  # fmt: skip
    """Run a shell command in the workspace; all its processes have ended when this returns or is cancelled.

    Args:
        command: Command for /bin/sh -c.
        workspace: Working directory.
        env: The complete environment.
        timeout_s: Seconds after which the command is killed.
        sandbox: Sandbox for the command, which may run code that the model wrote.
        read: Absolute paths that the command may read besides the workspace.
        redact: Removes secrets from the whole output, before it is cut: a cut could leave part of one.
    """
    output = Output()
    # Never the run's: what the model left in its /tmp and home must not change the verdict. Only under Landlock does
    # the command not have its own anyway.
    own = Shared()
    try:
        with sandbox.launch(
            ["/bin/sh", "-c", command], workspace=workspace, env=env, read=read,
            shared=own if sandbox.isolation == "landlock" else None,
        ) as launch:  # fmt: skip
            process = await start_process(launch, folder=workspace, output=output)
        result = await process.finish(timeout_s)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        text = f"The command could not be started in {workspace}: {reason}."
        return Verification(command=command, ok=False, exit_code=None, output=text, elapsed_s=0.0)
    finally:
        await own.aclose()
    return Verification(
        command=command,
        ok=result.exit_code == 0,
        exit_code=result.exit_code,
        output=await asyncio.to_thread(_shown, result.output, redact) + _note_on_missing_program(result.exit_code, env),
        elapsed_s=result.elapsed_s,
        timed_out=result.timed_out,
    )


def _note_on_missing_program(exit_code: int | None, env: Mapping[str, str]) -> str:
    if exit_code != _NOT_FOUND_CODE:
        return ""
    return f"\nExit code 127: a program that the command needs is not on its PATH ({env.get('PATH', os.defpath)})."


def _shown(output: str, redact: Callable[[str], str]) -> str:
    """Return an output as a terminal shows it, without secrets and cut."""
    return _cut(redact(displayed(output).text)).rstrip()


def _cut(text: str) -> str:
    """Return the head and the tail of an output, and how many bytes were cut between them."""
    data = text.encode(errors="replace")
    cut_bytes = len(data) - HEAD_BYTES - TAIL_BYTES
    if cut_bytes <= 0:
        return text
    cut_bytes += sum(int(number.replace(",", "")) for number in LEFT_OUT.findall(text))
    head, tail = (part.decode(errors="replace") for part in (data[:HEAD_BYTES], data[-TAIL_BYTES:]))
    return f"{head}\n[... {cut_bytes} bytes cut ...]\n{tail}"


async def verify_work(settings: Verify, state: RunState, deps: RunDependencies, *, attempt: int) -> VerifyEnded:
    """Run the verification of a run, record it and return its event; `attempt` 0 is a silent check without feedback."""
    deps.record(VerifyStarted(attempt=attempt, command=settings.command))
    tracker = await FileTracker(state, deps).start()
    ended = await _verify(settings, deps, attempt=attempt)
    await tracker.end_one()
    deps.record(ended)
    return ended


async def passes_silently(state: RunState, deps: RunDependencies) -> bool:
    """Verify the work before it is given up, without telling the model; return whether it passes."""
    settings, work = deps.verify, state.work
    if settings is None or not work.may_have_changed or (deps.wants_result and state.final is None):
        return False
    ended = work.files_verification or await verify_work(settings, state, deps, attempt=0)
    return ended.ok


async def _verify(settings: Verify, deps: RunDependencies, *, attempt: int) -> VerifyEnded:
    """Run the verification of a run and return its event.

    What runs have in the background that can change the folder is stopped first: it could show the command other files
    than it leaves.
    """
    before = "the verification"
    async with deps.member.alone(before=before):
        stopped = await stop_commands(deps, before=before)
        result = await verify(
            settings.command,
            workspace=deps.context.workspace,
            env={**deps.context.env, **deps.verify_env},
            timeout_s=settings.timeout_s,
            sandbox=deps.context.sandbox,
            read=[Path(value) for value in deps.verify_env.values() if value.startswith("/")],
            redact=deps.context.redacted,
        )
    is_hidden = HIDDEN_TESTS in settings.command and deps.context.model_family != "pocket"
    say = "" if result.ok or not attempt else feedback(result, settings, attempt=attempt, with_command=not is_hidden)
    if say and settings.show == "all" and is_hidden:
        say += _HIDDEN_TESTS_NOTE
    if not result.ok:
        say = f"{say}\n{stopped}".strip()
    return VerifyEnded(
        attempt=attempt,
        ok=result.ok,
        exit_code=result.exit_code,
        output=result.output,
        elapsed_s=round(result.elapsed_s, 3),
        say=say,
    )


def feedback(verification: Verification, settings: Verify, *, attempt: int, with_command: bool = True) -> str:
    """Format a failed verification as feedback for the model.

    Args:
        verification: A failed verification.
        settings: how many attempts there are, and how much the model may read.
        attempt: Number of this attempt, from 1.
        with_command: whether to name the command, if the output is shown; False if the model cannot run it.
    """
    attempts = settings.attempts
    if verification.timed_out:
        ending = f"Stopped after {verification.elapsed_s:.0f} s: it took too long."
    elif verification.exit_code is None:
        ending = "It did not start."
    else:
        ending = f"Exit code: {verification.exit_code}{_signal_name(verification.exit_code)}"
    failed = f"Verification failed (attempt {attempt} of {attempts})."
    if settings.show == "nothing":
        return f"{failed} Its output is not shown. Check your work against the task once more, then submit it again."
    if settings.show == "summary":
        tests = reported_tests(verification.output)
        note = "The tests belong to the verification: their files may not be in this folder." if tests else ""
        return "\n".join(part for part in (failed, ending, tests, note or "Its output is not shown.") if part)
    command = [f"Command: {verification.command}"] if with_command else []
    return "\n".join([failed, *command, ending, "Output:", verification.output or "(none)"])


def _signal_name(exit_code: int) -> str:
    if exit_code >= 0:
        return ""
    try:
        return f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        return ""
