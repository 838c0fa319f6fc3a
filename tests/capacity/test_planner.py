"""Options are completed to a request."""

from dataclasses import replace
from typing import Any

import pytest

from serving import EngineError
from serving.capacity.hardware import GIB, parse_gpus
from serving.capacity.planner import complete, plan
from serving.capacity.sizing import PlanOptions, PlanRequest


@pytest.mark.parametrize("gpus", ["h100:4", "h100:1", "cpu"])
def test_a_complete_request_is_planned_unchanged(gpus: str):
    found = plan(PlanOptions(model="pocket" if gpus == "cpu" else PlanOptions.model, gpus=gpus, max_model_len=8192))
    assert complete(found.request) == found.request
    assert plan(found.request) == found


def test_a_request_inherits_no_open_field_from_the_options():
    with pytest.raises(TypeError) as caught:
        PlanRequest(gpus=parse_gpus("h100"))  # pyright: ignore[reportCallIssue] - the mistake under test
    assert str(caught.value) == (
        "PlanRequest.__init__() missing 5 required keyword-only arguments: 'model', 'tensor_parallel_size', "
        "'max_model_len', 'weights', and 'max_num_seqs'"
    )


def test_cpu_memory_for_keys_and_values_holds_this_many_tokens():
    """On all GPUs together a token of the 128B takes 352 KiB; with more GPUs than KV heads it is stored repeatedly."""
    for gpus, size in (("h200:2", 360_448), ("h200:8", 360_448), ("h200:16", 2 * 360_448)):
        found = plan(PlanOptions(gpus=gpus, max_model_len=8192, kv_offloading_size=200))
        assert found.offloaded_tokens == 200 * GIB // (size * 16) * 16
    assert any(note.startswith("200 GiB of CPU memory keep another ") for note in found.notes)
    assert plan(PlanOptions(gpus="h200:2", max_model_len=8192)).offloaded_tokens == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kv_offloading_size": 0.0}, "--kv-offloading-size 0.0 is not a size above 0."),
        ({"kv_offloading_size": 1.0, "engine": "sglang"}, "--kv-offloading-size is planned for vLLM on GPUs only."),
    ],
)
def test_offloading_that_no_engine_does_is_refused(changes: dict[str, Any], said: str):
    with pytest.raises(EngineError) as caught:
        plan(replace(PlanOptions(gpus="h200:2", max_model_len=8192), **changes))
    assert caught.value.what == said
