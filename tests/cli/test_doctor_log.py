"""`agent doctor` as a user types it: what it prints, its exit codes, and what it says to a file that is no log."""

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


def test_a_failed_start_is_told_with_line_cause_and_fix(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "engine.log"
    log.write_bytes((REAL / "bad_flag.log").read_bytes())

    assert main(["doctor", "--log", str(log)]) == 1
    assert capsys.readouterr().out == (
        f"{log}: One problem in 5 lines.\n"
        "\n"
        "1. The engine knows no flag --max-model-length\n"
        "   line 5: main.py: error: unrecognized arguments: --max-model-length 4096\n"
        "   why: It understood the command line up to `--max-model-length 4096`.\n"
        "   fix: Perhaps `--max-model-len` was meant.\n"
    )


def test_a_healthy_log_has_nothing_wrong_and_tells_what_it_says(capsys: pytest.CaptureFixture[str]):
    log = REAL / "healthy.log"

    assert main(["doctor", "--log", str(log)]) == 0
    assert capsys.readouterr().out == (
        f"{log}: Nothing wrong found in 136 lines.\n"
        "\n"
        "The log says:\n"
        "  engine     vLLM 0.32.0, MistralForCausalLM\n"
        "  model      /home/user/models/pocket\n"
        "  KV cache   279,552 tokens, 34.12 requests of 8,192 tokens\n"
        "  start      reading weights 0.0 s, all after the weights 6.4 s\n"
        "  ready      yes, at http://127.0.0.1:8761\n"
    )


def test_problems_are_numbered_and_notes_stand_apart(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--log", str(REAL / "requests.log")]) == 1

    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith(": 7 problems in 259 lines.")
    assert [line for line in shown if line[:1].isdigit()][:2] == [
        "1. The last message is of role assistant",
        "2. A tool result does not say which call it answers",
    ]
    assert "Good to know: Tool-call ids are cut to nine characters" in shown


def test_json_holds_diagnoses_notes_start_and_load(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--json", "--log", str(REAL / "kv_none.log")]) == 1

    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["log", "engine", "diagnoses", "notes", "start", "load", "lines"]
    assert [one["symptom"] for one in told["diagnoses"]] == ["no_kv"]
    assert (told["engine"], told["notes"], told["load"]) == ("vllm", [], None)
    assert told["start"]["version"] == "0.32.0"


def test_a_gzipped_log_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "engine.log.gz"
    log.write_bytes(gzip.compress((REAL / "bad_flag.log").read_bytes()))

    assert main(["doctor", "--log", str(log)]) == 1
    assert "1. The engine knows no flag --max-model-length" in capsys.readouterr().out


def test_a_log_that_powershell_wrote_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "engine.log"
    log.write_bytes((REAL / "bad_flag.log").read_text(encoding="utf-8").replace("\n", "\r\n").encode("utf-16"))

    assert main(["doctor", "--log", str(log)]) == 1
    assert "   line 5: main.py: error: unrecognized arguments: --max-model-length 4096\n" in capsys.readouterr().out


def test_a_dash_reads_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO((REAL / "port_in_use.log").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))

    assert main(["doctor", "--log", "-"]) == 1
    assert capsys.readouterr().out.startswith("standard input: One problem in 39 lines.\n\n1. The port is in use\n")


def test_the_engine_may_be_named(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "engine.log"
    log.write_text("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB\n", encoding="utf-8")

    assert main(["doctor", "--engine", "sglang", "--log", str(log)]) == 1
    assert "   fix: Lower `--mem-fraction-static` or" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.log", None, "There is no log {file!r}. Name a file that an engine wrote, or - for standard input."),
        (
            "empty.log",
            b"\n\n",
            "The log {file!r} is empty. Is it the engine's log, and did the engine start at all?",
        ),
        (
            "model.safetensors",
            b"\x10\0\0\0\0\0\0\0{}",
            "{file!r} is no text, so it is no log. Name the file that holds what the engine printed.",
        ),
        (
            "cut.log.gz",
            gzip.compress(b"INFO: hello\n" * 9999)[:60],
            "Cannot read {file!r}: Compressed file ended before the end-of-stream marker was reached. Is it a whole "
            "file, and may you read it?",
        ),
    ],
)
def test_a_file_that_is_no_log_is_told_what_it_is(
    name: str, content: bytes | None, text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)

    assert main(["doctor", "--log", str(file)]) == 2
    assert capsys.readouterr().err == f"agent: {text.format(file=str(file))}\n"


def test_a_folder_is_no_log(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["doctor", "--log", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"agent: {str(tmp_path)!r} is a folder, not a log. Name a file in it.\n"


def test_without_a_recorded_server_there_is_nothing_to_examine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert main(["doctor"]) == 2
    assert capsys.readouterr().err == (
        "agent: No server is recorded on this machine, so there is nothing to examine.\n"
        "Now:   Name a log or a server: agent doctor --log FILE, or agent doctor --url URL\n"
    )


def test_of_a_recorded_server_that_died_the_log_is_read(
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
    assert "1. A file of weights is damaged or not whole\n" in capsys.readouterr().out
