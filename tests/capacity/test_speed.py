"""Speeds of plans: against those that were measured on H200s, and against published figures of other machines."""

from dataclasses import replace
from typing import Any

import pytest

from serving.capacity.catalogue import SMALL
from serving.capacity.planner import complete, plan
from serving.capacity.recorded_speeds import RECORDED, RecordedSpeed
from serving.capacity.sizing import PlanOptions, PlanRequest
from serving.capacity.speed import speeds_of
from serving.capacity.speed_records import Speeds

EAGLE = PlanOptions(gpus="h200:1", language_model_only=True, draft="eagle", max_model_len=16384)


def request_of(recorded: RecordedSpeed, *, kind: str = "h200") -> PlanRequest:
    """Return the recorded configuration; with another kind of GPU of the same figures it is estimated."""
    split = recorded.tensor_parallel_size
    request = complete(PlanOptions(gpus=f"h200:{split}", language_model_only=split == 1, max_model_len=65536))
    return replace(request, gpus=replace(request.gpus, gpu=replace(request.gpus.gpu, name=kind)))


def found(request: PlanRequest, kv_tokens: int = 40_000) -> Speeds:
    speeds = speeds_of(request, kv_tokens)
    assert speeds is not None
    return speeds


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.where)
def test_a_recorded_configuration_has_the_measured_decoding_speeds(recorded: RecordedSpeed):
    speeds = found(request_of(recorded))
    assert speeds.measured == recorded.where
    measured = {count: count * rate for count, rate in recorded.decode_tokens_s.items()}
    short = {one.requests: one.tokens_s.likely for one in speeds.decode if one.context_tokens == 256}
    assert short == measured


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.where)
def test_the_estimate_holds_what_was_measured_in_its_range(recorded: RecordedSpeed):
    speeds = found(request_of(recorded, kind="like-h200"))
    assert speeds.measured is None
    for one in speeds.decode[:4]:
        measured = one.requests * recorded.decode_tokens_s[one.requests]
        assert one.tokens_s.low <= measured <= one.tokens_s.high
        assert one.tokens_s.likely == pytest.approx(measured, rel=0.02 if one.requests <= 8 else 0.12)
    switch = speeds.effort_switch
    assert switch is not None
    length, seconds = min(recorded.prompt_s.items(), key=lambda known: abs(known[0] - switch.tokens))
    assert switch.seconds.likely == pytest.approx(seconds * switch.tokens / length, rel=0.08)
    assert switch.seconds.low <= seconds <= switch.seconds.high


@pytest.mark.parametrize(("gpus", "measured"), [("h200:1", {6064: 29.89, 20064: 28.83}), ("h200:2", {60064: 44.80})])
def test_a_longer_context_slows_decoding_as_it_was_measured(gpus: str, measured: dict[int, float]):
    for context, rate in measured.items():
        request = complete(PlanOptions(gpus=gpus, language_model_only=True, max_model_len=context))
        full = found(request, kv_tokens=100_000).decode[-1]
        assert (full.requests, full.context_tokens) == (1, context)
        assert full.tokens_s.likely == pytest.approx(rate, rel=0.02)


def test_four_h100_decode_as_published():
    """66 tokens/s for one request and 1,682 for 32, vLLM; read 2026-11 in the project's fact sheet."""
    speeds = found(complete(PlanOptions(gpus="h100:4", max_model_len=32768)))
    rates = {one.requests: one.tokens_s.likely for one in speeds.decode if one.context_tokens == 256}
    assert rates[1] == pytest.approx(66, rel=0.03)
    assert rates[32] == pytest.approx(1682, rel=0.03)


def test_a_draft_costs_what_was_measured_if_nothing_is_accepted():
    """30.5 tokens/s became 26.4 on one H200, and 51.3 became 44.6 on two; at 1.16 tokens per step it pays off."""
    for gpus, rate in (("h200:1", 26.36), ("h200:2", 44.56)):
        request = complete(replace(EAGLE, gpus=gpus))
        speeds = found(request)
        assert speeds.draft is not None
        assert speeds.draft.lost == pytest.approx(0.13, abs=0.01)
        assert speeds.draft.pays_from == pytest.approx(1.16, abs=0.01)
        assert speeds.decode[0].tokens_s.low <= rate <= speeds.decode[0].tokens_s.likely


def test_without_cuda_graphs_two_thirds_of_the_speed_are_lost():
    """17.3 of 51.3 tokens/s were left on two H200s."""
    planned = plan(PlanOptions(gpus="h200:2", max_model_len=8192, enforce_eager=True))
    assert planned.speeds is not None
    assert planned.speeds.eager_share == pytest.approx(17.3 / 51.3, abs=0.01)
    assert planned.speeds.decode[0].tokens_s.likely == pytest.approx(17.3, rel=0.02)
    assert any(note.startswith("--enforce-eager costs 66% of the decoding speed") for note in planned.notes)


def test_with_cuda_graphs_no_loss_is_named():
    speeds = found(complete(PlanOptions(gpus="h200:2", max_model_len=8192)))
    assert speeds.eager_share is None


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "bf16"},
        {"kv_cache_dtype": "fp8"},
        {"enforce_eager": True},
        {"engine": "sglang"},
        {"model": SMALL},
        {"gpus": "h100:2"},
        {"draft": "eagle"},
    ],
    ids=str,
)
def test_nothing_but_the_recorded_configuration_counts_as_measured(changes: dict[str, Any]):
    options = replace(PlanOptions(gpus="h200:2", max_model_len=8192), **changes)
    assert found(complete(options)).measured is None


def test_a_card_of_unknown_arithmetic_has_decoding_speeds_only():
    speeds = found(complete(PlanOptions(gpus="4x80GiB@2TB/s", max_model_len=8192)))
    assert speeds.prompts == ()
    assert speeds.effort_switch is None
    assert speeds.decode[0].tokens_s.likely > 20


def test_a_card_of_unknown_bandwidth_has_no_speeds():
    assert speeds_of(complete(PlanOptions(gpus="4x80GiB", max_model_len=8192)), 40_000) is None


def test_no_more_requests_are_planned_together_than_the_cache_holds():
    request = complete(PlanOptions(gpus="h200:2", max_model_len=8192))
    assert [one.requests for one in found(request, kv_tokens=2_100).decode] == [1, 8, 1]
    assert [one.requests for one in found(replace(request, max_num_seqs=8)).decode] == [1, 8, 1]
    assert found(request, kv_tokens=100).decode == ()


def test_fp8_weights_are_computed_in_bf16_where_there_is_no_fp8_arithmetic():
    ada, ampere = (
        found(complete(PlanOptions(gpus=gpus, max_model_len=8192))).effort_switch for gpus in ("l40s:4", "a6000:4")
    )
    assert ada is not None
    assert ampere is not None
    assert ampere.seconds.likely > 2 * ada.seconds.likely


def test_beyond_its_context_a_draft_neither_helps_nor_costs():
    with_draft = complete(replace(EAGLE, gpus="h200:2", max_model_len=131_072))
    plain = replace(with_draft, draft=None, gpus=replace(with_draft.gpus, gpu=replace(with_draft.gpus.gpu, name="x")))
    assert found(with_draft, 131_072).decode[-1].tokens_s.likely == pytest.approx(
        found(plain, 131_072).decode[-1].tokens_s.likely
    )
