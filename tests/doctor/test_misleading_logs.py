"""Misleading logs: quoted prompts, other programs, several engines in one; and that fixes contain only valid flags."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli import main
from serving.doctor import diagnose, read_log
from serving.doctor.catalogue import CATALOGUE
from serving.doctor.symptom_index import SGLANG, VLLM, SymptomIndex
from serving.probe.fixes import FIXES

SGLANG_FLAGS = json.loads((Path(__file__).parents[1] / "data/sglang_flags.json").read_text(encoding="utf-8"))["flags"]
FLAGS_OF_OTHER_PROGRAMS = frozenset(
    {
        *("--rm", "--runtime"),  # docker run, nvidia-ctk
        *("--gpus", "--ipc", "--memory", "--pids-limit", "--shm-size"),  # docker run
        *("--include", "--local-dir"),  # hf download
        *("--log", "--url"),  # agent doctor
        *("--version",),  # nvcc
        *("--pid",),  # py-spy dump
        *("--help", "--data-parallel-"),  # of every parser; `--data-parallel-…` means several flags
    }
)

STARTING = "(APIServer pid=1) INFO 11-23 10:00:00 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0\n"
READY = "(APIServer pid=1) INFO 11-23 10:00:09 [entry.py:140] Starting vLLM server on http://127.0.0.1:8000\n"
ANSWERED = '(APIServer pid=1) INFO:     127.0.0.1:1 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
DIED = """\
(EngineCore pid=2) ERROR 11-23 10:00:05 [core.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB
(APIServer pid=1) ERROR 11-23 10:00:06 [core.py:2] RuntimeError: Engine core initialization failed.
"""


def symptoms(log: str) -> list[str]:
    return [one.symptom for one in diagnose(log)]


@pytest.mark.parametrize(
    "quoted",
    [
        "No available shared memory broadcast block found in 60 seconds",
        "Running: 3 reqs, Waiting: 0 reqs, Preemptions: 4",
        "Using fp8 data type to store kv cache",
        "vLLM API server version 0.9",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "(APIServer pid=1) INFO 11-23 10:01:00 [request_logger.py:66] Received request chatcmpl-1: params: {quoted}",
        "(APIServer pid=1) INFO 11-23 10:01:00 [logger.py:109] Generated response chatcmpl-1: output: '{quoted}'",
        "(APIServer pid=1) DEBUG 11-23 10:01:00 [request_logger.py:56] Request chatcmpl-1 details: prompt: '{quoted}'",
        "(APIServer pid=1) DEBUG 11-23 10:01:00 [request_logger.py:75] Request chatcmpl-1 JSON body: {quoted}",
    ],
)
def test_an_error_quoted_in_a_prompt_is_not_an_error_of_vllm(line: str, quoted: str):
    reading = read_log(STARTING + READY + line.format(quoted=quoted) + "\n" + ANSWERED)

    assert (reading.diagnoses, reading.notes) == ((), ())
    assert reading.start is not None
    assert reading.start.ready


@pytest.mark.parametrize("prefix", ["Receive: obj=", "Receive OpenAI: obj=", "Finish: obj="])
def test_an_error_quoted_in_a_prompt_is_not_an_error_of_sglang(prefix: str):
    starting = "[2026-11-23 10:00:00] server_args=ServerArgs(model_path='m')\n"
    quote = "Port is already in use. No space left on device"
    log = f"{starting}[2026-11-23 10:01:00] {prefix}GenerateReqInput(text='{quote}')\n"

    assert symptoms(log) == []


def test_a_line_that_ends_like_a_banner_is_not_a_new_start():
    log = STARTING + READY + "(APIServer pid=1) INFO 11-23 10:00:07 [x.py:1] I have driver version 5\n"

    assert read_log(log) == replace(read_log(STARTING + READY), lines=3)


@pytest.mark.parametrize("prefix", ["engine-{n}-1  | ", "[pod/tramontane-engine-{n}/engine] "])
def test_a_dead_engine_is_reported_although_another_in_the_same_log_lives(prefix: str):
    dead, alive = (
        [prefix.format(n=n) + line for line in log.splitlines()]
        for n, log in enumerate((STARTING + DIED, STARTING + READY + ANSWERED))
    )
    orders = [
        [*dead, *alive],
        [*alive, *dead],
        [dead[0], *alive, *dead[1:]],
        [alive[0], dead[0], *dead[1:], *alive[1:]],
    ]

    assert [symptoms("\n".join(order)) for order in orders] == [["torch_oom"]] * 4


@pytest.mark.parametrize(
    "error",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: '/img/x.png'",
        "requests.exceptions.ConnectTimeout: Max retries exceeded with url: /x.png",
        "PermissionError: [Errno 13] Permission denied: '/img/x.png'",
    ],
)
def test_an_error_of_one_request_is_not_a_failure_of_the_start(error: str):
    failed = f"""\
(APIServer pid=1) ERROR 11-23 10:03:00 [serving.py:1] Traceback (most recent call last):
(APIServer pid=1) ERROR 11-23 10:03:00 [serving.py:1]   File "media.py", line 3, in fetch
(APIServer pid=1) ERROR 11-23 10:03:00 [serving.py:1] {error}
"""

    (diagnosis,) = diagnose(STARTING + READY + failed + ANSWERED)

    assert (diagnosis.symptom, diagnosis.evidence) == ("unknown", error)


def test_a_warning_during_a_start_that_continues_is_not_reported():
    warning = "(APIServer pid=1) WARNING 11-23 10:00:01 [hub.py:1] Retrying: Name or service not known\n"
    progress = "(Worker pid=3) INFO 11-23 10:00:05 [loader.py:1] Loading weights took 3.1 seconds\n"

    assert symptoms(STARTING + warning + progress) == []


@pytest.mark.parametrize(
    "error", ["starlette.requests.ClientDisconnect", "asyncio.exceptions.CancelledError: Cancelled"]
)
def test_a_client_disconnect_is_not_an_error_of_the_server(error: str):
    failed = f"""\
(APIServer pid=1) ERROR:    Exception in ASGI application
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "routing.py", line 3, in app
(APIServer pid=1)     await body()
(APIServer pid=1) {error}
"""

    assert symptoms(STARTING + READY + failed + ANSWERED) == []


def test_the_log_of_another_web_server_is_not_mistaken_for_vllms(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    log = tmp_path / "web.log"
    log.write_text(
        """\
INFO:     Application startup complete.
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "/app/main.py", line 3, in users
    open("users.csv")
FileNotFoundError: [Errno 2] No such file or directory: 'users.csv'
""",
        encoding="utf-8",
    )

    assert main(["doctor", "--log", str(log)]) == 1

    assert capsys.readouterr().out == (
        f"{log}: One problem in 6 lines.\n"
        "No line shows which engine wrote this log, so only symptoms that any log shows alike are reported. If an "
        "engine wrote it, pass its name: --engine vllm\n"
        "\n"
        "1. An error unknown to the doctor: FileNotFoundError\n"
        "   line 6: FileNotFoundError: [Errno 2] No such file or directory: 'users.csv'\n"
        "   fix: Read the log upwards from line 6: the lines above it show what led to the error.\n"
    )


def test_a_kernel_log_is_searched_for_gpu_failures_only():
    healthy = "[    0.0] Linux version 6.1.0\n[    0.2] BIOS Error (bug): Could not resolve symbol\n"
    broken = "[  100.0] NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.\n"

    assert [read_log(healthy).engine, symptoms(healthy)] == [None, []]
    assert symptoms(healthy + broken) == ["gpu_broken"]


@pytest.mark.parametrize("index", [VLLM, SGLANG], ids=["vllm", "sglang"])
def test_every_flag_in_a_fix_is_a_flag_of_the_engine(index: SymptomIndex):
    flags = frozenset(index.flags) if index is VLLM else frozenset(SGLANG_FLAGS)
    fixes = [text for name in symptoms_of(index) for text in CATALOGUE[name].fix_for(index.engine)]
    fixes += [text for (_, kind), text in FIXES.items() if kind == index.engine]

    named = {flag for text in fixes for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)}

    assert named - flags - FLAGS_OF_OTHER_PROGRAMS == set()


def test_every_flag_value_in_a_fix_for_sglang_is_one_of_its_choices():
    fixes = [text for name in symptoms_of(SGLANG) for text in CATALOGUE[name].fix_for("sglang")]
    given = {pair for text in fixes for pair in re.findall(r"(--[a-z][a-z0-9-]*) ([a-z0-9_]+)", text)}
    choices = {flag: values for flag, values in SGLANG_FLAGS.items() if isinstance(values, list)}

    assert {(flag, value) for flag, value in given if flag in choices and value not in choices[flag]} == set()


def symptoms_of(index: SymptomIndex) -> set[str]:
    by_status = {"unauthorized", "no_endpoint", "overloaded", "no_backend", "not_ready", "engine_dead", "all_refused"}
    found = {pattern.symptom for pattern in index.patterns} | by_status
    return found | {later for name in found if (later := CATALOGUE[name].when_ready)}
