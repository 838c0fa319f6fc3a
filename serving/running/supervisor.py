"""Keep one engine up and its record true: start it, notice when it dies or hangs, start it again or give up.

Whether to start again is decided in restarts.py. A first start that fails is not tried again: whoever asked for it is
there to read why.
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
    """How long a supervisor waits for what; seconds."""

    silence_s: float = SILENCE_S
    """A start may say nothing for so long."""
    hang_s: float = 120.0
    """/health may give no answer for so long. An engine that is busy with long prompts is slow to say that it lives."""
    poll_s: float = 15.0
    """Between two looks at /health, each of which is a line in the log. The end of the process shows at once."""


class Supervisor:
    """Watches over one engine; at the end of its block the engine is stopped and the record removed.

    Raises on entering the block:
        EngineError: a server runs here already, or is being started.
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
        """Only remember what to watch over.

        Args:
            launch: what to start.
            inherited: the variables that the engine gets besides its own.
            on_progress: receives what happens, also while it serves.
            policy: when to start again.
            patience: when to call it dead.
            clock: seconds that only grow.
            sleep: waits for so many seconds before a restart.
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
        self._held = ExitStack()
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
        """How the server is."""
        return self._record

    def start(self) -> ServerRecord:
        """Start it for the first time; return when it has generated a token.

        Raises:
            EngineError: it did not come up. Nothing is left running.
        """
        self._start_once()
        return self._record

    def watch(self) -> NoReturn:
        """Look after the engine for as long as it can be kept up; ends by an exception only, KeyboardInterrupt say.

        Raises:
            EngineError: it died and is not started again. The record says so too.
        """
        while True:
            error = self._wait_for_death()
            while error is not None:
                error = self._restart(error)

    def __enter__(self) -> Self:
        ended = self._held.enter_context(exclusive_server(self._launch.folder))
        if ended:
            self._tell("importing", f"ended {ended} processes that a killed server had left")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            try:
                if self._engine is not None:
                    self._engine.stop()
            finally:  # Also at a second Ctrl-C.
                end_marked(self._launch.mark)  # An interrupt may come between the process and our knowing of it.
                if self._record.state != "failed":
                    forget_record(self._record, self._launch.folder)

    def _start_once(self) -> None:
        """Start the process and wait for its first answer; the record goes along."""
        # Before there is a process: whoever is killed between the two leaves a mark by which the process is found.
        self._note(pid=0, start_ticks=0, detail="starting")
        self._engine = EngineProcess(self._launch, self._inherited)
        process = self._engine.process
        self._note(pid=process.pid, start_ticks=process.start_ticks, log=str(self._engine.log))
        max_model_len = self._engine.wait_until_ready(self._tell_phase, silence_s=self._patience.silence_s)
        self._ready_s = self._clock()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._note(state="ready", detail="", max_model_len=max_model_len, started_at=now)
        self._tell("ready", f"{self._launch.model} answers at {self._launch.base_url}")

    def _wait_for_death(self) -> EngineDied:
        engine = self._engine
        assert engine is not None, "start() comes first"
        heard_s = self._clock()
        while True:
            status = engine.wait_for_end(self._patience.poll_s)
            if status is not None:
                return engine.died(f"The engine ended with exit status {status}.")
            if engine.healthy():
                heard_s = self._clock()
            elif self._clock() - heard_s > self._patience.hang_s:
                return engine.died(
                    f"The engine runs, but {self._launch.health_url} gave no good answer for "
                    f"{self._patience.hang_s:g} s."
                )

    def _restart(self, error: EngineDied) -> EngineDied | None:
        """Clear away what died, and start it again; returns why it died once more, or None."""
        assert self._engine is not None, "start() comes first"
        self._engine.stop()
        served_s = self._clock() - self._ready_s if self._record.state == "ready" else 0.0
        # What has served once did not die of its configuration; its log may show a mistake of that kind all the same.
        self._deaths.append(Death(ready_s=served_s, fatal=error.fatal and not served_s))
        decision = decide(self._deaths, self._policy)
        if isinstance(decision, GiveUp):
            self._note(state="failed", pid=0, start_ticks=0, detail=f"{decision.why}\n{error}")
            raise EngineError(f"{error.what} {decision.why}", cause=error.cause, do=error.do, log=error.log) from error
        restarts = self._record.restarts + 1
        self._note(state="restarting", pid=0, start_ticks=0, restarts=restarts, last_death=error.what, detail="waiting")
        self._tell("restarting", f"{error.what} Restart {restarts} in {decision.wait_s:g} s; log {error.log}")
        self._sleep(decision.wait_s)
        try:
            self._start_once()
        except EngineDied as again:
            return again
        except EngineError as unusable:  # Its program or its key is gone: there is nothing that could be started.
            self._note(state="failed", detail=str(unusable))
            raise
        return None

    def _tell_phase(self, phase: Phase, detail: str) -> None:
        self._note(detail=phase)
        self._tell(phase, detail)

    def _tell(self, phase: Phase, detail: str) -> None:
        self._on_progress(Progress(phase=phase, elapsed_s=self._clock() - self._began_s, detail=detail))

    def _note(self, **changes: object) -> None:
        changed = dataclasses.replace(self._record, **changes)
        if changed != self._record:
            self._record = changed
            write_record(changed, self._launch.folder)
