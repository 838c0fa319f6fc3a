"""Start an engine's process, wait until it answers, and end it; knows no engine, starts nothing a second time.

An engine never outlives who started it here: whoever is to watch over it for longer is a process of its own.
"""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any, cast

from ..errors import EngineError
from ..key_file import read_key
from ..progress import OnDetail, Phase
from .death import EngineDied
from .launch import Launch
from .marks import end_marked
from .postmortem import examine, read_start_line
from .process_group import ProcessId, identify, spawn, stop_group
from .watchdog import Watchdog

SILENCE_S = 600.0
"""How long an engine may say nothing while it starts. How long a start takes is no measure: 128 billion weights from a
cold network disk take longer than a hang does. But an engine that reads or downloads weights draws its progress."""

_POLL_S = 0.25
_HEALTH_S = 10.0
# The first request of an engine on a GPU compiles kernels.
_ANSWER_S = 300.0


class EngineProcess:
    """One start of one engine, from its first process to the last of them."""

    def __init__(self, launch: Launch, inherited: Mapping[str, str]) -> None:
        """Start the process; `wait_until_ready` comes next.

        Args:
            launch: what to start.
            inherited: the variables that it gets besides its own.

        Raises:
            EngineError: the program cannot be run, a key or the log's folder cannot be used, or the port is another
                server's.
        """
        self._launch = launch
        self._stopped = False
        if self.healthy():
            # It would be taken for ours, and be shown our key.
            raise EngineError(
                f"Cannot start the engine: another server answers at {launch.health_url} already.",
                cause="",
                do="Use that one, end it, or take another port.",
            )
        environment = launch.variables(inherited)
        self.log = launch.new_log()
        try:
            self._child = self._spawn(environment)
            self.process = identify(self._child.pid) or ProcessId(pid=self._child.pid, start_ticks=0)
            self._watchdog = Watchdog(self.process, launch.mark)
        except BaseException:  # KeyboardInterrupt too: nobody would know of the process.
            end_marked(launch.mark)
            raise

    def wait_until_ready(self, on_detail: OnDetail, *, silence_s: float = SILENCE_S) -> int:
        """Return when it has generated a token; on any failure nothing of it is left running.

        Args:
            on_detail: receives what the log and the endpoints tell, when it changes.
            silence_s: how long it may write nothing to its log before it is given up, seconds.

        Returns:
            How many tokens prompt and answer may have together, as the server says; 0: it does not.

        Raises:
            EngineDied: the engine ended, it refused the first request, or it fell silent.
        """
        try:
            self._wait_for_health(on_detail, silence_s)
            on_detail("first answer", "the server listens; asking for one token")
            return self._first_answer()
        except BaseException:  # KeyboardInterrupt too: no engine may outlive a start that did not succeed.
            self.stop()
            raise

    def wait_for_end(self, wait_s: float) -> int | None:
        """Return the exit status of the first process, or None after the wait if it still runs."""
        try:
            return self._child.wait(timeout=wait_s)
        except subprocess.TimeoutExpired:
            return None

    def healthy(self) -> bool:
        """Ask the server whether it is well."""
        try:
            with _direct().open(self._launch.health_url, timeout=_HEALTH_S) as reply:
                return bool(reply.status == 200)
        except (OSError, HTTPException):  # URLError is an OSError; so is a connection that is refused or reset.
            return False

    def died(self, what: str, *, cause: str = "") -> EngineDied:
        """Say that it is gone, with what its log shows of the reason."""
        return EngineDied(
            what,
            diagnosis=examine(self._launch.engine, self.log),
            cause=cause,
            do="Mend the cause and start again; the whole story is in the log.",
            log=self.log,
        )

    def stop(self) -> bool:
        """End it with all that it started; returns whether it still ran. A second time it does nothing."""
        if self._stopped:  # By now its number may be another's.
            return False
        self._stopped = True
        try:
            ran = stop_group(self.process, reap=self._child)
            # A worker that made a group of its own is not in ours.
            end_marked(self._launch.mark)
        except BaseException:  # A second Ctrl-C means: at once.
            end_marked(self._launch.mark, term_s=0.0)
            self.wait_for_end(_POLL_S)  # It is killed; only reaped it is gone.
            raise
        finally:
            self._watchdog.dismiss()
        return ran

    def _spawn(self, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        launch = self._launch
        try:
            return spawn(launch.command, environment=environment, folder=launch.folder, log=self.log)
        except OSError as error:
            raise EngineError(
                f"Cannot start the engine: {launch.command[0]!r} cannot be run.",
                cause=str(error),
                do="Is it an interpreter with vLLM? Check --python, or TRAMONTANE_ENGINE_PYTHON if it is set.",
            ) from error

    def _wait_for_health(self, on_detail: OnDetail, silence_s: float) -> None:
        facts = self._log_facts()
        phase: Phase = "importing"
        on_detail(phase, "starting Python and the engine, about 10 s without a word")
        size, heard = -1, time.monotonic()
        while True:
            healthy = self.healthy()
            for fact in iter(lambda: next(facts), None):
                phase = fact[0]
                on_detail(*fact)
            if healthy:
                return
            status = self.wait_for_end(_POLL_S)
            if status is not None:
                raise self.died(f"The engine ended during its start with exit status {status}.")
            if self.log.stat().st_size != size:
                size, heard = self.log.stat().st_size, time.monotonic()
            elif time.monotonic() - heard > silence_s:
                raise self.died(
                    f"The engine said nothing for {silence_s:g} s while it started; its last phase was {phase!r}."
                )

    def _log_facts(self) -> Iterator[tuple[Phase, str] | None]:
        """Yield what new log lines tell, and None each time that no line is waiting; never ends."""
        last: tuple[Phase, str] | None = None
        with self.log.open(encoding="utf-8", errors="replace") as log:
            held = ""
            while True:
                held += log.readline()
                if not held.endswith("\n"):
                    yield None
                    continue
                fact, held = read_start_line(self._launch.engine, held.rstrip()), ""
                if fact is not None and fact != last:
                    last = fact
                    yield fact

    def _first_answer(self) -> int:
        body = {"model": self._launch.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        url = f"{self._launch.base_url}/chat/completions"
        try:
            self._ask(url, json.dumps(body).encode())
            return _max_model_len(self._ask(f"{self._launch.base_url}/models", None))
        except (OSError, HTTPException) as error:  # An engine that dies in the middle of its answer is the latter.
            raise self.died(
                f"The engine listens, but its first request to {url} failed.", cause=_said(error)
            ) from error

    def _ask(self, url: str, data: bytes | None) -> bytes:
        request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
        if self._launch.api_key_file is not None:
            request.add_header("Authorization", f"Bearer {read_key(self._launch.api_key_file)}")
        with _direct().open(request, timeout=_ANSWER_S) as reply:
            return cast("bytes", reply.read())


def _said(error: Exception) -> str:
    """Read what a server says of the request that it refused; of any other failure take the error's own words."""
    try:
        return error.read().decode(errors="replace")[:500] if isinstance(error, urllib.error.HTTPError) else str(error)
    except (OSError, HTTPException):
        return str(error)


def _max_model_len(models: bytes) -> int:
    try:
        value: Any = json.loads(models)["data"][0]["max_model_len"]
    except (ValueError, LookupError, TypeError):
        return 0
    return value if isinstance(value, int) else 0


def _direct() -> urllib.request.OpenerDirector:
    # A proxy in the environment cannot reach the loopback address of this machine.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
