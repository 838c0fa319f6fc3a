"""Logs that mislead: quoted prompts, other programs, several engines in one; and fixes that an engine does not take."""

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

OPTIONS_OF_SGLANG = json.loads((Path(__file__).parents[1] / "data/sglang_flags.json").read_text(encoding="utf-8"))[
    "flags"
]
OF_OTHER_PROGRAMS = frozenset(
    {
        *("--gpus", "--ipc", "--memory", "--pids-limit", "--shm-size"),  # docker run
        *("--include", "--local-dir"),  # hf download
        *("--log", "--url"),  # agent doctor
        *("--help", "--data-parallel-"),  # of every parser; `--data-parallel-…` stands for several
    }
)

BEGUN = "(APIServer pid=1) INFO 11-23 10:00:00 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0\n"
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
def test_what_a_user_quotes_to_vllm_is_not_what_vllm_met(line: str, quoted: str):
    reading = read_log(BEGUN + READY + line.format(quoted=quoted) + "\n" + ANSWERED)

    assert (reading.diagnoses, reading.notes) == ((), ())
    assert reading.start is not None
    assert reading.start.ready


@pytest.mark.parametrize("said", ["Receive: obj=", "Receive OpenAI: obj=", "Finish: obj="])
def test_what_a_user_quotes_to_sglang_is_not_what_sglang_met(said: str):
    begun = "[2026-11-23 10:00:00] server_args=ServerArgs(model_path='m')\n"
    log = (
        f"{begun}[2026-11-23 10:01:00] {said}GenerateReqInput(text='Port is already in use. No space left on device')\n"
    )

    assert symptoms(log) == []


def test_a_line_that_ends_like_a_banner_begins_no_new_start():
    log = BEGUN + READY + "(APIServer pid=1) INFO 11-23 10:00:07 [x.py:1] I have driver version 5\n"

    assert read_log(log) == replace(read_log(BEGUN + READY), lines=3)


@pytest.mark.parametrize("prefix", ["engine-{n}-1  | ", "[pod/tramontane-engine-{n}/engine] "])
def test_an_engine_that_died_is_not_excused_by_another_in_the_same_log_that_lives(prefix: str):
    dead, alive = (
        [prefix.format(n=n) + line for line in log.splitlines()]
        for n, log in enumerate((BEGUN + DIED, BEGUN + READY + ANSWERED))
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
def test_what_one_request_met_is_no_failure_of_the_start(error: str):
    failed = f"""\
(APIServer pid=1) ERROR 11-23 10:03:00 [serving.py:1] Traceback (most recent call last):
(APIServer pid=1) ERROR 11-23 10:03:00 [serving.py:1]   File "media.py", line 3, in fetch
(APIServer pid=1) ERROR 11-23 10:03:00 [serving.py:1] {error}
"""

    (diagnosis,) = diagnose(BEGUN + READY + failed + ANSWERED)

    assert (diagnosis.symptom, diagnosis.evidence) == ("unknown", error)


def test_a_warning_of_a_start_that_goes_on_is_not_what_ended_it():
    warned = "(APIServer pid=1) WARNING 11-23 10:00:01 [hub.py:1] Retrying: Name or service not known\n"
    went_on = "(Worker pid=3) INFO 11-23 10:00:05 [loader.py:1] Loading weights took 3.1 seconds\n"

    assert symptoms(BEGUN + warned + went_on) == []


@pytest.mark.parametrize(
    "error", ["starlette.requests.ClientDisconnect", "asyncio.exceptions.CancelledError: Cancelled"]
)
def test_a_client_that_went_away_is_no_error_of_the_server(error: str):
    failed = f"""\
(APIServer pid=1) ERROR:    Exception in ASGI application
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "routing.py", line 3, in app
(APIServer pid=1)     await body()
(APIServer pid=1) {error}
"""

    assert symptoms(BEGUN + READY + failed + ANSWERED) == []


def test_the_log_of_another_web_server_is_not_taken_for_vllms(capsys: pytest.CaptureFixture[str], tmp_path: Path):
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
        "No line shows an engine, so only what any log would mean alike is told; if it is one's, name it: --engine "
        "vllm\n"
        "\n"
        "1. An error that the doctor does not know\n"
        "   line 6: FileNotFoundError: [Errno 2] No such file or directory: 'users.csv'\n"
        "   fix: Read the log from line 6 upwards: what led there stands above it.\n"
    )


def test_a_kernels_log_tells_of_its_gpu_and_of_nothing_else():
    healthy = "[    0.0] Linux version 6.1.0\n[    0.2] BIOS Error (bug): Could not resolve symbol\n"
    broken = "[  100.0] NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.\n"

    assert [read_log(healthy).engine, symptoms(healthy)] == [None, []]
    assert symptoms(healthy + broken) == ["gpu_broken"]


@pytest.mark.parametrize("known", [VLLM, SGLANG], ids=["vllm", "sglang"])
def test_every_flag_that_a_fix_names_is_one_of_the_engine(known: SymptomIndex):
    options = frozenset(known.flags) if known is VLLM else frozenset(OPTIONS_OF_SGLANG)
    fixes = [text for name in told_of(known) for text in CATALOGUE[name].fix_for(known.engine)]
    fixes += [text for (_, kind), text in FIXES.items() if kind == known.engine]

    named = {flag for text in fixes for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)}

    assert named - options - OF_OTHER_PROGRAMS == set()


def test_every_value_that_a_fix_gives_to_a_flag_of_sglang_is_one_of_its_choices():
    fixes = [text for name in told_of(SGLANG) for text in CATALOGUE[name].fix_for("sglang")]
    given = {pair for text in fixes for pair in re.findall(r"(--[a-z][a-z0-9-]*) ([a-z0-9_]+)", text)}
    choices = {flag: among for flag, among in OPTIONS_OF_SGLANG.items() if isinstance(among, list)}

    assert {(flag, value) for flag, value in given if flag in choices and value not in choices[flag]} == set()


def told_of(known: SymptomIndex) -> set[str]:
    by_status = {"unauthorized", "no_endpoint", "overloaded", "no_backend", "not_ready", "engine_dead", "all_refused"}
    signed = {pattern.symptom for pattern in known.patterns} | by_status
    return signed | {later for name in signed if (later := CATALOGUE[name].when_ready)}
