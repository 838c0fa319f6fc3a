"""Start and stop one engine from a plan or a command; combines the other modules, decides little itself."""

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
from .readiness.versions import installed_versions, raise_if_broken, version_problems
from .running.death import EngineDied
from .running.detached import start_detached
from .running.launch import Launch, launch_of
from .running.postmortem import read_summary
from .running.process import SILENCE_S, EngineProcess
from .running.process_group import free_port
from .running.record import ServerRecord, stop_server
from .running.supervisor import Patience, Supervisor

MAX_FITS = 2
"""Starts with a smaller plan after one that ran out of memory; needing a third would mean the estimates are wrong."""

POCKET_REQUESTS = 8
"""Concurrent requests to the pocket model on the CPU."""

_R = TypeVar("_R")


class Engine:
    """Starts, supervises and stops one engine.

    Used as a context manager, it stops the engine at the end of the block, unless it was started with `keep`.
    """

    def __init__(
        self,
        what: Plan | EngineCommand,
        *,
        options: ServeOptions | None = None,
        python: Path | FindPython | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Store the arguments; start nothing.

        Args:
            what: the plan of the engine, or its command.
            options: the address of a planned engine; a command has its own. None means on this machine only, on a port
                that is free now.
            python: the interpreter that runs it. None means the one in `TRAMONTANE_ENGINE_PYTHON`, or this one, or that
                of the engine's program on the PATH.
            environ: None means this process's environment.

        Raises:
            EngineError: the plan cannot be served with these options.
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
        """The running server; None if it is not started or was stopped."""
        return self._record

    def start(
        self,
        on_progress: OnProgress | None = None,
        *,
        keep: bool = False,
        fit: bool = False,
        silence_s: float = SILENCE_S,
    ) -> ServerRecord:
        """Start the server; return when it has generated a token.

        Args:
            on_progress: receives each progress record. None means progress is not reported.
            keep: leave the server running after this process exits, under its own supervisor process and recorded so
                that other processes find it.
            fit: if a planned engine runs out of memory, start it again with the nearest plan that fits.
            silence_s: how long the engine may write no output while it starts, seconds.

        Raises:
            EngineError: it is already running, could not be installed, is known to fail with the installed package
                versions, or did not start. Nothing is left running.
        """
        if self._record is not None:
            raise EngineError(
                f"This engine is already running: {self._record.model!r} at {self._record.base_url}.",
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

        record = self._start_with_fit(begin, report.detail, fit=fit)
        self._save_measurement(record)
        self._record, self._kept = record, keep
        if not keep:
            report.detail("ready", f"{record.model} answers at {record.base_url}")
        return record

    def supervise(self, on_progress: OnProgress, *, fit: bool = False, patience: Patience | None = None) -> None:
        """Start the server and supervise it in this process until an exception such as KeyboardInterrupt ends it.

        The server is recorded so that other processes find it, restarted when it dies, and stopped completely at the
        end.

        Args:
            on_progress: receives each progress record.
            fit: as for `start`.
            patience: timeouts after which the engine counts as dead. None means the defaults.

        Raises:
            EngineError: a server is already running here, this one did not start, or it died and is not restarted.
        """
        report = _Report(on_progress)

        def begin(launch: Launch) -> NoReturn:
            with Supervisor(
                launch, inherited=self._environ, on_progress=on_progress, patience=patience or Patience()
            ) as supervisor:
                self._save_measurement(supervisor.start())
                supervisor.watch()

        self._start_with_fit(begin, report.detail, fit=fit)

    def stop(self) -> None:
        """Stop the server, kept or not; do nothing if none was started."""
        running, record = self._running, self._record
        self._running = self._record = None
        if running is not None:
            running.stop()
        elif record is not None:
            stop_server(record, state_dir(self._environ))

    def nearest_fit(self, error: EngineDied) -> Change | None:
        """Return the smallest change that fits after a start that ran out of memory; None otherwise, or if unknown."""
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

    def _start_with_fit(self, begin: Callable[[Launch], _R], report: OnDetail, *, fit: bool) -> _R:
        """Start the command; with `fit`, retry with a smaller plan each time it runs out of memory."""
        for _ in range(MAX_FITS if fit else 0):
            try:
                return begin(self._launch(report))
            except EngineDied as error:
                change = self.nearest_fit(error)
                if change is None:
                    raise
                report(
                    "restarting", f"{error.what} {error.cause} Retrying with the nearest plan that fits: {change.what}"
                )
                self._plan = decide(change.request, lambda _: None)
                self._command = engine_command(self._plan, self._options)
        return begin(self._launch(report))

    def _save_measurement(self, record: ServerRecord) -> None:
        """Save the figures of the start, so that later plans of the same configuration need no estimate."""
        summary = read_summary(record.engine, Path(record.log))
        if self._plan is not None and summary is not None and summary.version and summary.kv_tokens:
            facts = MeasuredStart(
                engine_version=summary.version, kv_cache_tokens=summary.kv_tokens, compiled=summary.compiled
            )
            with suppress(OSError):  # A running server is not stopped because its figures cannot be saved.
                record_start(facts, self._plan.request, state_dir(self._environ))

    def _launch(self, report: OnDetail) -> Launch:
        python = self._python
        if python is None:
            python = gpu_python(self._command.engine, self._environ)
        elif not isinstance(python, Path):
            python = python(lambda detail: report("installing", detail))
        _refuse_unknown_key(self._command, self._environ)
        raise_if_broken(version_problems(installed_versions(python), self._command), python)
        return launch_of(self._command, python=python, state=state_dir(self._environ))


class _Report:
    """Adds the elapsed time to progress."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._began_s = monotonic()

    def detail(self, phase: Phase, detail: str) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(phase=phase, elapsed_s=monotonic() - self._began_s, detail=detail))

    def progress(self, progress: Progress) -> None:
        """Forward another process's progress, with the elapsed time of this one, which began earlier."""
        self.detail(progress.phase, progress.detail)


def pocket_engine(
    port: int | None = None, *, draft: str | None = None, environ: Mapping[str, str] | None = None
) -> Engine:
    """Prepare the pocket model on this machine's CPU; start nothing before `Engine.start`.

    Args:
        port: the port on 127.0.0.1. None means a port that is free now.
        draft: `eagle` for speculative decoding with the shipped draft model, or the folder of one. None means no draft.
        environ: None means this process's environment.

    Raises:
        EngineError: the draft does not exist or does not match this model.
    """
    values = os.environ if environ is None else environ
    return Engine(
        plan(PlanOptions(model=MODEL_NAME, gpus="cpu", max_num_seqs=POCKET_REQUESTS, enforce_eager=True, draft=draft)),
        options=ServeOptions(port=port or free_port(), served_model_name=MODEL_NAME),
        python=lambda report: cpu_python(values, report),
        environ=environ,
    )


def _refuse_unknown_key(command: EngineCommand, environ: Mapping[str, str]) -> None:
    """Refuse to start vLLM with a key from the environment, which the requests would not send.

    Source: vLLM 0.32.0, entrypoints/serve/middleware/register.py:33, read 2026-11.
    """
    has_own = any(variable.secret_file is not None for variable in command.environment)
    if command.engine == "vllm" and environ.get("VLLM_API_KEY") and not has_own:
        raise EngineError(
            "Cannot start the engine: VLLM_API_KEY is set, and no key file is given.",
            cause="vLLM would require that key in every request, and the requests would not send it.",
            do="Unset VLLM_API_KEY, or write the key to a file and pass it: --api-key-file FILE, or "
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
