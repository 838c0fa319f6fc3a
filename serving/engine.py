"""Stand one engine up and take it down: environment, process, record file; composes the parts, decides little."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from os import environ as _environ
from pathlib import Path
from types import TracebackType
from typing import Self

from .engines import vllm
from .errors import EngineError
from .install import ensure_installed
from .places import cache_dir, state_dir
from .pocket import MAX_MODEL_LEN, MODEL_NAME, model_dir
from .process import Launch, RunningEngine, start_engine
from .process_group import free_port
from .progress import OnProgress, Phase, Progress
from .record import ServerRecord, current_server, forget_record, write_record

OVERRIDE = "TRAMONTANE_ENGINE_PYTHON"
"""The variable that names a Python which has vLLM, instead of the environment that is made here."""

FindPython = Callable[[Callable[[str], None]], Path]
"""Gives the interpreter that runs the engine, making its environment if need be; is told where to report."""


class Engine:
    """One engine's life, from nothing to an answering server and back.

    As a context manager it is stopped at the end of the block, unless it was started with `keep`.
    """

    def __init__(
        self,
        settings: vllm.VllmSettings,
        *,
        find_python: FindPython,
        port: int | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Only remember what to start.

        Args:
            settings: the engine's flags; its port is replaced.
            find_python: which interpreter runs it.
            port: where it listens. None: a free port, chosen at the start.
            environ: None: this process's own environment.
        """
        self._settings = settings
        self._find_python = find_python
        self._port = port
        self._environ = _environ if environ is None else environ
        self._running: RunningEngine | None = None
        self._record: ServerRecord | None = None
        self._kept = False

    @property
    def record(self) -> ServerRecord | None:
        """The running server; None: not started, or stopped."""
        return self._record

    def start(
        self, on_progress: OnProgress | None = None, *, keep: bool = False, deadline_s: float = 300.0
    ) -> ServerRecord:
        """Stand the server up; return when it has generated a token.

        Args:
            on_progress: receives what happens. None: nobody listens.
            keep: leave the server running after us, and write the record by which others find it.
            deadline_s: how long the start may take, without the installation; seconds.

        Raises:
            EngineError: it runs already, could not be installed, or did not come up. Nothing is left running.
        """
        state = state_dir(self._environ)
        self._refuse_second(keep=keep, state=state)
        begun = time.monotonic()

        def tell(phase: Phase, detail: str) -> None:
            if on_progress is not None:
                on_progress(Progress(phase=phase, elapsed_s=time.monotonic() - begun, detail=detail))

        python = self._find_python(lambda detail: tell("installing", detail))
        settings = dataclasses.replace(self._settings, port=self._port or free_port(self._settings.host))
        launch = self._launch(settings, python, state, outlives_us=keep)
        running = start_engine(launch, tell, deadline_s=deadline_s)
        self._running, self._kept = running, keep
        self._record = ServerRecord(
            base_url=settings.base_url,
            model=launch.model,
            engine="vllm",
            pid=running.process.pid,
            start_ticks=running.process.start_ticks,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            log=str(launch.log),
            max_model_len=settings.max_model_len or 0,
        )
        if keep:
            write_record(self._record, state)
        tell("ready", f"{launch.model} answers at {settings.base_url}")
        return self._record

    def stop(self) -> None:
        """End the server, kept or not; does nothing if none was started. The log goes with it, unless it died first."""
        running, record = self._running, self._record
        self._running = self._record = None
        if running is None or record is None:
            return
        if running.stop():
            Path(record.log).unlink(missing_ok=True)
        forget_record(record, state_dir(self._environ))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self.stop()

    def _launch(self, settings: vllm.VllmSettings, python: Path, state: Path, *, outlives_us: bool) -> Launch:
        state.mkdir(parents=True, exist_ok=True)
        root = f"http://{settings.host}:{settings.port}"
        # A PYTHONPATH of the user's project would put its modules before vLLM's.
        inherited = {name: value for name, value in self._environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        return Launch(
            command=settings.command(python),
            environment=inherited | vllm.environment(cache=cache_dir(self._environ)),
            folder=state,
            log=state / f"vllm-{settings.port}.log",
            health_url=root + vllm.HEALTH,
            chat_url=root + vllm.CHAT,
            model=settings.served_model_name or settings.model,
            outlives_us=outlives_us,
            read_line=_read_line,
            cause_of_death=vllm.cause_of_death,
        )

    def _refuse_second(self, *, keep: bool, state: Path) -> None:
        running = self._record or (current_server(state) if keep else None)
        if running is not None:
            raise EngineError(
                f"A server runs here already: {running.model!r} at {running.base_url}, process {running.pid}.",
                cause="",
                do="Use that one, or stop it first.",
            )


def pocket_engine(port: int | None = None, *, environ: Mapping[str, str] | None = None) -> Engine:
    """Prepare the pocket model on this machine's CPU; nothing starts before `Engine.start`.

    Args:
        port: where it listens on 127.0.0.1. None: a free port, chosen at the start.
        environ: None: this process's own environment.
    """
    values = _environ if environ is None else environ
    settings = vllm.VllmSettings(
        model=str(model_dir()),
        served_model_name=MODEL_NAME,
        max_model_len=MAX_MODEL_LEN,
        max_num_seqs=8,
        enforce_eager=True,  # Compiling takes a minute at each start and gains nothing at this size.
    )
    return Engine(settings, find_python=lambda tell: _cpu_python(values, tell), port=port, environ=environ)


def _cpu_python(environ: Mapping[str, str], tell: Callable[[str], None]) -> Path:
    named = environ.get(OVERRIDE)
    if not named:
        return ensure_installed(cache_dir(environ), on_detail=tell)
    if not Path(named).is_file():
        raise EngineError(
            f"Cannot start the engine: {OVERRIDE} is {named!r}, which is no file.",
            cause="",
            do="Let it name a Python that has vLLM, or unset it: then an environment is made.",
        )
    return Path(named)


def _read_line(line: str) -> tuple[Phase, str] | None:
    fact = vllm.read_start_line(line)
    return None if fact is None else (fact.phase, fact.detail)
