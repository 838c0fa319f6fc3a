"""`agent doctor` as a user types it: its output, its exit codes, and its message for a file that is not a log."""

import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from agent.cli import main
from serving.directories import state_dir
from serving.running.record import ServerRecord, write_record

REAL = Path(__file__).parents[1] / "data" / "engine_logs" / "vllm-0.32.0-cpu"


def test_a_failed_start_is_reported_with_line_cause_and_fix(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "engine.log"
    log.write_bytes((REAL / "bad_flag.log").read_bytes())

    assert main(["doctor", "--log", str(log)]) == 1
    assert capsys.readouterr().out == (
        f"{log}: One problem in 5 lines.\n"
        "\n"
        "1. The engine has no flag --max-model-length\n"
        "   line 5: main.py: error: unrecognized arguments: --max-model-length 4096\n"
        "   why: It parsed the command line up to `--max-model-length 4096`.\n"
        "   fix: Did you mean `--max-model-len`?\n"
    )


def test_a_healthy_log_has_no_problems_and_its_values_are_shown(capsys: pytest.CaptureFixture[str]):
    log = REAL / "healthy.log"

    assert main(["doctor", "--log", str(log)]) == 0
    assert capsys.readouterr().out == (
        f"{log}: No problems in 136 lines.\n"
        "\n"
        "The log shows:\n"
        "  engine     vLLM 0.32.0, MistralForCausalLM\n"
        "  model      /home/user/models/pocket\n"
        "  KV cache   279,552 tokens, 34.12 requests of 8,192 tokens\n"
        "  start      reading weights 0.0 s, everything after the weights 6.4 s\n"
        "  ready      yes, at http://127.0.0.1:8761\n"
    )


def test_problems_are_numbered_and_notes_are_separate(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--log", str(REAL / "requests.log")]) == 1

    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith(": 7 problems in 259 lines.")
    assert [line for line in shown if line[:1].isdigit()][:2] == [
        "1. The last message is of role assistant",
        "2. A tool result does not name the call it answers",
    ]
    assert "Note: Tool-call ids are truncated to nine characters" in shown


def test_json_contains_diagnoses_notes_start_and_load(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--json", "--log", str(REAL / "kv_none.log")]) == 1

    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["log", "engine", "diagnoses", "notes", "start", "load", "lines"]
    assert [one["symptom"] for one in printed["diagnoses"]] == ["no_kv"]
    assert (printed["engine"], printed["notes"], printed["load"]) == ("vllm", [], None)
    assert printed["start"]["version"] == "0.32.0"


def test_a_gzipped_log_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "engine.log.gz"
    log.write_bytes(gzip.compress((REAL / "bad_flag.log").read_bytes()))

    assert main(["doctor", "--log", str(log)]) == 1
    assert "1. The engine has no flag --max-model-length" in capsys.readouterr().out


def test_a_log_written_by_powershell_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "engine.log"
    log.write_bytes((REAL / "bad_flag.log").read_text(encoding="utf-8").replace("\n", "\r\n").encode("utf-16"))

    assert main(["doctor", "--log", str(log)]) == 1
    assert "   line 5: main.py: error: unrecognized arguments: --max-model-length 4096\n" in capsys.readouterr().out


def test_a_dash_reads_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO((REAL / "port_in_use.log").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))

    assert main(["doctor", "--log", "-"]) == 1
    assert capsys.readouterr().out.startswith("standard input: One problem in 39 lines.\n\n1. The port is in use\n")


def test_the_engine_can_be_given(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "engine.log"
    log.write_text("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB\n", encoding="utf-8")

    assert main(["doctor", "--engine", "sglang", "--log", str(log)]) == 1
    assert "   fix: Lower `--mem-fraction-static` or" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.log", None, "There is no log {file!r}. Pass a file that an engine wrote, or - for standard input."),
        (
            "empty.log",
            b"\n\n",
            "The log {file!r} is empty. Check that it is the engine's log, and that the engine started.",
        ),
        (
            "model.safetensors",
            b"\x10\0\0\0\0\0\0\0{}",
            "{file!r} is not text, so it is not a log. Pass the file that contains the output of the engine.",
        ),
        (
            "cut.log.gz",
            gzip.compress(b"INFO: hello\n" * 9999)[:60],
            "Cannot read {file!r}: Compressed file ended before the end-of-stream marker was reached. Check that "
            "the file is complete and that you may read it.",
        ),
    ],
)
def test_a_file_that_is_not_a_log_is_refused_with_the_reason(
    name: str, content: bytes | None, text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)

    assert main(["doctor", "--log", str(file)]) == 2
    assert capsys.readouterr().err == f"agent: {text.format(file=str(file))}\n"


def test_a_folder_is_not_a_log(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["doctor", "--log", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"agent: {str(tmp_path)!r} is a folder, not a log. Pass a file in it.\n"


def test_without_a_recorded_server_there_is_nothing_to_examine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert main(["doctor"]) == 2
    assert capsys.readouterr().err == (
        "agent: No server is recorded on this machine, so there is nothing to examine.\n"
        "Now:   Pass a log or a server: agent doctor --log FILE, or agent doctor --url URL\n"
    )


def test_the_log_of_a_recorded_server_that_died_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record = ServerRecord(
        base_url="http://127.0.0.1:1/v1",
        model="pocket",
        engine="vllm",
        pid=0,
        start_ticks=0,
        started_at="",
        log=str(REAL / "cut_weights.log"),
        max_model_len=0,
        state="failed",
    )
    write_record(record, state_dir())

    assert main(["doctor"]) == 1
    assert "1. A weights file is damaged or incomplete\n" in capsys.readouterr().out
