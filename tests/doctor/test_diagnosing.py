"""The doctor on logs and HTTP errors: recorded from vLLM, and lines rendered from the engines' sources."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.doctor import Diagnosis, diagnose, diagnose_http, read_log
from serving.doctor.catalogue import CATALOGUE
from serving.doctor.lines import read_lines
from serving.doctor.symptom_index import SGLANG, VLLM
from serving.engines.log_patterns import LogPattern

DATA = Path(__file__).parents[1] / "data" / "engine_logs"
REAL = DATA / "vllm-0.32.0-cpu"
CORPUS = Path(__file__).parents[1] / "data" / "doctor_corpus"
CUDA = DATA / "vllm-0.26.0-cuda"
SAMPLES: list[dict[str, str]] = json.loads((DATA / "from-source" / "samples.json").read_text(encoding="utf-8"))
INDEX: dict[str, dict[str, object]] = json.loads((REAL / "index.json").read_text(encoding="utf-8"))
CUDA_INDEX: dict[str, dict[str, object]] = json.loads((CUDA / "index.json").read_text(encoding="utf-8"))
NOISE = (
    "(APIServer pid=1) INFO 11-23 19:00:00 [loggers.py:310] Engine 000: Avg prompt throughput: 0.0 tokens/s, "
    "Avg generation throughput: 0.0 tokens/s, Running: 0 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.0%",
    "(APIServer pid=1) INFO 11-23 19:00:00 [logger.py:40] Received request: prompt: 'CUDA out of memory. Tried to "
    "allocate 2.00 GiB. No space left on device'",
    'INFO:     127.0.0.1:40000 - "GET /health HTTP/1.1" 200 OK',
    "(Worker_TP1 pid=9) WARNING 11-23 19:00:00 [vllm.py:1703] Enforce eager set, disabling torch.compile.",
    "Loading safetensors checkpoint shards:  33% Completed | 1/3 [00:10<00:20, 10.00s/it]",
    "",
)


def real(case: str) -> str:
    return (REAL / f"{case}.log").read_bytes().decode("utf-8", errors="replace")


def symptoms(text: str) -> list[str]:
    return [one.symptom for one in diagnose(text)]


@pytest.mark.parametrize("case", sorted(INDEX))
def test_a_recorded_cpu_log_is_diagnosed(case: str):
    reading = read_log(real(case))

    assert [one.symptom for one in reading.diagnoses] == INDEX[case]["symptoms"]
    assert [one.symptom for one in reading.notes] == INDEX[case].get("notes", [])


@pytest.mark.parametrize("case", sorted(CUDA_INDEX))
def test_a_recorded_gpu_log_is_diagnosed(case: str):
    reading = read_log((CUDA / f"{case}.log").read_text(encoding="utf-8"))

    assert [one.symptom for one in reading.diagnoses] == CUDA_INDEX[case]["symptoms"]


def test_every_recorded_log_is_in_its_index():
    assert sorted(file.stem for file in REAL.glob("*.log")) == sorted(INDEX)
    assert sorted(file.stem for file in CUDA.glob("*.log")) == sorted(CUDA_INDEX)


def test_a_process_that_holds_gpu_memory_is_reported_with_its_number():
    (diagnosis,) = read_log((CUDA / "out_of_memory_at_load.log").read_text(encoding="utf-8")).diagnoses

    assert diagnosis.cause == (
        "torch requested 168.00 MiB on GPU 0, which had 69.56 MiB free of 139.80 GiB. Another process, 2302, holds "
        "40.60 GiB of it."
    )
    assert diagnosis.fix == (
        "Stop process 2302 if it is not needed, and start again. To see what fits beside it, run: agent plan"
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample['engine']}-{sample['symptom']}")
def test_a_line_rendered_from_the_sources_is_diagnosed(sample: dict[str, str]):
    engine: Literal["vllm", "sglang"] = "sglang" if sample["engine"] == "sglang" else "vllm"
    reading = read_log(sample["text"], engine=engine)

    assert [one.symptom for one in (*reading.diagnoses, *reading.notes)] == [sample["symptom"]]


def test_every_pattern_matches_a_recorded_line_or_one_from_the_sources(capsys: pytest.CaptureFixture[str]):
    logs = [real(case) for case in INDEX] + [(CUDA / f"{case}.log").read_text(encoding="utf-8") for case in CUDA_INDEX]
    logs += [file.read_text(encoding="utf-8") for file in (CORPUS / "failures").glob("*.log")]
    real_texts = [line.text for log in logs for line in read_lines(log.split("\n"))]
    real_texts += [answer["message"] for answer in recorded_answers()]
    source_texts = [line.text for sample in SAMPLES for line in read_lines(sample["text"].split("\n"))]
    kinds = {one: kind_of(one, real_texts, source_texts) for one in {*VLLM.patterns, *SGLANG.patterns}}

    with capsys.disabled():
        counts = Counter(kinds.values())
        print(f"\npatterns of the doctor: {counts['real']} real, {counts['from source']} from source")
    assert [one for one, kind in kinds.items() if kind == "unseen"] == []


def kind_of(one: LogPattern, real_texts: list[str], source_texts: list[str]) -> str:
    if any(one.regex.search(text) for text in real_texts):
        return "real"
    return "from source" if any(one.regex.search(text) for text in source_texts) else "unseen"


def test_every_symptom_has_a_pattern_or_is_derived():
    with_pattern = {one.symptom for one in (*VLLM.patterns, *SGLANG.patterns)}
    derived = {"oom_under_load", "all_refused", "start_hangs", "ray_waits", "not_ready_yet"}
    by_status = {"unauthorized", "no_endpoint", "overloaded", "no_backend", "not_ready", "engine_dead"}

    assert with_pattern | derived | by_status == set(CATALOGUE)


def test_a_diagnosis_contains_title_cause_evidence_and_fix():
    (diagnosis,) = diagnose(real("kv_too_small"))

    assert diagnosis == Diagnosis(
        symptom="kv_too_small",
        title="The KV cache is too small for one request of 8192 tokens",
        cause="One request of 8192 tokens needs 0.03 GiB of KV cache, but only 0.0 GiB are left beside the weights and "
        "activations.",
        evidence="ValueError: To serve at least one request with the model's max seq len (8192), (0.03 GiB KV cache is "
        "needed, which is larger than the available KV cache memory (0.0 GiB). Based on the available memory, the "
        "estimated maximum model length is 384. Try increasing `gpu_memory_utilization` (which also controls CPU "
        "memory on the CPU backend) or decreasing `max_model_len` when initializing the engine. See "
        "https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.",
        line=71,
        fix="Start with `--max-model-len 384` or less; or halve the cache's bytes per token with `--kv-cache-dtype "
        "fp8`; or use more GPUs (`--tensor-parallel-size`).",
        fatal=True,
        times=2,
        ranks=0,
    )


def test_an_unknown_failure_is_shown_without_a_guess_at_its_cause():
    log = """\
(EngineCore pid=2) INFO 11-23 15:47:09 [core.py:133] Initializing a V1 LLM engine (v0.32.0)
(Worker pid=3) ERROR 11-23 15:47:20 [multiproc_executor.py:953] WorkerProc failed to start.
(Worker pid=3) ERROR 11-23 15:47:20 [multiproc_executor.py:953] Traceback (most recent call last):
(Worker pid=3) ERROR 11-23 15:47:20 [multiproc_executor.py:953]   File "worker.py", line 3, in load
(Worker pid=3) ERROR 11-23 15:47:20 [multiproc_executor.py:953]     raise RuntimeError("CUDA out of memory")
(Worker pid=3) ERROR 11-23 15:47:20 [multiproc_executor.py:953] FrobError: the frobnicator is not aligned
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "engine.py", line 9, in start
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""

    assert diagnose(log) == (
        Diagnosis(
            symptom="unknown",
            title="An error unknown to the doctor: FrobError",
            cause="",
            evidence="FrobError: the frobnicator is not aligned",
            line=6,
            fix="Read the log upwards from line 6: the lines above it show what led to the error.",
            fatal=False,
        ),
    )


def test_a_log_of_only_its_last_line_is_an_unknown_error():
    (diagnosis,) = diagnose("RuntimeError: Engine core initialization failed. See root cause above.")

    assert (diagnosis.symptom, diagnosis.line) == ("unknown", 1)


@pytest.mark.parametrize("text", ["", "\n\n", "hello\nworld\n", real("healthy"), real("auto_fit")])
def test_a_log_without_a_failure_has_no_diagnosis(text: str):
    assert diagnose(text) == ()


def test_several_independent_problems_are_all_reported():
    log = real("mistral_common_1_11") + (
        "(APIServer pid=1) ERROR 11-23 19:00:00 [serving.py:1] TypeError: GrammarFactory.get_lark_from_jinja() missing "
        "1 required positional argument: 'force_tool_names'\n"
        "(APIServer pid=1) ERROR 11-23 19:00:00 [serving.py:1] ValueError: This model's maximum context length is 8192 "
        "tokens. However, your prompt contains 36021 input tokens, which exceeds this limit\n"
    )

    assert [one for one in symptoms(log) if one in ("version_pair", "context_too_long", "last_role")] == [
        *("last_role", "version_pair", "context_too_long"),
    ]


def test_the_same_failure_on_eight_interleaved_ranks_is_one_diagnosis():
    one_rank = [
        "Traceback (most recent call last):",
        '  File "gpu_worker.py", line 594, in load_model',
        "    self.model_runner.load_model()",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.62 GiB. GPU {rank} has a total capacity of "
        "79.11 GiB of which 1.29 GiB is free. Including non-PyTorch memory, this process has 77.8 GiB memory in use.",
    ]
    lines = [
        (rank, f"(Worker_TP{rank} pid=10{rank}) ERROR 11-23 10:00:00 [multiproc_executor.py:953] {line}")
        for line in one_rank
        for rank in range(8)
    ]
    log = [line.format(rank=rank) for rank, line in lines]
    log.append("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}")

    (diagnosis,) = diagnose(log)

    assert (diagnosis.symptom, diagnosis.line, diagnosis.ranks, diagnosis.times) == ("torch_oom", 25, 8, 8)
    assert diagnosis.cause == "torch requested 2.62 GiB on GPU 0, which had 1.29 GiB free of 79.11 GiB."


def test_the_rank_that_ran_out_of_memory_is_reported_and_not_the_ranks_that_lost_it():
    log = """\
[rank1]: torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690, ncclRemoteError: A call failed
[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
(EngineCore_DP0 pid=1) ERROR 11-23 10:00:00 [x.py:1] Worker proc VllmWorker-3 died unexpectedly (exit code: 1), \
shutting down executor.
"""

    assert symptoms(log) == ["torch_oom"]


def test_out_of_memory_after_the_server_was_ready_is_out_of_memory_under_load():
    log = """\
(APIServer pid=1) INFO 11-23 10:00:00 [entry.py:140] Starting vLLM server on http://127.0.0.1:8000
(Worker_TP0 pid=3) ERROR 11-23 10:00:01 [x.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB
(EngineCore pid=2) ERROR 11-23 10:00:01 [core.py:1512] EngineCore encountered a fatal error.
"""

    (diagnosis,) = diagnose(log)

    assert (diagnosis.symptom, diagnosis.fatal) == ("oom_under_load", False)


def test_invalid_json_after_the_start_is_a_tool_call_that_could_not_be_parsed():
    error = "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n"
    ready = "(APIServer pid=1) INFO 11-23 10:00:00 [entry.py:140] Starting vLLM server on http://127.0.0.1:8000\n"

    assert [one.symptom for one in diagnose(error, engine="vllm")] == ["json_broken"]
    assert symptoms(ready + error) == ["tool_parsing"]


def test_a_server_that_answered_only_401_requires_a_key():
    log = 'INFO:     127.0.0.1:40000 - "POST /v1/chat/completions HTTP/1.1" 401 Unauthorized\n' * 3

    assert symptoms(log) == ["unauthorized"]
    assert symptoms(log + log.replace("401 Unauthorized", "200 OK")) == []


def test_errors_that_a_start_survived_are_not_reported():
    log = """\
(Worker pid=3) ERROR 11-23 10:00:00 [x.py:1] ModuleNotFoundError: No module named 'flashinfer'
(Worker pid=3) ERROR 11-23 10:00:00 [x.py:1] FrobError: this one too
(APIServer pid=1) INFO 11-23 10:00:05 [entry.py:140] Starting vLLM server on http://127.0.0.1:8000
"""

    assert symptoms(log) == []


def test_the_last_of_several_starts_in_one_file_counts():
    failed, healthy = real("kv_too_small"), real("healthy")

    assert symptoms(failed + healthy) == []
    assert symptoms(healthy + failed) == ["kv_too_small"]
    assert symptoms(failed + real("kv_none")) == ["no_kv"]
    begun = healthy.splitlines(keepends=True)[:12]
    assert symptoms(failed + "".join(begun)) == ["kv_too_small"]


def test_a_stopped_server_is_not_reported_as_dead():
    assert "EngineDeadError" in real("requests")
    assert "unknown" in symptoms(real("requests"))  # An IndexError, of a request without messages.
    assert [one.evidence for one in diagnose(real("requests")) if one.symptom == "unknown"] == [
        "IndexError: list index out of range"
    ]


@pytest.mark.parametrize(
    "prefixed",
    [
        "{line}\r\n",
        "vllm-1  | {line}\n",
        "2026-11-23T19:00:00.123456789Z {line}\n",
        "2026-11-23T19:00:00.123456789Z stderr F {line}\n",
        "Nov 23 19:00:00 gpu-node-7 vllm[4711]: {line}\n",
        "[pod/mistral-0/vllm] {line}\n",
        "\x1b[1;36m{line}\x1b[0;0m\n",
        "vllm-1  | 2026-11-23T19:00:00Z {line}\n",
    ],
    ids=["windows", "compose", "docker", "kubernetes", "journald", "kubectl", "colours", "compose-stamped"],
)
@pytest.mark.parametrize(
    "case", ["kv_too_small", "cut_weights", "max_model_len_too_great", "worker_killed", "no_tekken"]
)
def test_prefixes_and_colours_of_lines_change_no_diagnosis(case: str, prefixed: str):
    log = "".join(prefixed.format(line=line) for line in real(case).split("\n"))

    assert diagnose(log) == diagnose(real(case))


def test_a_log_in_dockers_json_format_is_read():
    log = "\n".join(
        json.dumps({"log": line + "\n", "stream": "stderr", "time": "2026-11-23T19:00:00Z"})
        for line in real("kv_none").split("\n")
    )

    assert diagnose(log) == diagnose(real("kv_none"))


def test_an_error_on_the_line_of_a_progress_bar_is_found():
    log = "Loading:  50%|##  | 1/2\rLoading: 100%|####| 2/2\rOSError: [Errno 28] No space left on device\n"

    assert symptoms(log) == ["disk_full"]


@pytest.mark.parametrize("case", ["kv_too_small", "cut_weights", "no_weights", "unknown_tool_parser"])
def test_a_log_without_its_beginning_has_the_same_diagnosis(case: str):
    lines = real(case).split("\n")
    (whole,) = diagnose(lines)

    (partial,) = diagnose(lines[whole.line - 3 :])

    assert (partial.symptom, partial.evidence, partial.line) == (whole.symptom, whole.evidence, 3)


def test_a_log_that_ends_in_the_middle_of_a_line_has_the_same_diagnosis():
    text = real("kv_too_small")
    end = text.index("Try increasing")

    assert symptoms(text[:end]) == ["kv_too_small"]


@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(sorted(case for case in INDEX if case != "requests")),
    noise=st.lists(st.tuples(st.floats(0, 1), st.sampled_from(NOISE)), max_size=30),
)
def test_unrelated_lines_anywhere_change_no_diagnosis(case: str, noise: list[tuple[float, str]]):
    lines = real(case).split("\n")
    noisy = list(lines)
    for position, line in noise:
        noisy.insert(int(position * len(noisy)), line)

    def comparable(log: list[str]) -> list[tuple[str, str, str, str]]:
        # Line numbers differ, and the fix of an unknown error contains one.
        return [(one.symptom, one.title, one.cause, one.evidence) for one in diagnose(log)]

    assert comparable(noisy) == comparable(lines)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_arbitrary_text_raises_nothing(text: str):
    assert all(one.title and one.evidence for one in diagnose(text))
    found = diagnose_http(400, text)
    assert found is None or found.title


@pytest.mark.parametrize("text", ["a", "a.", "1", "ab-", "(", "[", " ", "a: ", "error: ", "a | ", '  File "'])
@pytest.mark.parametrize("prefix", ["", "(EngineCore pid=2) ERROR 11-23 10:00:00 [core.py:1] "])
def test_a_line_of_half_a_megabyte_does_not_stall_the_doctor(prefix: str, text: str):
    """A pattern that begins with any number of characters took minutes."""
    line = prefix + text * (500_000 // len(text))

    assert len(diagnose([line, "OSError: [Errno 28] No space left on device\n"], engine="vllm")) >= 1


def test_a_long_log_is_read_from_an_iterator():
    def long_log() -> Iterator[str]:
        generator = random.Random(7)
        for _ in range(20_000):
            yield generator.choice(NOISE) + "\n"
        yield "OSError: [Errno 28] No space left on device\n"

    (diagnosis,) = diagnose(long_log())

    assert (diagnosis.symptom, diagnosis.line) == ("disk_full", 20_001)


def recorded_answers() -> list[dict[str, str]]:
    answers: list[dict[str, str]] = []
    for file in sorted(REAL.glob("*.http.json")):
        for name, answer in json.loads(file.read_text(encoding="utf-8")).items():
            error = json.loads(answer["body"]).get("error", {})
            answers.append({"case": f"{file.name.split('.')[0]}/{name}", "message": error.get("message", "")})
    return answers


def http(file: str, case: str) -> Diagnosis | None:
    answer = json.loads((REAL / f"{file}.http.json").read_text(encoding="utf-8"))[case]
    return diagnose_http(answer["status"], answer["body"])


@pytest.mark.parametrize(
    ("file", "case", "symptom"),
    [
        ("requests", "context_too_long", "context_too_long"),
        ("requests", "max_tokens_too_many", "answer_too_long"),
        ("requests", "id_null", "call_id_null"),
        ("mistral_common_1_11", "id_short", "call_id"),
        ("requests", "system_after_tool", "role_order"),
        ("requests", "tool_after_user", "role_order"),
        ("requests", "last_assistant", "last_role"),
        ("requests", "last_assistant_no_gen", "last_role"),
        ("requests", "duplicate_result", "result_id"),
        ("requests", "unexpected_result", "result_id"),
        ("requests", "empty_assistant", "empty_assistant"),
        ("requests", "bad_function_name", "function_name"),
        ("requests", "tool_no_id", "result_without_id"),
        ("requests", "tool_content_none", "bad_field"),
        ("requests", "developer_role", "unknown_role"),
        ("requests", "effort_low", "effort"),
        ("requests", "effort_banana", "bad_field"),
        ("requests", "chat_template_kwargs", "chat_template"),
        ("requests", "unknown_model", "model_unknown"),
        ("requests", "tool_choice_any", "choice_unknown"),
        ("requests", "tool_choice_no_tools", "choice_without_tools"),
        ("requests", "tool_choice_unknown_name", "choice_of_no_tool"),
        ("requests", "bad_schema", "bad_schema"),
        ("requests", "image", "no_images"),
        ("requests", "temperature", "bad_field"),
        ("requests", "no_messages", "unknown"),
        ("requests", "not_found", "no_endpoint"),
        ("mistral_common_1_13", "ok", "version_pair"),
        ("mistral_common_1_13", "context_too_long", "context_too_long"),
        ("hf_tokenizer_on_mistral_files", "ok", "template_missing"),
    ],
)
def test_a_recorded_http_error_is_diagnosed(file: str, case: str, symptom: str):
    diagnosis = http(file, case)

    assert diagnosis is not None
    assert diagnosis.symptom == symptom


def test_the_broken_version_pair_is_reported_with_the_pin_that_fixes_it():
    assert http("mistral_common_1_13", "ok") == Diagnosis(
        symptom="version_pair",
        title="This vLLM and this mistral_common are incompatible",
        cause="mistral_common 1.13 requires an argument that vLLM up to 0.33 does not pass: every chat request fails, "
        "although /health reports success.",
        evidence="GrammarFactory.get_lark_from_jinja() missing 1 required positional argument: 'force_tool_names'",
        line=0,
        fix="In the engine's environment: pip install 'mistral_common>=1.11.6,<1.13'",
        fatal=True,
    )


@pytest.mark.parametrize(
    ("status", "body", "symptom"),
    [
        (401, '{"error":"Unauthorized"}', "unauthorized"),
        (404, '{"detail":"Not Found"}', "no_endpoint"),
        (429, "", "overloaded"),
        (502, "<html>Bad Gateway</html>", "no_backend"),
        (503, "", "not_ready"),
        (
            500,
            '{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause."}}',
            "engine_dead",
        ),
        (422, '{"object":"error","message":"extra_forbidden: reasoning_content","code":422}', "extra_field"),
        (500, "null", "unknown"),
    ],
)
def test_an_http_error_without_a_known_message_is_diagnosed_by_its_status(status: int, body: str, symptom: str):
    diagnosis = diagnose_http(status, body)

    assert diagnosis is not None
    assert diagnosis.symptom == symptom


def test_a_response_that_is_not_an_error_has_no_diagnosis():
    assert diagnose_http(200, "{}") is None


def test_an_unknown_http_error_is_shown_without_a_guess_at_its_cause():
    assert diagnose_http(418, '{"error":{"message":"I am a teapot"}}') == Diagnosis(
        symptom="unknown",
        title="The server answered 418, for a reason unknown to the doctor",
        cause="",
        evidence="I am a teapot",
        line=0,
        fix="Check the server's log: agent doctor --log FILE",
        fatal=False,
    )


def test_the_recorded_logs_contain_no_path_of_the_recording_machine():
    for file in (*REAL.iterdir(), *CUDA.iterdir()):
        assert b"/root" not in file.read_bytes(), file.name
