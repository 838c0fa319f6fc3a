"""Options are completed to a request."""

import pytest

from serving.capacity.hardware import parse_gpus
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
