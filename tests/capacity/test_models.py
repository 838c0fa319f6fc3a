"""The catalogue's bytes match the published weight index, and so does the share of one GPU."""

import pytest

from serving import EngineError
from serving.capacity.catalogue import MEDIUM, SMALL, draft_for, known_models
from serving.capacity.hardware import GIB
from serving.capacity.kv_cache import bytes_per_token
from serving.capacity.models import DraftShape, ModelShape, WeightBytes
from serving.capacity.planner import find_model, plan
from serving.capacity.sizing import PlanOptions


def model(name: str) -> ModelShape:
    return next(model for model in known_models() if model.name == name)


def eagle() -> DraftShape:
    draft = draft_for(model(MEDIUM))
    assert draft is not None
    return draft


def test_the_bytes_of_the_128b_match_its_index_file():
    assert model(MEDIUM).weights["fp8"].total() == 133_605_834_656


def test_the_language_model_alone_excludes_the_vision_tower_and_its_projector():
    vision_and_projector = 2 * (2_495_702_144 + 182_519_424)
    assert model(MEDIUM).weights["fp8"].total(language_model_only=True) == 133_605_834_656 - vision_and_projector


def test_bf16_has_two_bytes_per_parameter_and_no_scales():
    assert model(MEDIUM).weights["bf16"].total() == 2 * 127_704_210_176


def test_the_draft_has_no_embedding_and_output_of_its_own():
    assert eagle() == DraftShape(
        name="mistralai/Mistral-Medium-3.5-128B-EAGLE",
        num_layers=2,
        weights=WeightBytes(sharded=3_070_230_528, replicated=0, kv_projections=2 * 2 * 12288 * 1024),
        num_speculative_tokens=3,
        max_model_len=65536,
    )


def test_only_the_128b_has_a_draft():
    assert draft_for(model(SMALL)) is None


def test_the_24b_has_the_parameter_count_of_its_model_card():
    assert model(SMALL).weights["bf16"].total() == 2 * 24_011_361_280


# GiB of one GPU by tensor parallel size: with vision, language model only, with vision and the draft; and the bytes of
# one token's keys and values in BF16. Calculated from the checkpoint and vLLM's source, independently of this code.
PER_GPU = [
    (1, 124.43, 119.44, 127.29, 360_448),
    (2, 62.39, 59.72, 63.82, 180_224),
    (4, 31.37, 29.86, 32.08, 90_112),
    (8, 15.86, 14.93, 16.21, 45_056),
    # Beyond eight GPUs KV heads are repeated, and so are their projection matrices.
    (16, 8.23, 7.60, 8.41, 45_056),
]


@pytest.mark.parametrize(("split", "whole", "language", "drafted", "token"), PER_GPU)
def test_one_gpu_holds_the_expected_bytes(split: int, whole: float, language: float, drafted: float, token: int):
    medium = model(MEDIUM)
    weights = medium.weights["fp8"]
    with_vision = weights.per_gpu(split, medium.num_kv_heads)
    assert [
        round(with_vision / GIB, 2),
        round(weights.per_gpu(split, medium.num_kv_heads, language_model_only=True) / GIB, 2),
        round((with_vision + eagle().weights.per_gpu(split, medium.num_kv_heads)) / GIB, 2),
    ] == [whole, language, drafted]
    sizes = {"num_kv_heads": 8, "head_dim": 128, "tensor_parallel_size": split}
    assert bytes_per_token(num_layers=88, fp8=False, **sizes) == token
    assert bytes_per_token(num_layers=88, fp8=True, **sizes) == token // 2
    assert bytes_per_token(num_layers=90, fp8=False, **sizes) == token * 90 // 88


def test_the_kv_cache_of_the_24b_matches_a_published_log():
    """28.20 GiB held 184,832 tokens on an H100: llm-d-planner, docs/empirical-vllm-memory-results.md, read 2026-11."""
    small = model(SMALL)
    token = bytes_per_token(
        num_layers=small.num_layers,
        num_kv_heads=small.num_kv_heads,
        head_dim=small.head_dim,
        tensor_parallel_size=1,
        fp8=False,
    )
    assert token == 163_840
    assert round(184_832 * token / GIB, 1) == 28.2


def test_small_4_has_the_parameters_and_bytes_that_were_published():
    """119.4 billion parameters; about 120 GB in FP8 (Mistral's card and a size table, read 2026-11)."""
    model = find_model("Mistral-Small-4-119B-2603")
    weights = model.weights["fp8"]
    assert 119e9 < weights.total() < 122e9
    embeddings_twice = 2 * 131072 * 4096
    vision = (weights.vision_sharded + weights.vision_replicated) // 2
    routers_and_norms = 36 * (4096 * 128 + 2 * 4096 + 1024 + 256) + 4096
    parameters = weights.total() - embeddings_twice - vision - routers_and_norms
    assert round(parameters / 1e9, 1) == 119.4


def test_latent_attention_keeps_the_same_bytes_on_every_gpu():
    one, two = (
        plan(PlanOptions(model="Mistral-Small-4-119B-2603", gpus=gpus, max_model_len=8192))
        for gpus in ("b200:1", "b200:2")
    )
    assert one.kv_bytes_per_token == two.kv_bytes_per_token == 36 * 320 * 2
    assert any(note.startswith("Latent attention keeps") for note in two.notes)
    assert not any(note.startswith("Latent attention keeps") for note in one.notes)


def test_a_mixture_of_experts_has_no_speeds_and_says_so():
    found = plan(PlanOptions(model="Mistral-Small-4-119B-2603", gpus="h200:2", max_model_len=262_144))
    assert found.starts == "yes"
    assert (found.speeds, found.decode_tokens_s_bound) == (None, None)
    assert any(note.startswith("Of 128 experts a token passes 4, but all are loaded.") for note in found.notes)


@pytest.mark.parametrize(
    "name", ["Mistral-Large-4-1T-A52B", "mistralai/Mistral-Large-4-1T-A52B", "mistral-large-3-675b-instruct-2512"]
)
def test_a_model_whose_arithmetic_is_not_known_is_refused_by_name(name: str):
    """Large 4 was answered with the nearest known name."""
    with pytest.raises(EngineError) as caught:
        find_model(name)
    assert caught.value.what == f"{name} cannot be planned."
    assert caught.value.cause.endswith("; a plan would be wrong.")


def test_no_draft_is_known_for_small_4():
    with pytest.raises(EngineError) as caught:
        plan(PlanOptions(model="Mistral-Small-4-119B-2603", gpus="h200:2", draft="eagle"))
    assert caught.value.what == "No EAGLE draft is known for Mistral Small 4 119B."
