"""Tests of the pocket model's draft: its files fit the model, `eagle` finds it, acceptance is counted as in vLLM."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from pocket.draft_network import STEPS, draft_params
from pocket.drafting import Acceptance, count_accepted
from pocket.network import PARAMS

from agent.cli.plan_options import options_of
from serving import EngineError, PlanOptions, plan, pocket_engine
from serving.capacity.planner import find_draft, find_model
from serving.pocket import MODEL_NAME, draft_dir, model_dir

N, Y = False, True


def shapes(folder: Path) -> dict[str, list[int]]:
    with (folder / "consolidated.safetensors").open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        tensors: dict[str, Any] = json.loads(file.read(size))
    tensors.pop("__metadata__", None)
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    return {name: tensor["shape"] for name, tensor in tensors.items()}


def test_the_shipped_draft_has_the_shape_of_one_layer_of_the_model():
    """The draft has no embedding and output matrix; vLLM takes them from the model."""
    model, params = shapes(model_dir()), json.loads((model_dir() / "params.json").read_text())
    layer = {name: shape for name, shape in model.items() if name.startswith("layers.0.")}
    dim = params["dim"]

    assert json.loads((draft_dir() / "params.json").read_text()) == params | {"n_layers": 1}
    assert shapes(draft_dir()) == {**layer, "norm.weight": [dim], "eagle_linear.weight": [dim, 2 * dim]}
    assert {file.name for file in draft_dir().iterdir()} == {"params.json", "consolidated.safetensors"}


def test_a_draft_has_the_params_of_its_target_with_one_layer():
    assert draft_params() == PARAMS | {"n_layers": 1}


def test_eagle_finds_the_shipped_draft():
    request = plan(PlanOptions(model=MODEL_NAME, gpus="cpu", max_model_len=8192, draft="eagle")).request

    assert request.draft is not None
    assert request.draft.name == str(draft_dir().resolve())
    assert request.draft.num_layers == 1
    assert request.draft.num_speculative_tokens == STEPS
    assert options_of(request) == ("pocket", "--context", "8192", "--draft", "eagle")


def test_eagle_finds_the_same_draft_for_the_folder_and_the_name_of_the_pocket_model():
    assert find_draft("eagle", find_model(str(model_dir()))) == find_draft("eagle", find_model(MODEL_NAME))


def test_a_missing_draft_is_reported_before_anything_starts(tmp_path: Path):
    with pytest.raises(EngineError) as raised:
        pocket_engine(draft=str(tmp_path / "none"))
    assert raised.value.what == f"The draft folder {str(tmp_path / 'none')!r} does not exist."


@pytest.mark.parametrize(
    ("matches", "learned", "found"),
    [
        # The first token of a reply is the target's; the draft starts after it.
        pytest.param([0, 3, 0, 0, 0, 0], [N, N, Y, Y, Y, Y], (1, (1, 1, 1)), id="all_right"),
        pytest.param([0, 0, 0, 0, 0, 0], [N, N, Y, Y, Y, Y], (3, (0, 0, 0)), id="all_wrong"),
        # One right token, then one of the target's, the third of the reply; a draft of one token is left.
        pytest.param([0, 1, 3, 0, 0, 0, 0], [N, N, Y, Y, Y, Y, N], (2, (1, 0, 0)), id="one_right_then_none"),
        pytest.param([0, 1, 3, 1, 0, 0, 0], [N, N, Y, Y, Y, Y, N], (2, (2, 0, 0)), id="one_right_twice"),
        # Right tokens after the end of the reply are not counted.
        pytest.param([0, 3, 3, 3, 3], [N, N, Y, Y, N], (1, (1, 0, 0)), id="the_end"),
        pytest.param([3, 3, 3, 3], [N, Y, N, N], (0, (0, 0, 0)), id="a_reply_of_one_token"),
        pytest.param([0, 2, 0, 0, 0, 3, 0, 0], [N, N, Y, Y, Y, N, Y, Y], (2, (2, 1, 0)), id="each_reply_starts_anew"),
        pytest.param([0, 0], [N, N], (0, (0, 0, 0)), id="no_reply"),
    ],
)
def test_accepted_tokens_are_counted_as_in_vllm(
    matches: list[int], learned: list[bool], found: tuple[int, tuple[int, ...]]
):
    drafts, accepted = found
    assert count_accepted(matches, learned) == Acceptance(drafts=drafts, accepted=accepted)


def test_acceptance_is_reported_per_position_and_in_tokens_per_pass():
    found = Acceptance(drafts=100, accepted=(80, 60, 50))
    assert found.rates == (0.8, 0.6, 0.5)
    assert found.length == 2.9


def test_acceptance_without_drafts_is_one_token_per_pass():
    found = Acceptance(drafts=0, accepted=(0, 0, 0))
    assert found.rates == (0.0, 0.0, 0.0)
    assert found.length == 1.0
