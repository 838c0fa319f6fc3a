"""What real starts needed is recorded and looked up for exactly the same configuration."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from serving.capacity.calibration import MeasuredStart, calibration_path, lookup, record_start
from serving.capacity.catalogue import draft_for
from serving.capacity.hardware import GIB, parse_gpus
from serving.capacity.planner import find_model, plan
from serving.capacity.sizing import PlanOptions, PlanRequest

REQUEST = plan(PlanOptions(gpus="h200:2", max_model_len=100_000)).request
PRINTED = MeasuredStart(engine_version="0.33.0", kv_cache_tokens=300_003)


def test_nothing_is_known_before_a_start(tmp_path: Path):
    assert lookup(REQUEST, tmp_path) is None


def test_a_plan_after_a_start_yields_the_tokens_that_the_engine_printed(tmp_path: Path):
    # 300,003 tokens take 18,751 blocks; at 6,250 blocks per request of 100,000 tokens, these hold 3.00016 requests,
    # which is 300,016 tokens.
    record_start(MeasuredStart(engine_version="0.33.0", kv_cache_tokens=300_016), REQUEST, tmp_path)
    found = plan(PlanOptions(gpus="h200:2", max_model_len=100_000), measured=lambda request: lookup(request, tmp_path))
    assert (found.measured, found.kv_tokens, found.num_blocks) == (True, 300_016, 18_751)
    assert found.activation_bytes.low == found.activation_bytes.likely == found.activation_bytes.high
    assert found.notes[0] == (
        "Activation, buffers and graphs were measured at a start of vLLM 0.33.0 in this configuration."
    )


@pytest.mark.parametrize("tokens", [250_000, 299_999, 123_457])
@pytest.mark.parametrize("context", [100_000, 65536, 33_333])
def test_the_printed_tokens_are_reproduced_for_any_context(tmp_path: Path, tokens: int, context: int):
    per_request = -(-context // 16)
    blocks = tokens // 16
    printed = int(blocks / per_request * context)
    request = replace(REQUEST, max_model_len=context)
    record_start(MeasuredStart(engine_version="0.33.0", kv_cache_tokens=printed), request, tmp_path)
    found = plan(PlanOptions(gpus="h200:2", max_model_len=context), measured=lambda request: lookup(request, tmp_path))
    assert (found.kv_tokens, found.num_blocks) == (printed, blocks)


def test_context_utilisation_and_concurrency_do_not_need_another_start(tmp_path: Path):
    record_start(PRINTED, REQUEST, tmp_path)
    other = replace(REQUEST, max_model_len=8192, gpu_memory_utilization=0.9, concurrency=3)
    assert lookup(other, tmp_path) == lookup(REQUEST, tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, model=find_model("Mistral-Small-3.2-24B-Instruct-2506")),
        replace(REQUEST, gpus=parse_gpus("h100:2")),
        replace(REQUEST, tensor_parallel_size=1),
        replace(REQUEST, weights="bf16"),
        replace(REQUEST, kv_cache_dtype="fp8"),
        replace(REQUEST, max_num_batched_tokens=8192),
        replace(REQUEST, max_num_seqs=64),
        replace(REQUEST, language_model_only=True),
        replace(REQUEST, draft=draft_for(REQUEST.model)),
        replace(REQUEST, enforce_eager=True),
        replace(REQUEST, block_size=32),
        replace(REQUEST, engine="sglang"),
    ],
    ids=lambda request: "",
)
def test_a_start_of_another_configuration_is_not_used(tmp_path: Path, other: PlanRequest):
    record_start(PRINTED, REQUEST, tmp_path)
    assert lookup(other, tmp_path) is None


def test_the_last_start_counts_and_each_version_keeps_its_own(tmp_path: Path):
    record_start(PRINTED, REQUEST, tmp_path)
    old = lookup(REQUEST, tmp_path)
    record_start(replace(PRINTED, kv_cache_tokens=310_000), REQUEST, tmp_path)
    again = lookup(REQUEST, tmp_path)
    record_start(replace(PRINTED, engine_version="0.34.0", kv_cache_tokens=290_000), REQUEST, tmp_path)
    new = lookup(REQUEST, tmp_path)
    assert old is not None
    assert again is not None
    assert new is not None
    assert again.other_bytes < old.other_bytes < new.other_bytes
    assert lookup(replace(REQUEST, engine_version="0.33.0"), tmp_path) == again
    assert lookup(replace(REQUEST, engine_version="0.34.0"), tmp_path) == new
    assert lookup(replace(REQUEST, engine_version="0.35.0"), tmp_path) is None
    assert len(json.loads(calibration_path(tmp_path).read_text())["starts"]) == 2


def test_a_start_with_a_given_cache_measured_nothing(tmp_path: Path):
    record_start(PRINTED, replace(REQUEST, kv_cache_memory_bytes=8 * GIB), tmp_path)
    assert not calibration_path(tmp_path).exists()


def test_the_file_holds_what_was_measured(tmp_path: Path):
    record_start(PRINTED, REQUEST, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["calibration.json"]
    found = lookup(REQUEST, tmp_path / "new")
    assert found is not None
    assert json.loads((tmp_path / "new" / "calibration.json").read_text()) == {
        "version": 1,
        "starts": [
            {
                "configuration": {
                    "model": "mistralai/Mistral-Medium-3.5-128B",
                    "gpu": "h200",
                    "tensor_parallel_size": 2,
                    "weights": "fp8",
                    "kv_cache_dtype": "auto",
                    "max_num_batched_tokens": 16384,
                    "max_num_seqs": 128,
                    "language_model_only": False,
                    "draft": None,
                    "enforce_eager": False,
                    "block_size": 16,
                    "engine": "vllm",
                },
                "engine_version": "0.33.0",
                "other_bytes": found.other_bytes,
                "compiled": None,
                "first_model_runner": False,
            }
        ],
    }


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "starts": []}', '{"version": 1, "starts": [{"a": 1}]}'])
def test_an_unreadable_file_counts_as_empty_and_is_overwritten(tmp_path: Path, text: str):
    calibration_path(tmp_path).write_text(text)
    assert lookup(REQUEST, tmp_path) is None
    record_start(PRINTED, REQUEST, tmp_path)
    assert lookup(REQUEST, tmp_path) is not None


@pytest.mark.parametrize("edited", ["4 GiB", None, 1.5, True, [1]])
def test_a_start_with_an_edited_value_is_skipped_and_the_others_are_kept(tmp_path: Path, edited: object):
    record_start(PRINTED, REQUEST, tmp_path)
    other = replace(REQUEST, enforce_eager=True)
    record_start(PRINTED, other, tmp_path)
    path = calibration_path(tmp_path)
    kept = json.loads(path.read_text())
    kept["starts"][0]["other_bytes"] = edited
    path.write_text(json.dumps(kept))
    assert lookup(REQUEST, tmp_path) is None
    assert lookup(other, tmp_path) is not None


def test_only_the_last_200_starts_are_kept(tmp_path: Path):
    calibration_path(tmp_path).write_text(
        json.dumps(
            {
                "version": 1,
                "starts": [
                    {"configuration": {"model": str(number)}, "engine_version": "0.33.0", "other_bytes": number}
                    for number in range(200)
                ],
            }
        )
    )
    record_start(PRINTED, REQUEST, tmp_path)
    kept = json.loads(calibration_path(tmp_path).read_text())["starts"]
    assert [start["configuration"]["model"] for start in kept] == [
        *(str(number) for number in range(1, 200)),
        REQUEST.model.name,
    ]


def test_a_first_and_a_later_start_are_kept_apart_and_the_later_one_is_used(tmp_path: Path):
    later = replace(PRINTED, kv_cache_tokens=310_000, compiled=True)
    record_start(later, REQUEST, tmp_path)
    record_start(replace(PRINTED, compiled=False), REQUEST, tmp_path)
    assert len(json.loads(calibration_path(tmp_path).read_text())["starts"]) == 2
    found = lookup(REQUEST, tmp_path)
    assert found is not None
    assert found.compiled is True


def test_a_start_that_compiled_is_used_until_a_later_one_is_known(tmp_path: Path):
    record_start(replace(PRINTED, compiled=False), REQUEST, tmp_path)
    found = lookup(REQUEST, tmp_path)
    assert found is not None
    assert found.compiled is False


def test_a_start_with_the_other_model_runner_is_not_used(tmp_path: Path):
    record_start(PRINTED, replace(REQUEST, first_model_runner=True), tmp_path)
    assert lookup(REQUEST, tmp_path) is None


def test_a_file_written_before_these_keys_existed_still_loads(tmp_path: Path):
    record_start(PRINTED, REQUEST, tmp_path)
    path = calibration_path(tmp_path)
    kept = json.loads(path.read_text())
    for start in kept["starts"]:
        del start["compiled"], start["first_model_runner"]
    path.write_text(json.dumps(kept))
    for request in (REQUEST, replace(REQUEST, first_model_runner=True)):
        found = lookup(request, tmp_path)
        assert found is not None
        assert (found.engine_version, found.compiled) == ("0.33.0", None)


@pytest.mark.parametrize(
    ("compiled", "said"),
    [
        (True, ", which found its compiled graphs in the cache."),
        (False, ", which compiled; that the next start will need less is estimated."),
    ],
)
def test_the_plan_says_which_start_it_used(tmp_path: Path, *, compiled: bool, said: str):
    record_start(replace(PRINTED, compiled=compiled), REQUEST, tmp_path)
    found = plan(PlanOptions(gpus="h200:2", max_model_len=100_000), measured=lambda request: lookup(request, tmp_path))
    assert found.notes[0] == (
        f"Activation, buffers and graphs were measured at a start of vLLM 0.33.0 in this configuration{said}"
    )
