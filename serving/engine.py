"""Stand one engine up and take it down, from a plan or a command; composes the parts, decides little."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from .capacity.calibration import MeasuredStart, record_start
from .capacity.nearest_fit import nearest_fit
from .capacity.planner import decide, plan
from .capacity.sizing import Change, Plan, PlanOptions
from .directories import state_dir
from .engines import engine_command
from .engines.command import EngineCommand, ServeOptions
from .engines.vllm.failures import longest_that_fits
from .errors import EngineError
from .pocket import MODEL_NAME
from .progress import OnDetail, OnProgress, Phase, Progress
from .readiness.interpreter import FindPython, cpu_python, gpu_python
from .readiness.versions import installed_versions, refuse_known, version_problems
from .running.death import EngineDied
from .running.detached import start_detached
from .running.launch import Launch, launch_of
from .running.postmortem import read_summary
from .running.process import SILENCE_S, EngineProcess
from .running.process_group import free_port
from .running.record import ServerRecord, stop_server
from .running.supervisor import Patience, Supervisor

MOST_FITS = 2
"""Starts on a smaller plan after one that ran out of memory; a third would say that the numbers are not understood."""

POCKET_REQUESTS = 8
"""At once, of the pocket model on the CPU."""

_R = TypeVar("_R")


class Engine:
    """One engine's life, from nothing to an answering server and back.

    As a context manager it is stopped at the end of the block, unless it was started with `keep`.
    """

    def __init__(
        self,
        what: Plan | EngineCommand,
        *,
        options: ServeOptions | None = None,
        python: Path | FindPython | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Only remember what to start.

        Args:
            what: the engine as it is planned, or its command.
            options: how a planned engine is to be reached; a command has its own. None: on this machine only, at a
                port that is free now.
            python: which interpreter runs it. None: the one that `TRAMONTANE_ENGINE_PYTHON` names, or this one, or that
                of the engine's program on the PATH.
            environ: None: this process's own environment.

        Raises:
            EngineError: the plan cannot be served in this way.
        """
        self._environ = os.environ if environ is None else environ
        self._options = options or ServeOptions(port=free_port())
        self._plan = what if isinstance(what, Plan) else None
        self._command = engine_command(what, self._options) if isinstance(what, Plan) else what
        self._python = python
        self._running: EngineProcess | None = None
        self._record: ServerRecord | None = None
        self._kept = False

    @property
    def record(self) -> ServerRecord | None:
        """The running server; None: not started, or stopped."""
        return self._record

    def start(
        self,
        on_progress: OnProgress | None = None,
        *,
        keep: bool = False,
        fit: bool = False,
        silence_s: float = SILENCE_S,
    ) -> ServerRecord:
        """Stand the server up; return when it has generated a token.

        Args:
            on_progress: receives what happens. None: nobody listens.
            keep: leave the server running after us, watched over by a process of its own and recorded for others to
                find.
            fit: if a planned engine runs out of memory, start it again on the nearest plan that fits.
            silence_s: how long the engine may say nothing while it starts, seconds.

        Raises:
            EngineError: it runs already, could not be installed, is known to break with the packages beside it, or did
                not come up. Nothing is left running.
        """
        if self._record is not None:
            raise EngineError(
                f"This engine runs already: {self._record.model!r} at {self._record.base_url}.",
                cause="",
                do="Use it, or stop it first.",
            )
        report = _Report(on_progress)

        def begin(launch: Launch) -> ServerRecord:
            if keep:
                return start_detached(launch, inherited=self._environ, on_progress=report.progress, silence_s=silence_s)
            running = EngineProcess(launch, self._environ)
            record = _record_of(launch, running, running.wait_until_ready(report.detail, silence_s=silence_s))
            self._running = running
            return record

        record = self._started(begin, report.detail, fit=fit)
        self._learn(record)
        self._record, self._kept = record, keep
        if not keep:
            report.detail("ready", f"{record.model} answers at {record.base_url}")
        return record

    def supervise(self, on_progress: OnProgress, *, fit: bool = False, patience: Patience | None = None) -> None:
        """Stand the server up and watch over it in this process until an exception ends it, KeyboardInterrupt say.

        It is recorded for others to find, started again when it dies, and nothing of it is left at the end.

        Args:
            on_progress: receives what happens.
            fit: as for `start`.
            patience: when to call it dead. None: the usual.

        Raises:
            EngineError: one runs here already, it did not come up, or it died and is not started again.
        """
        report = _Report(on_progress)

        def begin(launch: Launch) -> NoReturn:
            with Supervisor(
                launch, inherited=self._environ, on_progress=on_progress, patience=patience or Patience()
            ) as supervisor:
                self._learn(supervisor.start())
                supervisor.watch()

        self._started(begin, report.detail, fit=fit)

    def stop(self) -> None:
        """End the server, kept or not; does nothing if none was started."""
        running, record = self._running, self._record
        self._running = self._record = None
        if running is not None:
            running.stop()
        elif record is not None:
            stop_server(record, state_dir(self._environ))

    def nearest_fit(self, error: EngineDied) -> Change | None:
        """Say what would have to change after a start that ran out of memory; None: it did not, or nothing is known."""
        if self._plan is None or error.diagnosis is None or error.log is None:
            return None
        summary = read_summary(self._command.engine, error.log)
        return nearest_fit(
            self._plan,
            symptom=error.diagnosis.symptom,
            longest_tokens=longest_that_fits(error.diagnosis.evidence),
            available_kv_gib=None if summary is None else summary.available_kv_gib,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self.stop()

    def _started(self, begin: Callable[[Launch], _R], tell: OnDetail, *, fit: bool) -> _R:
        """Begin with the command, and with a smaller plan each time that it runs out of memory."""
        for _ in range(MOST_FITS if fit else 0):
            try:
                return begin(self._launch(tell))
            except EngineDied as error:
                change = self.nearest_fit(error)
                if change is None:
                    raise
                tell("restarting", f"{error.what} {error.cause} Now with the nearest that fits: {change.what}")
                self._plan = decide(change.request, lambda _: None)
                self._command = engine_command(self._plan, self._options)
        return begin(self._launch(tell))

    def _learn(self, record: ServerRecord) -> None:
        """Keep what the start needed, so that later plans of the same configuration need no estimate."""
        summary = read_summary(record.engine, Path(record.log))
        if self._plan is not None and summary is not None and summary.version and summary.kv_tokens:
            facts = MeasuredStart(engine_version=summary.version, kv_cache_tokens=summary.kv_tokens)
            with suppress(OSError):  # No server that runs is ended because its figures cannot be kept.
                record_start(facts, self._plan.request, state_dir(self._environ))

    def _launch(self, tell: OnDetail) -> Launch:
        python = self._python
        if python is None:
            python = gpu_python(self._command.engine, self._environ)
        elif not isinstance(python, Path):
            python = python(lambda detail: tell("installing", detail))
        _refuse_unknown_key(self._command, self._environ)
        refuse_known(version_problems(installed_versions(python), self._command), python)
        return launch_of(self._command, python=python, state=state_dir(self._environ))


class _Report:
    """Adds the clock."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._began_s = monotonic()

    def detail(self, phase: Phase, detail: str) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(phase=phase, elapsed_s=monotonic() - self._began_s, detail=detail))

    def progress(self, progress: Progress) -> None:
        """Pass on what another process told, by our clock: its own began later."""
        self.detail(progress.phase, progress.detail)


def pocket_engine(
    port: int | None = None, *, draft: str | None = None, environ: Mapping[str, str] | None = None
) -> Engine:
    """Prepare the pocket model on this machine's CPU; nothing starts before `Engine.start`.

    Args:
        port: where it listens on 127.0.0.1. None: a port that is free now.
        draft: `eagle`: speculative decoding with the shipped draft; or the folder of one. None: without.
        environ: None: this process's own environment.

    Raises:
        EngineError: there is no such draft, or not for this model.
    """
    values = os.environ if environ is None else environ
    return Engine(
        plan(PlanOptions(model=MODEL_NAME, gpus="cpu", max_num_seqs=POCKET_REQUESTS, enforce_eager=True, draft=draft)),
        options=ServeOptions(port=port or free_port(), served_model_name=MODEL_NAME),
        python=lambda tell: cpu_python(values, tell),
        environ=environ,
    )


def _refuse_unknown_key(command: EngineCommand, environ: Mapping[str, str]) -> None:
    """Let no engine take a key from our environment that none of our requests would show.

    Source: vLLM 0.32.0, entrypoints/serve/middleware/register.py:33, read 2026-11.
    """
    has_own = any(variable.secret_file is not None for variable in command.environment)
    if command.engine == "vllm" and environ.get("VLLM_API_KEY") and not has_own:
        raise EngineError(
            "Cannot start the engine: VLLM_API_KEY is set, and no key file is given.",
            cause="vLLM would ask every request for that key, and nothing here would know it.",
            do="Unset VLLM_API_KEY, or put the key into a file and name that: --api-key-file FILE, or "
            "ServeOptions(api_key_file=...).",
        )


def _record_of(launch: Launch, engine: EngineProcess, max_model_len: int) -> ServerRecord:
    return ServerRecord(
        base_url=launch.base_url,
        model=launch.model,
        engine=launch.engine,
        pid=engine.process.pid,
        start_ticks=engine.process.start_ticks,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        log=str(engine.log),
        max_model_len=max_model_len,
        mark=launch.mark,
        api_key_file="" if launch.api_key_file is None else str(launch.api_key_file),
    )
