"""Test supervision: when a dead engine is restarted, and what is left when its supervisor is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serving import EngineError, Progress
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.engines import engine_command
from serving.engines.command import ServeOptions
from serving.running.detached import start_detached
from serving.running.launch import LOGS_KEPT, Launch, launch_of
from serving.running.lock import exclusive_server
from serving.running.marks import end_marked, find_marked, mark_environment, new_mark
from serving.running.process_group import free_port, identify
from serving.running.record import ServerRecord, current_server, find_orphans, read_record, stop_server, write_record
from serving.running.restarts import Death, GiveUp, Restart, RestartPolicy, decide
from serving.running.signals import interrupt_on
from serving.running.supervisor import Patience, Supervisor

if TYPE_CHECKING:
    from conftest import StartMarked

FAKE = Path(__file__).parents[1] / "data" / "fake_engine.py"
QUICK = Patience(silence_s=20.0, hang_s=0.2, poll_s=0.05)


def died(ready_s: float = 0.0, *, fatal: bool = False) -> Death:
    return Death(ready_s=ready_s, fatal=fatal)


def test_the_delay_doubles_with_each_death_up_to_a_minute():
    policy = RestartPolicy(max_restarts=7)
    assert [decide([died()] * count, policy) for count in range(1, 8)] == [
        Restart(wait_s=seconds) for seconds in (2, 4, 8, 16, 32, 60, 60)
    ]


def test_too_many_consecutive_deaths_end_the_restarts_however_long_each_start_takes():
    assert decide([died(300.0)] * 5) == Restart(wait_s=32)
    assert decide([died(300.0)] * 6) == GiveUp(
        why="It died 6 times with less than 10 minutes of service in between, so it is not restarted."
    )


def test_a_stable_period_resets_the_count_of_deaths():
    assert decide([*[died()] * 5, died(600.0)]) == Restart(wait_s=2)
    assert decide([*[died()] * 5, died(600.0), died()]) == Restart(wait_s=4)


def test_a_fatal_death_is_not_retried():
    assert decide([died(fatal=True)]) == GiveUp(
        why="It would fail again with this configuration, so it is not restarted."
    )


def an_environ(tmp_path: Path, mode: str = "") -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PIDS": str(tmp_path / "pids"),
        "SICK": str(tmp_path / "sick"),
        "MODE": mode,
    }


def a_launch(tmp_path: Path, key: Path | None = None) -> Launch:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    program.chmod(0o755)
    options = ServeOptions(port=free_port(), served_model_name="tiny", api_key_file=key)
    command = engine_command(plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=4096)), options)
    return launch_of(command, python=program, state=tmp_path / "state")


def a_supervisor(
    tmp_path: Path, on_progress: Callable[[Progress], None] = lambda _: None, *, mode: str = ""
) -> Supervisor:
    return Supervisor(
        a_launch(tmp_path),
        inherited=an_environ(tmp_path, mode),
        on_progress=on_progress,
        patience=QUICK,
        sleep=lambda _: None,
    )


def starts(tmp_path: Path) -> list[list[int]]:
    """Return the PIDs of leader and worker of each start so far."""
    written = tmp_path / "pids"
    return (
        [[int(word) for word in line.split()] for line in written.read_text().splitlines()] if written.exists() else []
    )


def left_running(tmp_path: Path) -> list[int]:
    return [pid for start in starts(tmp_path) for pid in start if identify(pid) is not None]


class EnoughError(Exception):
    """Ends an endless watch."""


def test_a_killed_engine_is_restarted_and_its_old_workers_are_stopped(tmp_path: Path):
    phases: list[str] = []

    def on_progress(progress: Progress) -> None:
        phases.append(progress.phase)
        if phases.count("ready") == 2:
            raise EnoughError

    with a_supervisor(tmp_path, on_progress) as supervisor:
        first = supervisor.start()
        assert read_record(tmp_path / "state") == first
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(EnoughError):
            supervisor.watch()
    (old, _), (new, _) = starts(tmp_path)
    record = supervisor.record

    assert (first.pid, record.pid) == (old, new)
    assert (record.state, record.restarts, record.detail) == ("ready", 1, "")
    assert (record.last_death, record.max_model_len) == ("The engine exited with status -9.", 4096)
    assert record.log != first.log
    assert list(dict.fromkeys(phases)) == ["importing", "loading weights", "first answer", "ready", "restarting"]
    assert left_running(tmp_path) == []
    assert read_record(tmp_path / "state") is None


def test_an_engine_that_hangs_counts_as_dead(tmp_path: Path):
    reports: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        reports.append(progress)
        if progress.phase == "restarting":
            raise EnoughError

    with a_supervisor(tmp_path, on_progress) as supervisor:
        record = supervisor.start()
        (tmp_path / "sick").touch()
        with pytest.raises(EnoughError):
            supervisor.watch()

    assert reports[-1].detail == (
        f"The engine is running, but {record.base_url.removesuffix('/v1')}/health has not returned 200 for 0.2 s. "
        f"Restart 1 in 2 s; log {record.log}"
    )
    assert left_running(tmp_path) == []


def test_a_configuration_error_at_a_restart_ends_the_restarts_and_stays_in_the_record(tmp_path: Path):
    with a_supervisor(tmp_path, mode="once") as supervisor:
        os.kill(supervisor.start().pid, signal.SIGKILL)
        with pytest.raises(EngineError) as caught:
            supervisor.watch()

    assert caught.value.what == (
        "The engine exited with status 1 while starting. "
        "It would fail again with this configuration, so it is not restarted."
    )
    record = read_record(tmp_path / "state")
    assert record is not None
    assert (record.state, record.restarts, record.pid) == ("failed", 1, 0)
    assert record.detail.startswith(
        "It would fail again with this configuration, so it is not restarted.\n"
        "The engine exited with status 1 while starting.\nCause: "
    )
    assert current_server(tmp_path / "state") is None
    assert left_running(tmp_path) == []


def test_a_program_that_is_missing_at_a_restart_is_reported_in_the_record(tmp_path: Path):
    with a_supervisor(tmp_path) as supervisor:
        first = supervisor.start()
        (tmp_path / "python").unlink()
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(EngineError) as caught:
            supervisor.watch()

    record = read_record(tmp_path / "state")
    assert record is not None
    assert (record.state, record.detail) == ("failed", str(caught.value))
    assert caught.value.what == f"Cannot start the engine: cannot execute '{tmp_path}/python'."
    assert left_running(tmp_path) == []


def test_a_failed_first_start_is_not_retried_and_leaves_no_record(tmp_path: Path):
    with pytest.raises(EngineError), a_supervisor(tmp_path, mode="dies") as supervisor:
        supervisor.start()

    assert len(starts(tmp_path)) == 1
    assert read_record(tmp_path / "state") is None
    assert left_running(tmp_path) == []


def test_a_second_server_is_refused_while_one_is_starting_or_running(tmp_path: Path):
    with a_supervisor(tmp_path) as supervisor:
        with pytest.raises(EngineError) as caught, a_supervisor(tmp_path):
            pass
        assert str(caught.value) == (
            "A server is already starting here.\nNow:   Wait for it, or stop it: agent serve stop."
        )
        record = supervisor.start()
        with pytest.raises(EngineError) as caught, a_supervisor(tmp_path):
            pass
        assert str(caught.value) == (
            f"A server is already running here: 'tiny' at {record.base_url}, process {record.pid}, ready.\n"
            "Now:   Use it, or stop it first: agent serve stop."
        )


def a_program(body: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time\n{body}"]


def test_only_processes_that_carry_the_mark_are_stopped(tmp_path: Path, start_marked: StartMarked):
    mark = new_mark()
    foreign = start_marked(new_mark())
    ours = start_marked(mark)
    try:
        assert [process.pid for process in find_marked(mark)] == [ours.pid]
        assert end_marked(mark) == 1
        assert (ours.wait(), foreign.poll()) == (-signal.SIGTERM, None)
    finally:
        foreign.kill()
        foreign.wait()


def test_a_process_that_ignores_sigterm_is_killed():
    mark = new_mark()
    stubborn = subprocess.Popen(
        a_program("import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()"),
        env=mark_environment(mark),
        stdout=subprocess.PIPE,
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()

    assert end_marked(mark, term_s=0.0) == 1
    with stubborn:
        assert stubborn.wait() == -signal.SIGKILL


def until(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        os.sched_yield()
    assert condition()


def test_a_worker_left_by_a_killed_supervisor_watchdog_and_leader_is_stopped_by_the_next_start(
    tmp_path: Path, start_marked: StartMarked
):
    """The worst case: every process that could clean up gets SIGKILL; only a worker in its own session survives."""
    launch = a_launch(tmp_path)
    worker = start_marked(launch.mark)
    dead = ServerRecord(
        base_url=launch.base_url, model="tiny", engine="vllm", pid=999_999_999, start_ticks=1, started_at="", log="",
        max_model_len=0, supervisor_pid=999_999_998, supervisor_start_ticks=1, mark=launch.mark,
    )  # fmt: skip
    write_record(dead, tmp_path / "state")

    assert [process.pid for process in find_orphans(dead)] == [worker.pid]
    with exclusive_server(tmp_path / "state") as stopped:
        assert stopped == 1
    assert worker.wait() == -signal.SIGTERM
    assert read_record(tmp_path / "state") is None


def test_the_workers_of_a_killed_server_are_stopped_by_stop(tmp_path: Path, start_marked: StartMarked):
    mark = new_mark()
    worker = start_marked(mark)
    dead = ServerRecord(
        base_url="", model="tiny", engine="vllm", pid=999_999_999, start_ticks=1, started_at="", log="",
        max_model_len=0, mark=mark,
    )  # fmt: skip
    write_record(dead, tmp_path)

    assert stop_server(dead, tmp_path) is True
    assert worker.wait() == -signal.SIGTERM
    assert read_record(tmp_path) is None


DETACHED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it.
from pathlib import Path
from serving.running.detached import start_detached
from serving.running.launch import Launch
record = start_detached(Launch.from_json(sys.stdin.read()), inherited=dict(__import__("os").environ), on_progress=print)
print("ready", record.pid, record.supervisor_pid)
"""


def detached(tmp_path: Path) -> ServerRecord:
    """Start a server from a process that exits at once; look it up by its record."""
    done = subprocess.run(
        [sys.executable, "-c", DETACHED], input=a_launch(tmp_path).to_json(), text=True, env=an_environ(tmp_path),
        capture_output=True, check=True,
    )  # fmt: skip
    assert "ready" in done.stdout
    record = current_server(tmp_path / "state")
    assert record is not None
    return record


def test_a_kept_server_outlives_the_process_that_started_it_and_stops_when_its_supervisor_is_killed(tmp_path: Path):
    record = detached(tmp_path)
    assert identify(record.pid) is not None
    assert len(left_running(tmp_path)) == 2

    os.kill(record.supervisor_pid, signal.SIGKILL)

    until(lambda: not left_running(tmp_path))
    assert current_server(tmp_path / "state") is None


def test_a_kept_server_is_restarted_and_can_be_stopped_through_its_record(tmp_path: Path):
    record = detached(tmp_path)
    os.kill(record.pid, signal.SIGKILL)
    until(lambda: len(starts(tmp_path)) == 2 and (read_record(tmp_path / "state") or record).restarts == 1)
    again = read_record(tmp_path / "state")
    assert again is not None

    assert stop_server(again, tmp_path / "state") is True

    assert left_running(tmp_path) == []
    assert identify(record.supervisor_pid) is None
    assert read_record(tmp_path / "state") is None


def processes_of(tmp_path: Path) -> list[str]:
    """Return the PIDs of all processes, engine or not, whose HOME is that of `an_environ`."""
    wanted = f"HOME={tmp_path}".encode()
    return [folder.name for folder in Path("/proc").glob("[0-9]*") if wanted in environment_of(folder)]


def environment_of(folder: Path) -> list[bytes]:
    with contextlib.suppress(OSError):
        return (folder / "environ").read_bytes().split(b"\0")
    return []


def test_an_interrupt_before_the_supervisors_first_message_stops_the_supervisor_too(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", DETACHED], stdin=subprocess.PIPE, text=True, env=an_environ(tmp_path),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as starting:  # fmt: skip
        assert starting.stdin is not None
        assert starting.stderr is not None
        starting.stdin.write(a_launch(tmp_path).to_json())
        starting.stdin.close()
        until(lambda: len(processes_of(tmp_path)) > 1)
        starting.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in starting.stderr.read()

    until(lambda: not processes_of(tmp_path))
    assert read_record(tmp_path / "state") is None


def test_a_second_interrupt_during_the_stop_leaves_no_worker_and_no_record(tmp_path: Path):
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        supervisor = a_supervisor(tmp_path, mode="stubborn").__enter__()
        supervisor.start()
        signal.setitimer(signal.ITIMER_REAL, 0.5)  # The engine ignores SIGTERM, so stopping it takes longer.
        with pytest.raises(KeyboardInterrupt):
            supervisor.__exit__(None, None, None)
    finally:
        signal.signal(signal.SIGALRM, before)

    assert left_running(tmp_path) == []
    assert read_record(tmp_path / "state") is None


def test_an_ignored_sighup_stays_ignored_as_nohup_requires():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupt_on(signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_state_folder_that_is_not_writable_is_reported(tmp_path: Path):
    launch = a_launch(tmp_path)
    launch.folder.write_text("a file")
    for begin in (
        lambda: a_supervisor(tmp_path).__enter__(),
        lambda: start_detached(launch, inherited=an_environ(tmp_path), on_progress=lambda _: None),
        launch.new_log,
    ):
        with pytest.raises(EngineError) as caught:
            begin()
        cause = "Not a directory" if begin == launch.new_log else "File exists"
        assert str(caught.value) == (
            f"Cannot write to '{tmp_path}/state', the folder for the server's record and logs.\n"
            f"Cause: {cause}\n"
            "Now:   Free some disk space, or set XDG_STATE_HOME to a folder that you can write to."
        )


def test_a_relative_python_path_is_made_absolute_since_the_engine_starts_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    command = engine_command(plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=4096)), ServeOptions())
    assert launch_of(command, python=Path("python"), state=tmp_path).command[0] == f"{tmp_path}/python"


def test_the_failed_start_of_a_kept_server_is_reported_to_the_waiting_process(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", DETACHED], input=a_launch(tmp_path).to_json(), text=True,
        env=an_environ(tmp_path, "dies"), capture_output=True, check=False,
    )  # fmt: skip
    assert "serving.running.death.EngineDied: The engine exited with status 1 while starting." in done.stderr
    assert left_running(tmp_path) == []
    assert read_record(tmp_path / "state") is None


def test_a_supervisor_that_cannot_start_is_reported_with_its_output(tmp_path: Path):
    with pytest.raises(EngineError) as caught:
        start_detached(a_launch(tmp_path), inherited={"PYTHONHOME": "/no/such"}, on_progress=lambda _: None)
    assert caught.value.what == "The supervisor exited before the server was ready."
    assert "No module named 'encodings'" in caught.value.cause
    assert caught.value.do == "Start again."


def test_a_launch_survives_the_round_trip_through_json(tmp_path: Path):
    key = tmp_path / "key"
    launch = a_launch(tmp_path, key)
    assert Launch.from_json(launch.to_json()) == launch


def test_a_key_reaches_the_engine_and_the_first_request_but_no_written_file(tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("s3cr3t-k3y\n")
    key.chmod(0o600)
    launch = a_launch(tmp_path, key)
    with Supervisor(launch, inherited=an_environ(tmp_path), on_progress=lambda _: None, patience=QUICK) as supervisor:
        record = supervisor.start()
        written = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]

        assert not any("s3cr3t" in path.read_text() for path in written)
        assert "s3cr3t" not in Path(f"/proc/{record.pid}/cmdline").read_text() + launch.to_json()
    assert record.api_key_file == str(key)


def test_only_the_newest_logs_are_kept(tmp_path: Path):
    launch = a_launch(tmp_path)
    logs = [launch.new_log() for _ in range(LOGS_KEPT)]
    for age, log in enumerate(logs):
        log.touch()
        os.utime(log, (age, age))

    new = launch.new_log()

    assert sorted(launch.logs.iterdir()) == [*logs[1:], new]
