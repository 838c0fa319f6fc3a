"""Test the record file: its content on disk, and when it is ignored."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from serving import EngineError, ServerRecord, current_server, stop_server
from serving.running.process_group import identify
from serving.running.record import read_record, write_record


def a_record(pid: int, start_ticks: int) -> ServerRecord:
    return ServerRecord(
        base_url="http://127.0.0.1:8123/v1",
        model="pocket",
        engine="vllm",
        pid=pid,
        start_ticks=start_ticks,
        started_at="2026-11-23T16:00:00+00:00",
        log="/state/vllm-8123.log",
        max_model_len=8192,
    )


def of_this_process() -> ServerRecord:
    found = identify(os.getpid())
    assert found is not None
    return a_record(found.pid, found.start_ticks)


def test_the_file_holds_the_documented_fields_and_nothing_else_is_left(tmp_path: Path):
    write_record(a_record(4711, 123456), tmp_path / "state")

    assert [path.name for path in (tmp_path / "state").iterdir()] == ["server.json"]
    assert json.loads((tmp_path / "state" / "server.json").read_text()) == {
        "version": 1,
        "base_url": "http://127.0.0.1:8123/v1",
        "model": "pocket",
        "engine": "vllm",
        "pid": 4711,
        "start_ticks": 123456,
        "started_at": "2026-11-23T16:00:00+00:00",
        "log": "/state/vllm-8123.log",
        "max_model_len": 8192,
        "supervisor_pid": 0,
        "supervisor_start_ticks": 0,
        "mark": "",
        "state": "ready",
        "detail": "",
        "restarts": 0,
        "last_death": "",
        "api_key_file": "",
    }


def test_a_living_server_is_found(tmp_path: Path):
    record = of_this_process()
    write_record(record, tmp_path)

    assert current_server(tmp_path) == record


def test_a_process_that_reuses_the_pid_is_not_the_server_and_is_not_stopped(tmp_path: Path):
    record = replace(of_this_process(), start_ticks=1)
    write_record(record, tmp_path)

    assert current_server(tmp_path) is None
    assert stop_server(record, tmp_path) is False  # This test process was not stopped.
    assert read_record(tmp_path) is None


def test_a_process_that_exited_is_not_a_server(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    write_record(a_record(ended.pid, 5), tmp_path)

    assert current_server(tmp_path) is None


def test_unknown_keys_are_ignored_and_keys_missing_from_older_records_are_optional(tmp_path: Path):
    record = a_record(1, 1)
    written = {"version": 1, **asdict(record), "colour": "blue"}
    del written["mark"], written["state"], written["supervisor_pid"]
    (tmp_path / "server.json").write_text(json.dumps(written))

    assert read_record(tmp_path) == record


def test_a_server_is_present_while_its_supervisor_lives_unless_it_failed(tmp_path: Path):
    me = of_this_process()
    record = replace(a_record(0, 0), supervisor_pid=me.pid, supervisor_start_ticks=me.start_ticks, state="restarting")
    write_record(record, tmp_path)

    assert current_server(tmp_path) == record
    write_record(replace(record, state="failed"), tmp_path)
    assert current_server(tmp_path) is None


def test_a_file_that_is_not_a_record_of_this_version_is_ignored(tmp_path: Path):
    known = {"version": 1, **asdict(a_record(1, 1))}
    for text in (
        "",
        "[]",
        '"x"',
        json.dumps({**known, "version": 2}),
        '{"version": 1}',
        "[" * 100_000,
        *(
            json.dumps({**known, key: value})
            for key, value in (
                ("pid", "1"),
                ("pid", None),
                ("pid", True),
                ("start_ticks", 1.5),
                ("log", ["/log"]),
                ("state", "asleep"),
                ("engine", "llama"),
                ("started_at", "yesterday"),
                ("started_at", "2026-11-23T16:00:00"),
            )
        ),
    ):
        (tmp_path / "server.json").write_text(text)

        assert read_record(tmp_path) is None
    assert read_record(tmp_path / "missing") is None


def test_stopping_another_users_server_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    record = of_this_process()
    write_record(record, tmp_path)
    monkeypatch.setattr("os.kill", refuse)

    with pytest.raises(EngineError) as caught:
        stop_server(record, tmp_path)

    assert str(caught.value) == (
        f"Cannot stop pocket at http://127.0.0.1:8123/v1: process {os.getpid()} belongs to another user.\n"
        "Now:   Ask that user to run: agent serve stop."
    )
    assert read_record(tmp_path) == record


def test_stopping_a_server_keeps_the_record_of_another_server(tmp_path: Path):
    ours, other = a_record(999_999_999, 1), a_record(999_999_998, 2)
    write_record(other, tmp_path)

    stop_server(ours, tmp_path)

    assert read_record(tmp_path) == other
