"""The plan's arithmetic against figures calculated from the engine's source, cell by cell."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from serving import EngineError
from serving.capacity.hardware import GIB
from serving.capacity.planner import find_model, plan
from serving.capacity.sizing import PlanOptions

# Predicted tokens for Mistral Medium 3.5 128B in FP8 with its vision tower, BF16 KV cache, 4 GiB besides weights and KV
# cache, and 79.11, 139.81 and 178.35 GiB as the engine sees H100, H200 and B200, for a context of 262,144 tokens.
# (GPUs, utilisation, EAGLE, tokens, requests of 262,144 at once)
STARTS = [
    ("h100:4", 0.92, False, 445_808, 1.70),
    ("h100:4", 0.8, False, 332_688, 1.27),
    ("h100:4", 0.92, True, 427_568, 1.63),
    ("h100:8", 0.92, False, 1_261_248, 4.81),
    ("h100:8", 0.8, False, 1_035_024, 3.95),
    ("h100:8", 0.92, True, 1_224_896, 4.67),
    ("h200:2", 0.92, False, 370_784, 1.41),
    ("h200:2", 0.8, False, 270_832, 1.03),
    ("h200:2", 0.92, True, 354_224, 1.35),
    ("h200:4", 0.92, False, 1_111_216, 4.24),
    ("h200:4", 0.8, False, 911_312, 3.48),
    ("h200:4", 0.92, True, 1_078_192, 4.11),
    ("h200:8", 0.92, False, 2_592_080, 9.89),
    ("h200:8", 0.8, False, 2_192_256, 8.36),
    ("h200:8", 0.92, True, 2_526_160, 9.64),
    ("b200:2", 0.92, False, 582_032, 2.22),
    ("b200:2", 0.8, False, 454_528, 1.73),
    ("b200:2", 0.92, True, 560_768, 2.14),
    ("b200:4", 0.92, False, 1_533_712, 5.85),
    ("b200:4", 0.8, False, 1_278_688, 4.88),
    ("b200:4", 0.92, True, 1_491_296, 5.69),
    ("b200:8", 0.92, False, 3_437_072, 13.11),
    ("b200:8", 0.8, False, 2_927_024, 11.17),
    ("b200:8", 0.92, True, 3_352_352, 12.79),
]

# (GPUs, utilisation, EAGLE, the longest context that would start)
DOES_NOT_START = [
    ("h100:2", 0.92, False, 38_064),
    ("h100:2", 0.8, False, 0),
    ("h100:2", 0.92, True, 28_896),
    ("h200:1", 0.92, False, 560),
    ("h200:1", 0.8, False, 0),
    ("h200:1", 0.92, True, 0),
    ("h200:2", 0.8, True, 256_464),
]


@pytest.mark.parametrize(("gpus", "utilisation", "eagle", "tokens", "at_once"), STARTS)
def test_the_planned_tokens_match_the_engines_arithmetic(
    gpus: str, utilisation: float, eagle: bool, tokens: int, at_once: float
):
    found = plan(
        PlanOptions(
            gpus=gpus,
            max_model_len=262_144,
            gpu_memory_utilization=utilisation,
            draft="eagle" if eagle else None,
            other_bytes=4 * GIB,
        )
    )
    assert (found.starts, found.missing_bytes, found.kv_tokens) == ("yes", 0, tokens)
    assert round(found.concurrency, 2) == at_once


@pytest.mark.parametrize(("gpus", "utilisation", "eagle", "longest"), DOES_NOT_START)
def test_a_start_that_the_engine_would_refuse_is_predicted_with_the_length_it_would_suggest(
    gpus: str, utilisation: float, eagle: bool, longest: int
):
    found = plan(
        PlanOptions(
            gpus=gpus,
            max_model_len=262_144,
            gpu_memory_utilization=utilisation,
            draft="eagle" if eagle else None,
            other_bytes=4 * GIB,
        )
    )
    assert (found.starts, found.longest_max_model_len) == ("no", longest)
    assert found.missing_bytes > 0


def test_a_fp8_cache_holds_twice_the_tokens():
    found = plan(
        PlanOptions(
            gpus="h200:4", max_model_len=262_144, kv_cache_dtype="fp8", gpu_memory_utilization=0.92, other_bytes=4 * GIB
        )
    )
    # Twice 1,111,216 tokens and one block more, because a block of half the size fits in the remainder.
    assert found.kv_tokens == 2 * 1_111_216 + 16


def test_a_given_cache_size_is_counted_without_profiling():
    found = plan(PlanOptions(gpus="h200:4", max_model_len=32768, kv_cache_memory_bytes=16 * GIB))
    assert found.kv_tokens == 16 * GIB // (16 * 90_112) * 16
    assert (found.starts, found.changes) == ("yes", ())
    assert found.notes[0] == (
        "The KV cache size is given, so the engine profiles nothing; whether the rest fits shows only under load."
    )


def test_a_given_cache_that_does_not_fit_on_the_gpu_does_not_start():
    found = plan(PlanOptions(gpus="h100:4", max_model_len=32768, kv_cache_memory_bytes=60 * GIB, other_bytes=4 * GIB))
    assert found.starts == "no"
    assert found.missing_bytes == found.weights_bytes + (4 + 60) * GIB + found.taken_before_bytes - int(79.11 * GIB)


def test_between_the_bounds_of_the_estimate_a_start_is_unsure():
    length = plan(PlanOptions(gpus="h100:2", max_model_len=8192, gpu_memory_utilization=0.9)).longest_max_model_len
    found = plan(PlanOptions(gpus="h100:2", max_model_len=length, gpu_memory_utilization=0.9))
    assert (found.starts, found.missing_bytes) == ("unsure", 0)


def test_one_request_decodes_no_faster_than_the_weights_can_be_read():
    """4 x H200 read 19.2 TB/s. The whole checkpoint would give 144 tokens/s, but a decoding step reads neither the
    vision tower nor the embedding. SGLang was measured at 69, about half of either bound.
    """
    found = plan(PlanOptions(gpus="h200:4", max_model_len=32768, other_bytes=4 * GIB))
    whole = 4 * 4.8e12 / 133_605_834_656
    assert round(whole) == 144
    assert found.decode_tokens_s_bound is not None
    assert found.decode_tokens_s_bound_full is not None
    assert round(found.decode_tokens_s_bound, 1) == 153.5
    assert round(found.decode_tokens_s_bound_full, 1) == 140.3


def test_a_draft_raises_the_bound_only_within_its_context():
    short = plan(PlanOptions(gpus="h200:4", max_model_len=65536, draft="eagle", other_bytes=4 * GIB))
    long = plan(PlanOptions(gpus="h200:4", max_model_len=131_072, draft="eagle", other_bytes=4 * GIB))
    plain = plan(PlanOptions(gpus="h200:4", max_model_len=131_072, other_bytes=4 * GIB))
    bounds = [short.decode_tokens_s_bound, short.decode_tokens_s_bound_full, long.decode_tokens_s_bound_full]
    assert [round(bound or 0) for bound in bounds] == [534, 457, 111]
    assert round(plain.decode_tokens_s_bound_full or 0) == 111


@pytest.mark.parametrize(
    ("gpus", "concurrency", "context", "note"),
    [
        ("h100:4", None, 65536, "4 requests fit"),
        ("h100:4", 1, 262_144, "one request fits"),
        ("h100:4", 40, 8192, "40 requests fit"),
        ("h100:4", 400, 262_144, "one request fits"),
    ],
)
def test_a_context_that_is_not_given_is_chosen_and_a_note_says_so(
    gpus: str, concurrency: int | None, context: int, note: str
):
    found = plan(PlanOptions(gpus=gpus, concurrency=concurrency, other_bytes=4 * GIB))
    assert found.request.max_model_len == context
    assert found.notes[0] == (
        f"Chosen context: {context:,}, the longest usual one at which {note} at once. --context overrides it."
    )


def test_the_shortest_context_is_planned_if_none_starts():
    found = plan(PlanOptions(gpus="h100:1", other_bytes=4 * GIB))
    assert (found.starts, found.request.max_model_len) == ("no", 8192)
    assert found.notes[0] == (
        "No usual context is certain to start; this plan is for the shortest, 8,192. --context overrides it."
    )


def test_gpus_that_the_heads_cannot_use_stay_idle():
    found = plan(PlanOptions(gpus="h100:6", max_model_len=32768, other_bytes=4 * GIB))
    assert found.request.tensor_parallel_size == 4
    assert "2 of 6 GPUs stay idle: Mistral Medium 3.5 128B can use 1, 2 or 4." in found.notes


def test_notes_explain_unusual_options():
    found = plan(
        PlanOptions(
            gpus="a100-80:8",
            max_model_len=131_072,
            weights="bf16",
            kv_cache_dtype="fp8",
            draft="eagle",
            engine="sglang",
            gpu_memory_utilization=0.95,
            concurrency=1,
            other_bytes=4 * GIB,
        )
    )
    assert found.notes[:7] == (
        "Activation, buffers and graphs are as given.",
        "A utilisation above 0.92 may leave too little for a peak under load; the 128B's model card uses 0.8, and 0.85 "
        "is common in practice.",
        "This model is released in FP8 only; the plan shows what BF16 would take.",
        "An FP8 KV cache without scales in the checkpoint may reduce accuracy; compare before you rely on it.",
        "NVIDIA A100 80GB SXM has no FP8 arithmetic: not all kernels support an FP8 KV cache on it.",
        "EAGLE costs 9% of the speed if no proposal is accepted (13 % was measured on H200s), and pays off from 1.10 "
        "tokens per step on, with few concurrent requests; the only published figure is 1.72 (SGLang, random text). "
        "The decoding speeds range from none accepted to all.",
        "Beyond 65,536 tokens of context the draft proposes nothing: one token per step.",
    )


def test_more_gpus_than_kv_heads_repeat_the_heads():
    found = plan(PlanOptions(gpus="h100:16", max_model_len=131_072, other_bytes=4 * GIB))
    assert found.kv_bytes_per_token == 45_056
    assert found.notes[1:3] == (
        "More than 8 GPUs span several machines; one copy per machine behind a router serves more (agent deploy).",
        "GPUs beyond the model's 8 KV heads save weights but no KV cache: heads are repeated.",
    )


def refusal(**options: object) -> str:
    with pytest.raises(EngineError) as caught:
        plan(PlanOptions(**{"gpus": "h100:8", "max_model_len": 32768, **options}))
    return str(caught.value)


def test_a_model_is_not_split_if_its_mlp_cannot_be():
    # As in Llama 2 13B: five GPUs could share 40 heads, but not 13824 rows.
    model = replace(find_model("pocket"), num_heads=40, num_kv_heads=40, intermediate_size=13824, vocab_size=32000)
    assert plan(PlanOptions(model=model, gpus="h100:5", max_model_len=8192)).request.tensor_parallel_size == 4
    assert refusal(model=model, max_model_len=8192, tensor_parallel_size=5) == (
        "pocket cannot be split over 5 GPUs: it has 40 heads, 40 KV heads and an MLP of 13824.\n"
        "Now:   Use one of these for --tensor-parallel-size: 1, 2, 4, 8."
    )


def test_more_requests_than_tokens_per_pass_are_refused_as_by_the_engine():
    assert refusal(max_num_seqs=4096, max_num_batched_tokens=2048) == (
        "--max-num-seqs 4096 is more than the 2048 tokens of one pass, and each request needs at least one.\n"
        "Now:   Give at most 2048, or raise --max-num-batched-tokens."
    )


def test_many_concurrent_requests_are_not_all_computed_in_one_pass():
    assert plan(PlanOptions(gpus="h100:8", max_model_len=8192, concurrency=10**6)).request.max_num_seqs == 16384
    assert plan(PlanOptions(gpus="h100:8", max_model_len=8192, max_num_batched_tokens=64)).request.max_num_seqs == 64


def test_a_block_size_that_no_kernel_supports_is_refused():
    assert refusal(block_size=24) == "No vLLM kernel supports --block-size 24.\nNow:   Give a multiple of 16."
    assert plan(PlanOptions(gpus="h100:8", max_model_len=8192, block_size=24, engine="sglang")).starts == "yes"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("tensor_parallel_size", "--tensor-parallel-size"),
        ("max_model_len", "--context"),
        ("concurrency", "--concurrency"),
        ("max_num_batched_tokens", "--max-num-batched-tokens"),
        ("max_num_seqs", "--max-num-seqs"),
        ("block_size", "--block-size"),
        ("kv_cache_memory_bytes", "--kv-cache-memory-bytes"),
    ],
)
@pytest.mark.parametrize("number", [0, -5])
def test_zero_is_refused_and_not_treated_as_missing(name: str, option: str, number: int):
    assert refusal(**{name: number}) == f"{option} {number} is not a whole number above 0.\nNow:   Give 1 or more."


def test_weights_smaller_than_the_embedding_give_no_bound(tmp_path: Path):
    header = b'{"norm.weight": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}'
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    (tmp_path / "config.json").write_text(
        '{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, '
        '"vocab_size": 1000, "max_position_embeddings": 8192}'
    )
    assert plan(PlanOptions(model=str(tmp_path), gpus="h100", max_model_len=8192)).decode_tokens_s_bound is None


def test_a_smaller_model_is_suggested_only_if_it_starts():
    assert not any("Is 128B needed?" in note for note in plan(PlanOptions(gpus="rtx4090:1", max_model_len=8192)).notes)
    assert any("Is 128B needed?" in note for note in plan(PlanOptions(gpus="h100:1", max_model_len=8192)).notes)


def test_a_share_that_is_never_free_at_the_start_was_said_to_start():
    """The engine refuses it: the CUDA context takes 0.51 GiB of an H200 before the engine looks at the memory."""
    found = plan(PlanOptions(gpus="h200:1", language_model_only=True, max_model_len=8192, gpu_memory_utilization=1.0))
    assert found.starts == "no"
    assert found.missing_bytes == found.taken_before_bytes
    assert found.changes[0].option == "--gpu-memory-utilization 0.98"
