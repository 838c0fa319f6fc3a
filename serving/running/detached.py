"""Run a supervisor in a process of its own that outlives the one which asked for it, and its terminal.

The two are joined by pipes until the server is ready: what to start goes in, progress and result come out, a JSON
object on each line. Afterwards they meet in the record only.
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
from .signals import ended_by_signals
from .supervisor import Patience, Supervisor

_ROOT = str(Path(__file__).resolve().parents[2])
_START = "import sys; sys.path.insert(0, sys.argv[1]); from serving.running.detached import main; main()"


def start_detached(
    launch: Launch, *, inherited: Mapping[str, str], on_progress: OnProgress, silence_s: float = SILENCE_S
) -> ServerRecord:
    """Start the server under a supervisor of its own; return when it is ready.

    Args:
        launch: what to start.
        inherited: the variables that the engine gets besides its own.
        on_progress: receives what happens.
        silence_s: how long a start may say nothing, seconds.

    Raises:
        EngineError: one runs here already, or it did not come up. Nothing is left running.
    """
    with writing_to(launch.folder):
        launch.folder.mkdir(parents=True, exist_ok=True)
        supervisor_log = (launch.folder / "supervisor.log").open("wb")
    with supervisor_log as said:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, _ROOT, str(silence_s)],
            env=dict(inherited),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            cwd=launch.folder,
            start_new_session=True,
        )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:  # It leaves the supervisor behind and ends at once.
        try:
            with suppress(BrokenPipeError):  # It ended at once; why is in its log.
                child.stdin.write(launch.to_json())
                child.stdin.close()
            return _listen(child.stdout, on_progress)
        except EOFError as error:
            raise EngineError(
                "The supervisor ended before the server was ready.",
                cause=(launch.folder / "supervisor.log").read_text(encoding="utf-8", errors="replace").strip()[-2000:],
                do="Start again.",
            ) from error
        except BaseException:  # KeyboardInterrupt too: who gives up waiting does not want the server any more.
            # By its group, which is there before the supervisor can tell its own number. The number stays taken until
            # the child is waited for.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGTERM)
            for _ in child.stdout:  # Nobody else writes to it: it closes when the supervisor has ended.
                pass
            raise


def _listen(told: Iterable[str], on_progress: OnProgress) -> ServerRecord:
    """Follow what the supervisor tells until it says how the start went.

    Raises:
        EngineError: as the supervisor says.
        EOFError: it ended without a word.
    """
    for line in told:
        record = _understand(json.loads(line), on_progress)
        if record is not None:
            return record
    raise EOFError


def _understand(told: Mapping[str, Any], on_progress: OnProgress) -> ServerRecord | None:
    if "ready" in told:
        return ServerRecord(**told["ready"])
    if "failed" in told:
        raise _error(told["failed"])
    on_progress(Progress(**told["progress"]))
    return None


def main() -> NoReturn:
    """Be the supervisor that `start_detached` asks for."""
    launch = Launch.from_json(sys.stdin.read())
    # Twice removed, the supervisor is nobody's child: whoever asked for it need not reap it.
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # The terminal may close.
    with ended_by_signals(signal.SIGTERM):
        try:
            _supervise(launch, silence_s=float(sys.argv[2]))
        except EngineError as error:
            _tell({"failed": _told(error)})
        except KeyboardInterrupt:
            ended = EngineError("The server was ended from elsewhere.", cause="", do="Start again if nobody meant to.")
            _tell({"failed": _told(ended)})  # Once it is ready nobody listens.
    sys.exit(0)


def _supervise(launch: Launch, *, silence_s: float) -> NoReturn:
    supervisor = Supervisor(
        launch,
        inherited=os.environ,
        on_progress=lambda progress: _tell({"progress": asdict(progress)}),
        patience=Patience(silence_s=silence_s),
    )
    with supervisor:
        _tell({"ready": asdict(supervisor.start())})
        supervisor.watch()


def _tell(message: Mapping[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(message, default=str) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Who started us is content and gone. Nothing can be written from now on, and nothing needs to be.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: EngineError) -> Mapping[str, Any]:
    told: dict[str, Any] = {"what": error.what, "cause": error.cause, "do": error.do, "log": error.log}
    if isinstance(error, EngineDied):
        told["diagnosis"] = None if error.diagnosis is None else asdict(error.diagnosis)
    return told


def _error(told: dict[str, Any]) -> EngineError:
    log = told.pop("log")
    if "diagnosis" not in told:
        return EngineError(**told, log=None if log is None else Path(log))
    diagnosis = told.pop("diagnosis")
    return EngineDied(**told, diagnosis=None if diagnosis is None else Diagnosis(**diagnosis), log=Path(log))
