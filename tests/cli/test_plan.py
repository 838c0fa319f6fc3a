"""`agent plan` as people type it: its output, its JSON, its exit codes, and its messages for wrong options."""

import argparse
import io
import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.cli import main
from agent.cli.plan_options import add_plan_arguments, options_of, plan_from
from agent.cli.plan_view import Style, plan_text
from agent.journal.events import Replied
from agent.journal.journal import Journal
from agent.messages import Reply, Usage
from serving import EngineError
from serving.capacity.advice import fits
from serving.capacity.calibration import MeasuredStart, record_start
from serving.capacity.catalogue import MEDIUM, SMALL
from serving.capacity.hardware import GIB
from serving.capacity.planner import find_draft, find_model, plan
from serving.capacity.sizing import PlanOptions
from serving.directories import state_dir

PLANS = Path(__file__).parents[1] / "data" / "plans"


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide this machine's GPUs and this user's measured starts; use a terminal of 80 columns without color."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")


def parsed(line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_plan_arguments(parser)
    return parser.parse_args(shlex.split(line))


def printed_json(line: str, capsys: pytest.CaptureFixture[str]) -> dict:
    main(["plan", *shlex.split(line), "--json"])
    return json.loads(capsys.readouterr().out)


def error_output(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["plan", *shlex.split(line)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    return out.err


def test_a_plan_that_starts(capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "--gpus", "h100:4", "--context", "32k", "--concurrency", "8", "--other-gib", "4"]) == 0
    assert capsys.readouterr().out == (PLANS / "starts.txt").read_text(encoding="utf-8")


def test_a_plan_that_does_not_start_shows_what_is_missing_and_what_would_fit(
    capsys: pytest.CaptureFixture[str],
):
    options = ["--gpus", "h100:2", "--context", "256k", "--gpu-memory-utilization", "0.92", "--other-gib", "4"]
    assert main(["plan", *options]) == 1
    assert capsys.readouterr().out == (PLANS / "refused.txt").read_text(encoding="utf-8")


def test_the_bar_shows_where_gpu_memory_ends_if_the_weights_are_larger(capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "--gpus", "h100:1", "--context", "8k", "--other-gib", "4"]) == 1
    bar = capsys.readouterr().out.split("\n\n")[2]
    assert bar == OVER


OVER = """\
[███████████████████████████████████████████████████████████████████████████▓▓▓]
                                                ▲ end of GPU memory
 █ weights  ▓ activation, buffers, graphs"""


def test_common_sets_are_compared_if_there_are_no_gpus(capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "--other-gib", "4"]) == 0
    assert capsys.readouterr().out == (PLANS / "compared.txt").read_text(encoding="utf-8")


def last_words(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Return what a comparison says above and below its table."""
    assert main(["plan", *shlex.split(line)]) == 0
    head, _, tail = capsys.readouterr().out.strip().split("\n\n")
    return " ".join(head.split()), " ".join(tail.split())


SPEED = (
    "tok/s is what one request with a short context decodes, measured for h200:2 and estimated for the others; --gpus "
    "shows its range."
)
SETS = "No GPU was found and none was given, so these are common sets for Mistral Medium 3.5 128B in FP8"


def test_the_comparison_does_not_call_an_activation_estimated_that_was_given(capsys: pytest.CaptureFixture[str]):
    assert last_words("--other-gib 4", capsys)[1] == f"{SPEED} Activation memory is as given by --other-gib."
    assert last_words("", capsys)[1] == f"{SPEED} Activation memory is estimated; --gpus shows its range."


def test_the_comparison_does_not_call_an_activation_estimated_that_was_measured(capsys: pytest.CaptureFixture[str]):
    for gpus in ("h100:4", "h200:2"):
        request = plan(PlanOptions(gpus=gpus, max_model_len=32768)).request
        record_start(MeasuredStart(engine_version="0.32.0", kv_cache_tokens=300_000), request, state_dir(os.environ))
    assert last_words("--context 32k", capsys) == (
        f"{SETS}, with a context of 32,768 tokens. For the details of one, use --gpus.",
        f"{SPEED} Activation memory is measured for h100:4, h200:2, and estimated for the others; --gpus shows its "
        "range.",
    )


def test_the_comparison_does_not_call_a_context_chosen_that_was_given(capsys: pytest.CaptureFixture[str]):
    head = "For the details of one, use --gpus."
    assert last_words("--context 32k", capsys)[0] == f"{SETS}, with a context of 32,768 tokens. {head}"
    assert last_words("", capsys)[0] == f"{SETS}, each with the context chosen for it. {head}"


def test_the_help_names_the_concurrency_that_is_planned_without_the_option():
    """It said 1; while the context is chosen, four requests of its length are planned for."""
    parser = argparse.ArgumentParser()
    add_plan_arguments(parser)
    text = " ".join(parser.format_help().split())
    assert "--concurrency N Full-length requests to hold at once (default: 4 if the context is chosen, else 1)." in text
    chosen, given = (plan(PlanOptions(gpus="h200:4", max_model_len=length)) for length in (None, 32768))
    assert "the longest usual one at which 4 requests fit" in chosen.notes[0]
    assert given.request.concurrency == 1


def test_the_comparison_is_printed_as_json(capsys: pytest.CaptureFixture[str]):
    found = printed_json("--other-gib 4", capsys)
    assert [(plan["request"]["gpu"], plan["request"]["gpu_count"]) for plan in found["plans"]] == [
        ("h100", 4),
        ("h100", 8),
        ("h200", 2),
        ("h200", 4),
        ("b200", 2),
    ]


def test_the_whole_plan_is_printed_as_one_json_object(capsys: pytest.CaptureFixture[str]):
    found = printed_json(
        "--gpus h200:2 --context 256k --draft eagle --gpu-memory-utilization 0.8 --other-gib 4", capsys
    )
    changes, notes, speeds = found.pop("changes"), found.pop("notes"), found.pop("speeds")
    assert found == {
        "version": 1,
        "starts": "no",
        "missing_bytes": 1_044_291_029,
        "request": {
            "model": "mistralai/Mistral-Medium-3.5-128B",
            "model_bytes": 133_605_834_656,
            "model_source": "https://huggingface.co/mistralai/Mistral-Medium-3.5-128B, 2026-11",
            "gpu": "h200",
            "gpu_title": "NVIDIA H200 141GB SXM",
            "gpu_memory_bytes": int(139.81 * GIB),
            "gpu_count": 2,
            "gpu_measured": False,
            "engine": "vllm",
            "engine_version": None,
            "tensor_parallel_size": 2,
            "max_model_len": 262_144,
            "max_num_seqs": 128,
            "max_num_batched_tokens": 16_384,
            "concurrency": 1,
            "weights": "fp8",
            "kv_cache_dtype": "auto",
            "gpu_memory_utilization": 0.8,
            "language_model_only": False,
            "enforce_eager": False,
            "block_size": 16,
            "kv_cache_memory_bytes": None,
            "kv_offloading_size": None,
            "other_bytes": 4 * GIB,
            "draft": {"model": "mistralai/Mistral-Medium-3.5-128B-EAGLE", "num_speculative_tokens": 3},
        },
        "requested_bytes": 120_095_875_531,
        "weights_bytes": 68_523_868_064,
        "activation_bytes": {"low": 4 * GIB, "likely": 4 * GIB, "high": 4 * GIB},
        "measured": False,
        "measured_start": None,
        "first_start": False,
        "kv_bytes": 47_277_040_171,
        "kv_bytes_per_token": 184_320,
        "num_blocks": 16_030,
        "kv_tokens": 256_480,
        "kv_tokens_low": 256_480,
        "kv_tokens_high": 256_480,
        "later_kv_tokens": 256_480,
        "offloaded_tokens": 0,
        "concurrency": 0.9784,
        "longest_max_model_len": 256_464,
        "decode_tokens_s_bound": 266.8,
        "decode_tokens_s_bound_full": 43.3,
    }
    decode, prompts = speeds.pop("decode"), speeds.pop("prompts")
    assert decode[0] == {
        "requests": 1,
        "context_tokens": 256,
        "tokens_s": {"low": 40.0, "likely": 76.4, "high": 195.3},
    }
    assert [one["requests"] for one in decode] == [1, 8, 32, 64, 1]
    assert prompts[0] == {"tokens": 1000, "seconds": {"low": 0.1, "likely": 0.13, "high": 0.21}}
    assert speeds == {
        "measured": None,
        "effort_switch": {"tokens": 20_000, "seconds": {"low": 2.23, "likely": 2.97, "high": 4.75}},
        "draft": {"lost": 0.134, "pays_from": 1.16},
        "eager_share": None,
    }
    assert changes[0] == {
        "what": "cap the context at 256,464 tokens",
        "option": "--context 256464",
        "command": "agent plan --gpus h200:2 --context 256464 --draft eagle --gpu-memory-utilization 0.8 --other-gib 4",
    }
    assert notes[0] == "Activation, buffers and graphs are as given."


@pytest.mark.parametrize(
    "line",
    [
        "--gpus h100:4 --context 65536",
        "--gpus h100:8 --context 65536 --concurrency 200 --kv fp8 --language-model-only --tensor-parallel-size 4",
        "Mistral-Small-3.2-24B-Instruct-2506 --gpus l40s:2 --context 32k --weights fp8 --enforce-eager --block-size 32",
        "--gpus b200:2 --context 100000 --draft eagle --engine sglang --max-num-batched-tokens 8k --max-num-seqs 64",
        "--gpus h200:4 --context 8k --gpu-memory-utilization 0.9 --kv-cache-memory-bytes 8GiB",
        "--gpus h200:4 --context 8k --other-gib 4.5",
        "pocket --context 2k",
        "--gpus cpu --context 8k",
        "--gpus h200:4 --context 8k --other-gib 4.123456789",
        "--gpus h200:4 --context 8k --gpu-memory-utilization 0.00001",
        "--gpus h200:4 --context 8k --concurrency 1000000 --max-num-batched-tokens 4k",
        "--gpus h200:4 --context 8k --kv-offloading-size 200",
        "--gpus h200:4 --context 8k --kv-offloading-size 12.5",
        "--gpus 2x96GiB@1792GB/s --context 8k",
        "--gpus 80GB --context 8k --weights bf16",
    ],
)
def test_the_options_of_a_plan_yield_the_same_plan(line: str):
    first = plan_from(parsed(line), {"CUDA_VISIBLE_DEVICES": ""})
    again = plan_from(parsed(shlex.join(options_of(first.request))), {"CUDA_VISIBLE_DEVICES": ""})
    assert again == first


@settings(max_examples=100, deadline=None)
@given(
    gpus=st.sampled_from(["h100:1", "h100:2", "h200:2", "a100-40:4", "l40s:6", "rtx4090:8", "b200:16", "cpu"]),
    model=st.sampled_from([MEDIUM, SMALL]),
    max_model_len=st.sampled_from([None, 1, 8192, 20_000, 131_072]),
    concurrency=st.sampled_from([None, 1, 8, 5000]),
    weights=st.sampled_from([None, "bf16", "fp8"]),
    kv_cache_dtype=st.sampled_from(["auto", "fp8"]),
    engine=st.sampled_from(["vllm", "sglang"]),
    gpu_memory_utilization=st.floats(0.01, 1),
    max_num_batched_tokens=st.sampled_from([64, 2048, 16384]),
    max_num_seqs=st.sampled_from([None, 1, 64, 2048]),
    language_model_only=st.booleans(),
    block_size=st.sampled_from([None, 32]),
    kv_cache_memory_bytes=st.sampled_from([None, 123_456_789]),
    other_bytes=st.none() | st.integers(0, 8 * GIB),
)
def test_every_change_starts_and_its_command_yields_exactly_its_request(model: str, **options: Any):
    try:
        found = plan(PlanOptions(model=model, draft="eagle" if model == MEDIUM else None, **options))
    except EngineError:
        assume(False)
        raise
    for request in (found.request, *(change.request for change in found.changes)):
        again = plan_from(parsed(shlex.join(options_of(request))), os.environ)
        assert again.request == request
        assert request == found.request or fits(again)


def test_a_folder_with_the_name_of_the_shipped_model_is_given_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "pocket"
    folder.mkdir()
    (folder / "config.json").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    found = plan_from(parsed("./pocket --gpus h100:1 --context 4k"), {})
    assert options_of(found.request) == (str(folder), "--gpus", "h100:1", "--context", "4096")


def test_a_custom_draft_is_given_by_its_path_even_if_one_is_published(tmp_path: Path):
    draft = replace(find_draft("eagle", find_model(MEDIUM)), name=str(tmp_path))
    request = plan(PlanOptions(gpus="h200:4", max_model_len=8192, draft=draft)).request
    assert options_of(request) == ("--gpus", "h200:4", "--context", "8192", "--draft", str(tmp_path))


CONFIG = (
    '{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, '
    '"vocab_size": 1024, "max_position_embeddings": 8192}'
)


def test_a_folder_name_that_the_terminal_cannot_encode_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "modèle"
    folder.mkdir()
    (folder / "config.json").write_text(CONFIG)
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stdout)
    assert main(["plan", str(folder), "--gpus", "h100:1", "--context", "4k"]) == 0
    assert main(["plan", str(folder), "--gpus", "h100:1", "--context", "4k", "--json"]) == 0
    stdout.seek(0)
    text, _, found = stdout.read().rstrip("\n").rpartition("\n")
    assert text.startswith("mod\\xe8le in BF16 starts on 1 x NVIDIA H100 80GB SXM: ")
    assert json.loads(found)["request"]["model"] == str(folder)


def test_the_command_of_a_change_can_be_pasted(capsys: pytest.CaptureFixture[str]):
    found = printed_json("--gpus h100:2 --context 128k --weights bf16", capsys)
    for change in found["changes"]:
        assert main(shlex.split(change["command"])[1:]) == 0


@pytest.mark.parametrize("text", ["0.26.0", "v0.26.0", "0.26", " 0.26.1rc1.dev12+g1234 "])
def test_a_version_of_the_engine_narrows_the_range(text: str):
    options = "--gpus h200:1 --context 8k --language-model-only --gpu-memory-utilization 0.97"
    known, unknown = (plan_from(parsed(options + more), {}) for more in (f" --engine-version '{text}'", ""))
    width, whole = (found.kv_tokens_high - found.kv_tokens_low for found in (known, unknown))
    assert 2 * width < whole
    assert known.request.engine_version == text.strip().removeprefix("v")
    assert any(note.startswith("The engine's version is not known.") for note in unknown.notes)
    assert not any(note.startswith("The engine's version is not known.") for note in known.notes)


def test_the_command_of_a_change_keeps_the_version(capsys: pytest.CaptureFixture[str]):
    found = printed_json("--gpus h100:2 --context 128k --engine-version 0.26.0", capsys)
    assert all(change["command"].endswith(" --engine-version 0.26.0") for change in found["changes"])


@pytest.mark.parametrize("text", ["latest", "26", "0.x"])
def test_what_is_not_a_version_is_an_error(text: str, capsys: pytest.CaptureFixture[str]):
    assert error_output(f"--gpus h100:4 --engine-version {text}", capsys) == (
        f"agent: --engine-version {text!r} is not a version.\nNow:   Give it as the engine prints it, such as 0.33.0.\n"
    )


def test_the_model_runner_is_read_from_the_environment_as_the_engine_reads_it():
    options = "--gpus h200:1 --context 8k --engine-version 0.26.0"
    first = plan_from(parsed(options), {"VLLM_USE_V2_MODEL_RUNNER": "0"})
    second = plan_from(parsed(options), {})
    assert (first.request.first_model_runner, second.request.first_model_runner) == (True, False)
    assert first.activation_bytes.likely > second.activation_bytes.likely


@pytest.mark.parametrize(
    ("text", "tokens"), [("32768", 32768), ("32k", 32768), ("32K", 32768), ("256k", 262_144), ("100_000", 100_000)]
)
def test_a_context_can_be_given_in_multiples_of_1024(text: str, tokens: int):
    assert plan_from(parsed(f"--gpus h200:4 --context {text}"), {}).request.max_model_len == tokens


def test_the_pocket_model_is_planned_for_the_cpu():
    found = plan_from(parsed("pocket"), {})
    assert (found.request.gpus.gpu.name, found.request.block_size, found.request.max_model_len) == ("cpu", 128, 8192)
    # As the engine prints it: `CPU KV cache size: 131,072 tokens, Maximum concurrency for 8,192 … 16.00x`.
    assert (found.kv_tokens, round(found.concurrency, 2)) == (131_072, 16.0)


def test_a_measured_start_is_used_by_later_plans(tmp_path: Path):
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    args = parsed("--gpus h100:4 --context 64k")
    first = plan_from(args, environ)
    record_start(
        MeasuredStart(engine_version="0.33.0", kv_cache_tokens=400_000), first.request, tmp_path / "tramontane"
    )
    again = plan_from(args, environ)
    assert (first.measured, again.measured, again.kv_tokens) == (False, True, 400_000)


def journal(folder: Path, *tokens: tuple[int, int]) -> Path:
    written = Journal(folder)
    for step, (prompt, answer) in enumerate(tokens):
        usage = Usage(prompt_tokens=prompt, completion_tokens=answer)
        written.write(
            Replied(step=step, rung=0, reply=Reply(usage=usage), max_tokens=4096, wire_bytes=1000, elapsed_s=1.0)
        )
    written.close()
    return folder / "journal.jsonl"


def test_the_context_can_be_chosen_from_past_runs(tmp_path: Path):
    first = journal(tmp_path / "one", (2000, 100), (9000, 300))
    journal(tmp_path / "two", (17_000, 900))
    found = plan_from(parsed(f"--gpus h100:4 --context-of {first} --context-of {tmp_path / 'two'}"), {})
    assert found.request.max_model_len == 18_432
    assert found.notes[0] == (
        "Past runs needed at most 17,900 tokens (median 9,300, 3 replies, prompt and answer together), so the context "
        "is 18,432."
    )


def test_a_journal_without_token_counts_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = journal(tmp_path / "empty", (0, 50))
    assert error_output(f"--gpus h100:4 --context-of {path}", capsys) == (
        f"agent: No reply in {path} has token counts. Give the journal of a run that got an answer: "
        "`agent runs` lists the runs, and each run's folder contains a journal.jsonl.\n"
    )


def test_a_missing_journal_is_an_error(capsys: pytest.CaptureFixture[str]):
    assert error_output("--gpus h100:4 --context-of nowhere.jsonl", capsys) == (
        "agent: Cannot read the journal nowhere.jsonl: No such file or directory.\n"
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "--gpus h100:4 --context 32q",
            "--context '32q' is not a whole number above 0.\nNow:   Give a number such as 32768, or 32k for the same.",
        ),
        (
            "--gpus h100:4 --context 0",
            "--context '0' is not a whole number above 0.\nNow:   Give a number such as 32768, or 32k for the same.",
        ),
        (
            "--gpus h100:4 --context 300000",
            "--context 300000 is longer than Mistral Medium 3.5 128B supports.\nNow:   Give at most 262144.",
        ),
        (
            "--gpus h100:4 --gpu-memory-utilization 85%",
            "--gpu-memory-utilization '85%' is not a number.\nNow:   Give a share such as 0.85.",
        ),
        (
            "--gpus h100:4 --gpu-memory-utilization 85",
            "--gpu-memory-utilization 85.0 is not a share of a GPU.\n"
            "Now:   Give more than 0 and at most 1; 0.85 is the default.",
        ),
        (
            "--gpus h100:4 --other-gib much",
            "--other-gib 'much' is not a number.\nNow:   Give GiB per GPU, such as 4 or 4.5.",
        ),
        (
            "--gpus h100:8 --tensor-parallel-size 3",
            "Mistral Medium 3.5 128B cannot be split over 3 GPUs: it has 96 heads, 8 KV heads and an MLP of "
            "28672.\nNow:   Use one of these for --tensor-parallel-size: 1, 2, 4, 8, 16.",
        ),
        (
            "--gpus h100:2 --tensor-parallel-size 4",
            "--tensor-parallel-size 4 needs 4 GPUs, but there are 2.\n"
            "Now:   Give at most 2, or more GPUs: --gpus h100:4.",
        ),
        (
            "mistral-medium --gpus h100:4",
            "Unknown model 'mistral-medium'; there is no folder of that name either.\n"
            "Now:   Did you mean mistralai/Mistral-Medium-3.5-128B? Known: mistralai/Mistral-Medium-3.5-128B, "
            "mistralai/Mistral-Small-3.2-24B-Instruct-2506, mistralai/Mistral-Small-4-119B-2603, pocket. "
            "Any other dense model can be planned from the "
            "folder it was downloaded to.",
        ),
        (
            "mistralai/Mistral-Small-3.2-24B-Instruct-2506 --gpus h100:4 --draft eagle",
            "No EAGLE draft is known for Mistral Small 3.2 24B.\n"
            "Now:   Omit --draft, or give the folder of one: --draft FOLDER.",
        ),
        (
            "--gpus cpu:4",
            "--gpus 'cpu:4': only one CPU can be planned for.\nNow:   Give --gpus cpu.",
        ),
        (
            "'' --gpus h100:4",
            "Unknown model ''; there is no folder of that name either.\n"
            "Now:   Known: mistralai/Mistral-Medium-3.5-128B, mistralai/Mistral-Small-3.2-24B-Instruct-2506, "
            "mistralai/Mistral-Small-4-119B-2603, pocket. "
            "Any other dense model can be planned from the folder it was downloaded to.",
        ),
        ("pocket --weights fp8", "pocket has no weights in fp8.\nNow:   Use --weights bf16."),
    ],
)
def test_a_wrong_option_prints_one_message_and_exits_with_2(line: str, text: str, capsys: pytest.CaptureFixture[str]):
    assert error_output(line, capsys) == f"agent: {text}\n"


def test_a_single_plan_needs_gpus():
    with pytest.raises(EngineError) as caught:
        plan_from(parsed(""), {"CUDA_VISIBLE_DEVICES": ""})
    assert str(caught.value) == (
        "No GPUs to plan for: --gpus is not given, and none were found on this machine.\n"
        "Now:   Give them, such as --gpus h100:4. `agent plan` without --gpus compares common sets."
    )


def test_a_context_can_be_given_only_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = journal(tmp_path / "one", (2000, 100))
    assert error_output(f"--gpus h100:4 --context 8k --context-of {path}", capsys) == (
        "agent: --context and --context-of both set the context.\nNow:   Give only one of them.\n"
    )


def test_marks_are_ascii_without_utf8_and_the_verdict_is_colored_with_colors():
    found = plan_from(parsed("--gpus h100:2 --context 256k --other-gib 4"), {})
    text = plan_text(found, Style(width=60, unicode=False, color=True))
    assert text.splitlines()[:3] == [
        "\033[31mMistral Medium 3.5 128B in FP8 does not start on 2 x NVIDIA",
        "H100 80GB SXM: 43.15 GiB per GPU are missing for one request",
        "of 262,144 tokens.\033[0m",
    ]
    bar, legend = text.splitlines()[11:13]
    assert bar == "[#############################################+++-.........]"
    assert legend == " # weights  + activation, buffers, graphs  - KV cache  . not used"
    assert text.isascii()


@pytest.mark.parametrize("gpus", ["h100:1", "h100:2", "h200:4", "b200:8", "rtx4090:1", "l40s:4"])
@pytest.mark.parametrize("width", [80, 100])
def test_only_commands_to_paste_are_wider_than_the_terminal(gpus: str, width: int):
    found = plan_from(parsed(f"--gpus {gpus} --context 128k"), {})
    text = plan_text(found, Style(width=width, unicode=True, color=False))
    assert [len(line) for line in text.splitlines() if line.startswith("[")] == [width]
    assert all(len(line) <= width for line in text.splitlines() if not line.startswith("     agent plan"))
