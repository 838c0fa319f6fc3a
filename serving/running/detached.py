"""Run a supervisor in its own process, which outlives the process that started it and the terminal.

Until the server is ready the two are connected by pipes: the launch goes in, progress and the result come out, one JSON
object per line. Afterwards they share only the record.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from ..directories import writing_to
from ..doctor.records import Diagnosis
from ..errors import EngineError
from ..progress import OnProgress, Progress
from .death import EngineDied
from .launch import Launch
from .process import SILENCE_S
from .record import ServerRecord
from .signals import interrupt_on
from .supervisor import Patience, Supervisor

_ROOT = str(Path(__file__).resolve().parents[__name__.count(".")])
_START = f"import sys; sys.path.insert(0, sys.argv[1]); from {__name__} import main; main()"


def start_detached(
    launch: Launch, *, inherited: Mapping[str, str], on_progress: OnProgress, silence_s: float = SILENCE_S
) -> ServerRecord:
    """Start the server under its own supervisor; return when it is ready.

    Args:
        launch: what to start.
        inherited: environment variables passed to the engine in addition to its own.
        on_progress: receives each progress record.
        silence_s: how long the engine may write no output while it starts, seconds.

    Raises:
        EngineError: a server is already running here, or this one did not start. Nothing is left running.
    """
    with writing_to(launch.folder):
        launch.folder.mkdir(parents=True, exist_ok=True)
        supervisor_log = (launch.folder / "supervisor.log").open("wb")
    with supervisor_log as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, _ROOT, str(silence_s)],
            env=dict(inherited),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            cwd=launch.folder,
            start_new_session=True,
        )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:  # It forks the supervisor and exits at once.
        try:
            with suppress(BrokenPipeError):  # It exited early; its log shows why.
                child.stdin.write(launch.to_json())
                child.stdin.close()
            return _read_result(child.stdout, on_progress)
        except EOFError as error:
            raise EngineError(
                "The supervisor exited before the server was ready.",
                cause=(launch.folder / "supervisor.log").read_text(encoding="utf-8", errors="replace").strip()[-2000:],
                do="Start again.",
            ) from error
        except BaseException:  # KeyboardInterrupt too: a caller that stops waiting no longer wants the server.
            # Signal the group: it exists before the supervisor can report its PID. The group ID cannot be reused before
            # the child is reaped.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGTERM)
            for _ in child.stdout:  # The supervisor is the only writer: the pipe closes when it exits.
                pass
            raise


def _read_result(lines: Iterable[str], on_progress: OnProgress) -> ServerRecord:
    """Read the supervisor's messages until the start has succeeded or failed.

    Raises:
        EngineError: the supervisor reports that the start failed.
        EOFError: the supervisor exited without reporting a result.
    """
    for line in lines:
        record = _handle_message(json.loads(line), on_progress)
        if record is not None:
            return record
    raise EOFError


def _handle_message(message: Mapping[str, Any], on_progress: OnProgress) -> ServerRecord | None:
    if "ready" in message:
        return ServerRecord(**message["ready"])
    if "failed" in message:
        raise _error_from_data(message["failed"])
    on_progress(Progress(**message["progress"]))
    return None


def main() -> NoReturn:
    """Run the supervisor that `start_detached` starts."""
    launch = Launch.from_json(sys.stdin.read())
    # Double fork: the supervisor is reparented to init, so the process that started it need not reap it.
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # The terminal may close.
    with interrupt_on(signal.SIGTERM):
        try:
            _supervise(launch, silence_s=float(sys.argv[2]))
        except EngineError as error:
            _send({"failed": _error_to_data(error)})
        except KeyboardInterrupt:
            stopped = EngineError(
                "Another process stopped the server.", cause="", do="Start again if that was not intended."
            )
            _send({"failed": _error_to_data(stopped)})  # Nobody reads this once the server is ready.
    sys.exit(0)


def _supervise(launch: Launch, *, silence_s: float) -> NoReturn:
    supervisor = Supervisor(
        launch,
        inherited=os.environ,
        on_progress=lambda progress: _send({"progress": asdict(progress)}),
        patience=Patience(silence_s=silence_s),
    )
    with supervisor:
        _send({"ready": asdict(supervisor.start())})
        supervisor.watch()


def _send(message: Mapping[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(message, default=str) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The process that started this one has exited after the server became ready. No more output is needed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _error_to_data(error: EngineError) -> Mapping[str, Any]:
    data: dict[str, Any] = {"what": error.what, "cause": error.cause, "do": error.do, "log": error.log}
    if isinstance(error, EngineDied):
        data["diagnosis"] = None if error.diagnosis is None else asdict(error.diagnosis)
    return data


def _error_from_data(data: dict[str, Any]) -> EngineError:
    log = data.pop("log")
    if "diagnosis" not in data:
        return EngineError(**data, log=None if log is None else Path(log))
    diagnosis = data.pop("diagnosis")
    return EngineDied(**data, diagnosis=None if diagnosis is None else Diagnosis(**diagnosis), log=Path(log))
