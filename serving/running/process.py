"""Start an engine's process, wait until it answers, and stop it; engine-independent, never restarts it.

An engine never outlives the process that started it: to keep a server running, start it from a supervisor process.
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
from .postmortem import diagnose_log, read_start_line
from .process_group import ProcessId, identify, spawn, stop_group
from .watchdog import Watchdog

SILENCE_S = 600.0
"""How long an engine may write no output while it starts. The total time has no limit: loading 128 billion weights from
a cold network disk takes longer than a hang, but an engine that reads or downloads weights prints its progress."""

_POLL_S = 0.25
_HEALTH_S = 10.0
# On a GPU the first request compiles kernels.
_ANSWER_S = 300.0


class EngineProcess:
    """One start of one engine, with all its processes."""

    def __init__(self, launch: Launch, inherited: Mapping[str, str]) -> None:
        """Start the process; call `wait_until_ready` next.

        Args:
            launch: what to start.
            inherited: environment variables passed in addition to its own.

        Raises:
            EngineError: the program cannot be run, a key file or the log folder cannot be used, or another server uses
                the port.
        """
        self._launch = launch
        self._stopped = False
        if self.healthy():
            # It would be mistaken for this engine and receive its API key.
            raise EngineError(
                f"Cannot start the engine: another server already answers at {launch.health_url}.",
                cause="",
                do="Use that server, stop it, or choose another port.",
            )
        environment = launch.variables(inherited)
        self.log = launch.new_log()
        try:
            self._child = self._spawn(environment)
            self.process = identify(self._child.pid) or ProcessId(pid=self._child.pid, start_ticks=0)
            self._watchdog = Watchdog(self.process, launch.mark)
        except BaseException:  # KeyboardInterrupt too: nothing else would stop the process.
            end_marked(launch.mark)
            raise

    def wait_until_ready(self, on_detail: OnDetail, *, silence_s: float = SILENCE_S) -> int:
        """Return when it has generated a token; on any failure stop all its processes.

        Args:
            on_detail: receives each change of progress, from the log or the endpoints.
            silence_s: how long it may write nothing to its log before the start fails, seconds.

        Returns:
            The most tokens that prompt and answer may have together; 0 if the server does not report it.

        Raises:
            EngineDied: the engine exited, refused the first request, or wrote no output for `silence_s`.
        """
        try:
            self._wait_for_health(on_detail, silence_s)
            on_detail("first answer", "the server is listening; requesting one token")
            return self._request_first_answer()
        except BaseException:  # KeyboardInterrupt too: no engine may outlive a failed start.
            self.stop()
            raise

    def wait_for_end(self, wait_s: float) -> int | None:
        """Return the exit status of the first process, or None if it still runs after the wait."""
        try:
            return self._child.wait(timeout=wait_s)
        except subprocess.TimeoutExpired:
            return None

    def healthy(self) -> bool:
        """Return whether the health endpoint answers with 200."""
        try:
            with _opener_without_proxy().open(self._launch.health_url, timeout=_HEALTH_S) as reply:
                return bool(reply.status == 200)
        except (OSError, HTTPException):  # URLError is an OSError; so is a refused or reset connection.
            return False

    def death_error(self, what: str, *, cause: str = "") -> EngineDied:
        """Build the error for a failed engine, with the diagnosis of its log."""
        return EngineDied(
            what,
            diagnosis=diagnose_log(self._launch.engine, self.log),
            cause=cause,
            do="Fix the cause and start again; the log has the details.",
            log=self.log,
        )

    def stop(self) -> bool:
        """Stop all its processes; return whether it was still running. A second call does nothing."""
        if self._stopped:  # Its PID may have been reused.
            return False
        self._stopped = True
        try:
            ran = stop_group(self.process, reap=self._child)
            # A worker that created its own process group is not in this one.
            end_marked(self._launch.mark)
        except BaseException:  # A second Ctrl-C: kill without waiting.
            end_marked(self._launch.mark, term_s=0.0)
            self.wait_for_end(_POLL_S)  # Reap the killed process.
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
                f"Cannot start the engine: cannot execute {launch.command[0]!r}.",
                cause=str(error),
                do="Check that --python, or TRAMONTANE_ENGINE_PYTHON if it is set, is an interpreter with vLLM.",
            ) from error

    def _wait_for_health(self, on_detail: OnDetail, silence_s: float) -> None:
        facts = self._log_facts()
        phase: Phase = "importing"
        on_detail(phase, "starting Python and the engine; no output for about 10 s")
        size, last_output = -1, time.monotonic()
        while True:
            healthy = self.healthy()
            for fact in iter(lambda: next(facts), None):
                phase = fact[0]
                on_detail(*fact)
            if healthy:
                return
            status = self.wait_for_end(_POLL_S)
            if status is not None:
                raise self.death_error(f"The engine exited with status {status} while starting.")
            if self.log.stat().st_size != size:
                size, last_output = self.log.stat().st_size, time.monotonic()
            elif time.monotonic() - last_output > silence_s:
                raise self.death_error(
                    f"The engine wrote no output for {silence_s:g} s while starting; its last phase was {phase!r}."
                )

    def _log_facts(self) -> Iterator[tuple[Phase, str] | None]:
        """Yield the facts in new log lines, and None whenever no complete line is available; never ends."""
        last: tuple[Phase, str] | None = None
        with self.log.open(encoding="utf-8", errors="replace") as log:
            line = ""
            while True:
                line += log.readline()
                if not line.endswith("\n"):
                    yield None
                    continue
                fact, line = read_start_line(self._launch.engine, line.rstrip()), ""
                if fact is not None and fact != last:
                    last = fact
                    yield fact

    def _request_first_answer(self) -> int:
        body = {"model": self._launch.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        url = f"{self._launch.base_url}/chat/completions"
        try:
            self._send(url, json.dumps(body).encode())
            return _max_model_len(self._send(f"{self._launch.base_url}/models", None))
        except (OSError, HTTPException) as error:  # HTTPException if the engine dies in the middle of its answer.
            raise self.death_error(
                f"The engine is listening, but the first request to {url} failed.", cause=_error_text(error)
            ) from error

    def _send(self, url: str, data: bytes | None) -> bytes:
        request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
        if self._launch.api_key_file is not None:
            request.add_header("Authorization", f"Bearer {read_key(self._launch.api_key_file)}")
        with _opener_without_proxy().open(request, timeout=_ANSWER_S) as reply:
            return cast("bytes", reply.read())


def _error_text(error: Exception) -> str:
    """Return the body of an HTTP error, or the text of any other error."""
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


def _opener_without_proxy() -> urllib.request.OpenerDirector:
    # A proxy set in the environment cannot reach this machine's loopback address.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
