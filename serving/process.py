"""Start an engine's process and wait until it answers; knows no engine, installs nothing."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import EngineError
from .process_group import ProcessId, identify, spawn, stop_group
from .progress import OnDetail, Phase
from .watchdog import Watchdog

_POLL_S = 0.25
_HEALTH_S = 2.0
_ANSWER_S = 60.0
_CAUSE_LINES = 400

LineReader = Callable[[str], tuple[Phase, str] | None]
"""Reads one log line to a phase and a line for people; None: it says nothing of the start."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """All that is needed to start one engine."""

    command: tuple[str, ...]
    """The program and its arguments."""
    environment: Mapping[str, str]
    """All of the process's variables."""
    folder: Path
    """Where the process stands."""
    log: Path
    """Receives all that the engine says."""
    health_url: str
    """Answers 200 as soon as the server listens."""
    chat_url: str
    """The endpoint of the first request."""
    model: str
    """What requests call the model."""
    outlives_us: bool
    """False: it ends with us, even if we are killed."""
    read_line: LineReader
    """How far the start is, read from the log."""
    cause_of_death: Callable[[Sequence[str]], str]
    """Why the engine ended, read from the log."""


@dataclass(frozen=True, kw_only=True)
class RunningEngine:
    """An engine that has answered a request."""

    child: subprocess.Popen[bytes]
    """The leader of its process group."""
    process: ProcessId
    """The same, to be recognised after we are gone."""
    watchdog: Watchdog | None
    """Ends it if we are killed. None: it is meant to outlive us."""

    def stop(self) -> bool:
        """End it; returns whether it still ran."""
        ran = stop_group(self.process, reap=self.child)
        if self.watchdog is not None:
            self.watchdog.dismiss()
        return ran


def start_engine(launch: Launch, on_detail: OnDetail, *, deadline_s: float) -> RunningEngine:
    """Start the engine and return when it has generated a token; on any failure nothing of it is left running.

    Args:
        launch: what to start.
        on_detail: receives what the log and the endpoints tell, when it changes.
        deadline_s: how long the start may take, seconds.

    Raises:
        EngineError: the program is not there, the engine ended, it refused the first request, or the deadline passed.
    """
    started = time.monotonic()
    try:
        child = spawn(
            launch.command,
            environment=launch.environment,
            folder=launch.folder,
            log=launch.log,
        )
    except OSError as error:
        raise EngineError(
            f"Cannot start the engine: {launch.command[0]!r} cannot be run.",
            cause=str(error),
            do="Is it an interpreter with vLLM? Check TRAMONTANE_ENGINE_PYTHON, if it is set.",
        ) from error
    process = identify(child.pid) or ProcessId(pid=child.pid, start_ticks=0)
    running = RunningEngine(child=child, process=process, watchdog=None if launch.outlives_us else Watchdog(process))
    try:
        _wait(launch, child, on_detail, started + deadline_s)
    except BaseException:  # KeyboardInterrupt too: no engine may outlive a start that did not succeed.
        running.stop()
        raise
    return running


def _wait(launch: Launch, child: subprocess.Popen[bytes], on_detail: OnDetail, until: float) -> None:
    facts = _log_facts(launch)
    phase: Phase = "importing"
    on_detail(phase, "starting Python and vLLM, about 10 s without a word")
    while not _healthy(launch.health_url):
        _still_runs(launch, child)
        for fact in iter(lambda: next(facts), None):
            phase = fact[0]
            on_detail(*fact)
        if time.monotonic() > until:
            raise EngineError(
                f"The engine did not answer in time; its last phase was {phase!r}.",
                cause="",
                do="Look at the log for what it waits for. Give a longer deadline if the machine is slow or busy.",
                log=launch.log,
            )
    on_detail("first answer", "the server listens; asking for one token")
    _first_answer(launch)


def _still_runs(launch: Launch, child: subprocess.Popen[bytes]) -> None:
    try:
        status = child.wait(timeout=_POLL_S)
    except subprocess.TimeoutExpired:
        return
    lines = launch.log.read_text(encoding="utf-8", errors="replace").splitlines()
    raise EngineError(
        f"The engine ended during its start with exit status {status}.",
        cause=launch.cause_of_death(lines[-_CAUSE_LINES:]),
        do="Mend the cause and start again; the whole story is in the log.",
        log=launch.log,
    )


def _log_facts(launch: Launch) -> Iterator[tuple[Phase, str] | None]:
    """Yield what new log lines tell, and None each time that no line is waiting; never ends."""
    last: tuple[Phase, str] | None = None
    with launch.log.open(encoding="utf-8", errors="replace") as log:
        held = ""
        while True:
            held += log.readline()
            if not held.endswith("\n"):
                yield None
                continue
            fact, held = launch.read_line(held.rstrip()), ""
            if fact is not None and fact != last:
                last = fact
                yield fact


def _healthy(url: str) -> bool:
    try:
        with _direct().open(url, timeout=_HEALTH_S) as reply:
            return bool(reply.status == 200)
    except OSError:  # URLError is one; so is a connection that is refused or reset.
        return False


def _first_answer(launch: Launch) -> None:
    body = {"model": launch.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    request = urllib.request.Request(
        launch.chat_url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with _direct().open(request, timeout=_ANSWER_S) as reply:
            reply.read()
    except OSError as error:
        said = error.read().decode(errors="replace")[:500] if isinstance(error, urllib.error.HTTPError) else str(error)
        raise EngineError(
            f"The engine listens, but its first request to {launch.chat_url} failed.",
            cause=said,
            do="Look at the log. Does mistral_common fit this vLLM? 1.13 does not fit vLLM 0.32 and 0.33.",
            log=launch.log,
        ) from error


def _direct() -> urllib.request.OpenerDirector:
    # A proxy in the environment cannot reach the loopback address of this machine.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
