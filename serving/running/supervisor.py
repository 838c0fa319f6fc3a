"""Keep one engine running and its record current: start it, detect when it dies or hangs, restart it or give up.

restarts.py decides whether to restart. A failed first start is not retried: the caller is present to read the error.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import NoReturn, Self

from ..errors import EngineError
from ..progress import OnProgress, Phase, Progress
from .death import EngineDied
from .launch import Launch
from .lock import exclusive_server
from .marks import end_marked
from .process import SILENCE_S, EngineProcess
from .process_group import ProcessId, identify
from .record import ServerRecord, forget_record, write_record
from .restarts import DEFAULT_POLICY, Death, GiveUp, RestartPolicy, decide


@dataclass(frozen=True, kw_only=True)
class Patience:
    """A supervisor's timeouts, in seconds."""

    silence_s: float = SILENCE_S
    """How long a starting engine may write no output."""
    hang_s: float = 120.0
    """How long /health may fail to answer. An engine that is busy with long prompts answers late."""
    poll_s: float = 15.0
    """Interval between requests to /health; each adds a line to the log. A process exit is detected at once."""


class Supervisor:
    """Supervises one engine; at the end of the `with` block it stops the engine and removes the record.

    Raises on entering the block:
        EngineError: a server is already running or starting here.
    """

    def __init__(
        self,
        launch: Launch,
        *,
        inherited: Mapping[str, str],
        on_progress: OnProgress,
        policy: RestartPolicy = DEFAULT_POLICY,
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Store the arguments; start nothing.

        Args:
            launch: what to start.
            inherited: environment variables passed to the engine in addition to its own.
            on_progress: receives each progress record, also while the engine serves.
            policy: when to restart.
            patience: timeouts after which the engine counts as dead.
            clock: monotonic, in seconds.
            sleep: waits the given number of seconds before a restart.
        """
        self._launch = launch
        self._inherited = inherited
        self._on_progress = on_progress
        self._policy = policy
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._began_s = clock()
        self._engine: EngineProcess | None = None
        self._deaths: list[Death] = []
        self._ready_s = 0.0
        self._lock = ExitStack()
        me = identify(os.getpid()) or ProcessId(pid=os.getpid(), start_ticks=0)
        self._record = ServerRecord(
            base_url=launch.base_url,
            model=launch.model,
            engine=launch.engine,
            pid=0,
            start_ticks=0,
            started_at="",
            log="",
            max_model_len=0,
            supervisor_pid=me.pid,
            supervisor_start_ticks=me.start_ticks,
            mark=launch.mark,
            state="starting",
            api_key_file="" if launch.api_key_file is None else str(launch.api_key_file),
        )

    @property
    def record(self) -> ServerRecord:
        """The server's current record."""
        return self._record

    def start(self) -> ServerRecord:
        """Start the engine for the first time; return when it has generated a token.

        Raises:
            EngineError: it did not start. Nothing is left running.
        """
        self._start_once()
        return self._record

    def watch(self) -> NoReturn:
        """Watch the engine and restart it as needed; ends only by an exception, such as KeyboardInterrupt.

        Raises:
            EngineError: it died and is not restarted. The record is marked as failed.
        """
        while True:
            error = self._wait_for_death()
            while error is not None:
                error = self._restart(error)

    def __enter__(self) -> Self:
        stopped = self._lock.enter_context(exclusive_server(self._launch.folder))
        if stopped:
            self._report("importing", f"stopped {stopped} processes left by a killed server")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            try:
                if self._engine is not None:
                    self._engine.stop()
            finally:  # Also on a second Ctrl-C.
                end_marked(self._launch.mark)  # An interrupt may come after the process starts but before it is stored.
                if self._record.state != "failed":
                    forget_record(self._record, self._launch.folder)

    def _start_once(self) -> None:
        """Start the process and wait for its first answer; keep the record current."""
        # Write the record before the process starts: if this supervisor is killed in between, the recorded mark still
        # leads to the process.
        self._update_record(pid=0, start_ticks=0, detail="starting")
        self._engine = EngineProcess(self._launch, self._inherited)
        process = self._engine.process
        self._update_record(pid=process.pid, start_ticks=process.start_ticks, log=str(self._engine.log))
        max_model_len = self._engine.wait_until_ready(self._report_phase, silence_s=self._patience.silence_s)
        self._ready_s = self._clock()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._update_record(state="ready", detail="", max_model_len=max_model_len, started_at=now)
        self._report("ready", f"{self._launch.model} answers at {self._launch.base_url}")

    def _wait_for_death(self) -> EngineDied:
        engine = self._engine
        assert engine is not None, "start() comes first"
        last_healthy_s = self._clock()
        while True:
            status = engine.wait_for_end(self._patience.poll_s)
            if status is not None:
                return engine.death_error(f"The engine exited with status {status}.")
            if engine.healthy():
                last_healthy_s = self._clock()
            elif self._clock() - last_healthy_s > self._patience.hang_s:
                return engine.death_error(
                    f"The engine is running, but {self._launch.health_url} has not returned 200 for "
                    f"{self._patience.hang_s:g} s."
                )

    def _restart(self, error: EngineDied) -> EngineDied | None:
        """Stop what is left of the dead engine and restart it; return the error if it died again, else None."""
        assert self._engine is not None, "start() comes first"
        self._engine.stop()
        served_s = self._clock() - self._ready_s if self._record.state == "ready" else 0.0
        # An engine that has served did not die of its configuration, even if its log shows a configuration error.
        self._deaths.append(Death(ready_s=served_s, fatal=error.fatal and not served_s))
        decision = decide(self._deaths, self._policy)
        if isinstance(decision, GiveUp):
            self._update_record(state="failed", pid=0, start_ticks=0, detail=f"{decision.why}\n{error}")
            raise EngineError(f"{error.what} {decision.why}", cause=error.cause, do=error.do, log=error.log) from error
        restarts = self._record.restarts + 1
        self._update_record(
            state="restarting", pid=0, start_ticks=0, restarts=restarts, last_death=error.what, detail="waiting"
        )
        self._report("restarting", f"{error.what} Restart {restarts} in {decision.wait_s:g} s; log {error.log}")
        self._sleep(decision.wait_s)
        try:
            self._start_once()
        except EngineDied as again:
            return again
        except EngineError as unusable:  # Its program or its key file is gone, so it cannot be started.
            self._update_record(state="failed", detail=str(unusable))
            raise
        return None

    def _report_phase(self, phase: Phase, detail: str) -> None:
        self._update_record(detail=phase)
        self._report(phase, detail)

    def _report(self, phase: Phase, detail: str) -> None:
        self._on_progress(Progress(phase=phase, elapsed_s=self._clock() - self._began_s, detail=detail))

    def _update_record(self, **changes: object) -> None:
        changed = dataclasses.replace(self._record, **changes)
        if changed != self._record:
            self._record = changed
            write_record(changed, self._launch.folder)
