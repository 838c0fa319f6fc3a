"""The doctor on logs that people published: the right cause first, at its line, with a fix that works."""

import json
from pathlib import Path

import pytest
from doctor_corpus import CORPUS, Case, cases, diagnoses, healthy_logs, is_right

from serving.doctor import diagnose, read_log

STARTING = "(APIServer pid=1) INFO 11-23 10:00:00 [api_server.py:1896] vLLM API server version 0.20.0\n"
READY = "(APIServer pid=1) INFO:     Application startup complete.\n"


def log_of(name: str) -> str:
    return (CORPUS / "failures" / f"{name}.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_cause_of_a_published_failure_is_found(case: Case):
    assert is_right(case), diagnoses(case.log)


@pytest.mark.parametrize("log", healthy_logs(), ids=lambda log: f"{log.parent.name}-{log.stem}")
def test_a_healthy_log_raises_no_alarm(log: Path):
    assert diagnoses(log) == ()


def test_the_corpus_is_large_enough_and_every_log_has_a_source():
    healthy: dict[str, str] = json.loads((CORPUS / "healthy" / "index.json").read_text(encoding="utf-8"))

    assert len(cases()) >= 60
    assert sum(case.held_back for case in cases()) >= 30
    assert len(healthy_logs()) >= 30
    assert all(case.source for case in cases())
    assert {file.stem for file in (CORPUS / "failures").glob("*.log")} == {case.name for case in cases()}
    assert {file.stem for file in (CORPUS / "healthy").glob("*.log")} == set(healthy)


@pytest.mark.parametrize(
    "prefixed",
    [
        "ERROR 2026-04-07T19:13:52.317863702Z {line}\n",
        "2026-04-07 19:13:52.317 [Info] (Process) {line}\n",
        "2026-04-07 19:13:52 | ERROR | stderr | {line}\n",
        "2026-04-07T19:13:52,141 [INFO ] W-9000-model_1.0-stdout MODEL_LOG - {line}\n",
        "2026-04-07 19:13:52.9+08:00 - worker.backends.base - INFO - {line}\n",
        "[1,0]<stderr>:{line}\n",
        "job_2152434_node0.out:{line}\n",
        "vLLM STDERR: {line}\n",
        "> {line}\n",
        "level=error ts=2026-04-07T19:13:52Z logger=vllm {line}\n",
        "gpu-pool-7f9c-x2 engine {line}\n",
        "|gpu-7|stderr| {line}\n",
    ],
    ids=[
        "cloud",
        "app",
        "columns",
        "torchserve",
        "python",
        "mpi",
        "slurm",
        "wrapper",
        "quoted",
        "logfmt",
        "stern",
        "odd",
    ],
)
@pytest.mark.parametrize("name", ["custom_all_reduce", "oom_container_boot", "no_ninja", "kv_models_s_no_bracket"])
def test_a_prefix_of_any_logger_changes_no_diagnosis(name: str, prefixed: str):
    log = "".join(prefixed.format(line=line) for line in log_of(name).splitlines())

    assert diagnose(log) == diagnose(log_of(name))


def test_an_unknown_error_is_shown_with_its_type_where_it_was_raised_and_not_what_followed():
    log = f"""\
{STARTING}\
(Worker_TP1 pid=9) ERROR 11-23 10:00:20 [multiproc_executor.py:953] WorkerProc failed to start.
(Worker_TP1 pid=9) ERROR 11-23 10:00:20 [multiproc_executor.py:953] Traceback (most recent call last):
(Worker_TP1 pid=9) ERROR 11-23 10:00:20 [multiproc_executor.py:953]   File "worker.py", line 3, in load
(Worker_TP1 pid=9) ERROR 11-23 10:00:20 [multiproc_executor.py:953] pkg.errors.FrobError: not aligned
(EngineCore pid=2) ERROR 11-23 10:00:21 [core.py:866] EOFError
(EngineCore pid=2) Traceback (most recent call last):
(EngineCore pid=2)   File "pipe.py", line 3, in recv
(EngineCore pid=2) ConnectionResetError: [Errno 104] Connection reset by peer
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}
Killed
"""

    (diagnosis,) = diagnose(log)

    assert (diagnosis.title, diagnosis.line) == ("An error unknown to the doctor: FrobError", 5)


def test_what_a_native_library_prints_between_the_lines_comes_before_the_exception_it_led_to():
    log = f"""\
{STARTING}\
frob/alloc.cpp:41: void* frob_alloc(size_t): Assertion `size % 64 == 0' failed.
(EngineCore pid=2) Traceback (most recent call last):
(EngineCore pid=2)   File "frob.py", line 3, in load
(EngineCore pid=2) FrobError: frob ended with status 134
"""

    (diagnosis,) = diagnose(log)

    assert (diagnosis.symptom, diagnosis.line) == ("unknown", 2)
    assert diagnosis.evidence == "frob/alloc.cpp:41: void* frob_alloc(size_t): Assertion `size % 64 == 0' failed."


@pytest.mark.parametrize("line", ["EOFError", "ConnectionResetError: [Errno 104] Connection reset by peer"])
def test_a_log_that_shows_only_a_consequence_says_so(line: str):
    (diagnosis,) = diagnose(f'{STARTING}Traceback (most recent call last):\n  File "x.py", line 1, in recv\n{line}\n')

    assert diagnosis.title == "The engine ended, and this log does not show why"


def test_a_killed_process_is_the_cause_only_if_nothing_else_failed():
    error = 'Traceback (most recent call last):\n  File "x.py", line 1, in load\nFrobError: x\n'

    assert [one.symptom for one in diagnose(f"{STARTING}Killed\n")] == ["killed"]
    assert [one.symptom for one in diagnose(f"{STARTING}{error}Killed\n")] == ["unknown"]


def test_what_the_other_processes_meet_at_the_end_does_not_hide_the_error_that_ended_the_first():
    worker = "(Worker_TP1 pid=9) ERROR 11-23 10:00:20 [multiproc_executor.py:953] "
    log = f"""\
{STARTING}\
{worker}WorkerProc failed to start.
{worker}Traceback (most recent call last):
{worker}  File "worker.py", line 3, in load
{worker}FrobError: not aligned
node-1:41:41 [0] misc/socket.cc:484 NCCL WARN socketStartConnect: Connect to 10.0.0.2<50000> failed : Connection refused
(Worker_TP0 pid=8) ERROR 11-23 10:00:22 [multiproc_executor.py:953] RuntimeError: NCCL error: unhandled system error
"""

    assert [(one.symptom, one.line) for one in diagnose(log)] == [("unknown", 5), ("nccl", 6)]


def test_an_exception_of_a_group_is_shown_and_not_the_group():
    log = f"""\
{STARTING}\
  + Exception Group Traceback (most recent call last):
  |   File "x.py", line 1, in f
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "y.py", line 2, in g
    | FrobError: x
    +------------------------------------
"""

    assert [one.evidence for one in diagnose(log)] == ["FrobError: x"]


def waiting(seconds: int, step: str) -> str:
    minute, second = divmod(seconds, 60)
    return (
        f"{STARTING}(Worker_TP0 pid=4) INFO 11-23 10:00:30 [x.py:1] {step}\n"
        f"(APIServer pid=1) DEBUG 11-23 10:{minute:02}:{second + 30:02} [utils.py:741] Waiting for 1 local, 0 remote "
        "core engine proc(s) to start.\n"
    )


@pytest.mark.parametrize(
    ("seconds", "step", "symptom"),
    [
        (600, "vLLM is using nccl==2.27.3", "start_hangs"),
        (240, "vLLM is using nccl==2.27.3", None),
        (600, "Dynamo bytecode transform time: 14.20 s", None),
        (1260, "Dynamo bytecode transform time: 14.20 s", "start_hangs"),
        (600, "Starting to load model /models/m...", "start_hangs"),
    ],
)
def test_a_start_hangs_if_its_last_step_is_too_long_ago(seconds: int, step: str, symptom: str | None):
    reading = read_log(waiting(seconds, step))

    assert [one.symptom for one in reading.diagnoses] == ([symptom] if symptom else [])
    assert [one.symptom for one in reading.notes] == ([] if symptom else ["not_ready_yet"])


def test_a_start_that_hangs_is_reported_with_its_last_step_and_what_to_try():
    (diagnosis,) = diagnose(waiting(600, "vLLM is using nccl==2.27.3"))

    assert diagnosis.title == "The start hangs: no progress for 600 s"
    assert "The last step that the log shows: `vLLM is using nccl==2.27.3`." in diagnosis.cause
    assert "`NCCL_P2P_DISABLE=1`" in diagnosis.fix


def test_a_start_that_went_on_after_a_wait_does_not_hang():
    log = waiting(900, "vLLM is using nccl==2.27.3")

    assert diagnose(f"{log}{READY}") == ()


def test_a_first_request_that_failed_with_a_traceback_is_named_from_it():
    refused = (
        '(APIServer pid=1) INFO:     127.0.0.1:1 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error\n'
    )
    error = (
        "(APIServer pid=1) ERROR:    Exception in ASGI application\n"
        "(APIServer pid=1) Traceback (most recent call last):\n"
        '(APIServer pid=1)   File "x.py", line 1, in load\n'
        "(APIServer pid=1) {error}\n"
    )
    missing = error.format(error="FileNotFoundError: [Errno 2] No such file or directory: '/opt/grammar.lark'")
    unknown = error.format(error="FrobError: x")

    assert [one.symptom for one in diagnose(STARTING + READY + refused + missing)] == ["file_missing"]
    assert [one.title for one in diagnose(STARTING + READY + refused + unknown)] == [
        "An error unknown to the doctor: FrobError"
    ]
    assert [one.symptom for one in diagnose(STARTING + READY + refused)] == ["all_refused"]


def test_the_last_error_of_an_engine_that_ended_is_not_an_earlier_one_of_a_single_request():
    log = f"""\
{STARTING}{READY}\
(APIServer pid=1) ERROR 11-23 10:10:00 [serving.py:1] Traceback (most recent call last):
(APIServer pid=1) ERROR 11-23 10:10:00 [serving.py:1]   File "x.py", line 1, in render
(APIServer pid=1) ERROR 11-23 10:10:00 [serving.py:1] IndexError: list index out of range
(APIServer pid=1) INFO:     127.0.0.1:1 - "POST /v1/chat/completions HTTP/1.1" 200 OK
(EngineCore pid=2) ERROR 11-23 11:00:00 [core.py:1138] EngineCore encountered a fatal error.
(EngineCore pid=2) ERROR 11-23 11:00:00 [core.py:1138] Traceback (most recent call last):
(EngineCore pid=2) ERROR 11-23 11:00:00 [core.py:1138]   File "y.py", line 1, in step
(EngineCore pid=2) ERROR 11-23 11:00:00 [core.py:1138] FrobError: y
"""

    assert [one.evidence for one in diagnose(log)] == ["FrobError: y"]


def test_a_version_of_another_program_is_not_vllms_version():
    other = "(EngineCore pid=2) INFO 11-23 10:00:05 [flash_attn.py:776] Using FlashAttention version 3\n"
    reading = read_log(STARTING + other)

    assert reading.start is not None
    assert reading.start.version == "0.20.0"


def test_the_architecture_is_that_of_the_model_and_not_of_its_draft():
    names = ("PixtralForConditionalGeneration", "EagleMistralForCausalLM")
    lines = [f"(APIServer pid=1) INFO 11-23 10:00:01 [model.py:623] Resolved architecture: {name}\n" for name in names]
    reading = read_log(STARTING + "".join(lines))

    assert reading.start is not None
    assert reading.start.architecture == "PixtralForConditionalGeneration"


def test_the_log_of_sglang_0_4_is_not_taken_for_vllms_whose_lines_it_begins_with():
    log = (CORPUS / "healthy" / "sglang_0_4_platform_line.log").read_text(encoding="utf-8")

    assert read_log(log).engine == "sglang"
