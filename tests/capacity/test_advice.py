"""Changes that make a request fit: in order of their cost to the user, each planned in full."""

from dataclasses import replace

import pytest

from serving.capacity.hardware import GIB, Gpu, GpuSet, parse_gpus
from serving.capacity.planner import find_model, plan
from serving.capacity.sizing import Plan, PlanOptions

NO_IMAGES = ("disable image input: the vision tower is not loaded", "--language-model-only")
FP8_CACHE = ("store the KV cache in FP8: half the bytes, possibly slightly less accurate", "--kv fp8")
SMALL = "mistralai/Mistral-Small-3.2-24B-Instruct-2506"


def small_model(context: int) -> tuple[str, str]:
    what = "use a smaller model, Mistral Small 3.2 24B; try your own tasks on it first"
    return what, f"{SMALL} --context {context}"


def more_gpus(kind: str, count: int) -> tuple[str, str]:
    return f"split the model over {count} GPUs of this kind", f"--gpus {kind}:{count} --tensor-parallel-size {count}"


def changes(found: Plan) -> list[tuple[str, str]]:
    return [(change.what, change.option) for change in found.changes]


def test_nothing_is_advised_if_everything_fits():
    assert plan(PlanOptions(gpus="h100:4", max_model_len=65536, other_bytes=4 * GIB)).changes == ()


def test_a_context_that_is_too_long_is_capped_at_the_length_that_the_engine_would_suggest():
    found = plan(PlanOptions(gpus="h100:2", max_model_len=262_144, gpu_memory_utilization=0.92, other_bytes=4 * GIB))
    assert changes(found) == [
        ("cap the context at 38,064 tokens", "--context 38064"),
        more_gpus("h100", 4),
        small_model(131_072),
    ]


def test_the_cheapest_change_comes_first():
    found = plan(
        PlanOptions(
            gpus="h200:2", max_model_len=262_144, gpu_memory_utilization=0.8, draft="eagle", other_bytes=4 * GIB
        )
    )
    assert changes(found) == [
        ("cap the context at 256,464 tokens", "--context 256464"),
        FP8_CACHE,
        NO_IMAGES,
        (
            "drop the draft: saves its weights and its KV cache layers, but loses its speed-up",
            "no --draft",
        ),
        (
            "let the engine use 88% of each GPU: less headroom for peaks, so watch for out-of-memory",
            "--gpu-memory-utilization 0.88",
        ),
        more_gpus("h200", 4),
        small_model(131_072),
    ]


def test_changes_are_advised_if_the_concurrent_requests_do_not_fit():
    found = plan(PlanOptions(gpus="h100:4", max_model_len=32768, concurrency=16, other_bytes=4 * GIB))
    assert found.starts == "yes"
    assert changes(found) == [
        ("cap the context at 23,728 tokens", "--context 23728"),
        FP8_CACHE,
        more_gpus("h100", 8),
        small_model(32768),
    ]
    assert found.changes[0].request.concurrency == 16


def test_fp8_weights_are_advised_instead_of_bf16():
    found = plan(PlanOptions(gpus="h100:4", weights="bf16", max_model_len=65536, concurrency=4, other_bytes=4 * GIB))
    assert changes(found) == [
        ("cap the context at 10,464 tokens", "--context 10464"),
        ("use FP8 weights: about half the bytes", "--weights fp8"),
        more_gpus("h100", 8),
        small_model(65536),
    ]


def test_no_fp8_cache_is_advised_for_gpus_without_fp8():
    found = plan(PlanOptions(gpus="a100-80:2", max_model_len=8192, other_bytes=4 * GIB))
    assert [option for _, option in changes(found)] == [
        "--language-model-only",
        "--gpu-memory-utilization 0.88",
        "--gpus a100-80:4 --tensor-parallel-size 4",
        f"{SMALL} --context 8192",
    ]


def test_cheap_changes_are_combined_if_no_single_one_is_enough():
    found = plan(PlanOptions(gpus="h200:1", max_model_len=16384, other_bytes=4 * GIB))
    assert [option for _, option in changes(found)] == [
        "--kv fp8 --language-model-only --max-num-batched-tokens 2048 --gpu-memory-utilization 0.92",
        "--gpus h200:2 --tensor-parallel-size 2",
        f"{SMALL} --context 16384",
    ]
    assert found.changes[0].request == replace(
        found.request,
        kv_cache_dtype="fp8",
        language_model_only=True,
        max_num_batched_tokens=2048,
        gpu_memory_utilization=0.92,
    )


def test_fewer_concurrent_requests_are_advised_if_nothing_else_is_enough():
    found = plan(PlanOptions(gpus="a100-40:4", max_model_len=131_072, concurrency=8, other_bytes=4 * GIB))
    assert [option for _, option in changes(found)] == [
        "--concurrency 1 --language-model-only --max-num-batched-tokens 2048 --gpu-memory-utilization 0.92 "
        "--context 28176",
        "--concurrency 1 --gpus a100-40:8 --tensor-parallel-size 8",
        f"--concurrency 1 {SMALL} --context 131072",
    ]
    assert {change.what.partition(";")[0] for change in found.changes} == {
        "hold one request of this length at a time (others wait)"
    }


@pytest.mark.parametrize("gpus", ["h100:1", "h100:2", "h200:1", "h200:2", "l40s:4", "rtx4090:8", "a100-40:4"])
@pytest.mark.parametrize("weights", ["fp8", "bf16"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_every_change_starts_and_holds_the_requested_concurrency(gpus: str, weights: str, concurrency: int):
    found = plan(PlanOptions(gpus=gpus, weights=weights, concurrency=concurrency, max_model_len=131_072))
    assert found.changes or (found.starts == "yes" and found.concurrency >= concurrency)
    for change in found.changes:
        request = change.request
        again = plan(
            PlanOptions(
                model=request.model,
                gpus=request.gpus,
                tensor_parallel_size=request.tensor_parallel_size,
                max_model_len=request.max_model_len,
                concurrency=request.concurrency,
                weights=request.weights,
                kv_cache_dtype=request.kv_cache_dtype,
                gpu_memory_utilization=request.gpu_memory_utilization,
                max_num_batched_tokens=request.max_num_batched_tokens,
                language_model_only=request.language_model_only,
            )
        )
        assert again.request == request
        assert (again.starts, again.changes) == ("yes", ())
        assert again.concurrency >= (1 if "--concurrency 1 " in change.option else concurrency)


def test_fewer_sequences_are_advised_if_sampling_causes_the_peak():
    found = plan(
        PlanOptions(gpus="h100:4", weights="bf16", max_model_len=8192, max_num_seqs=6144, max_num_batched_tokens=6144)
    )
    assert found.starts == "unsure"
    assert changes(found)[0] == (
        "use FP8 weights: about half the bytes",
        "--weights fp8",
    )
    assert "--max-num-seqs 512" in [option for _, option in changes(found)]


def test_a_larger_cache_is_advised_if_the_given_one_is_too_small():
    found = plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=8192, concurrency=100))
    assert changes(found) == [("enlarge the KV cache to 6,711,934,976 bytes", "--kv-cache-memory-bytes 6711934976")]
    (change,) = found.changes
    again = plan(
        PlanOptions(
            model="pocket", gpus="cpu", max_model_len=8192, concurrency=100, kv_cache_memory_bytes=6_711_934_976
        )
    )
    assert (again.request, again.concurrency >= 100) == (change.request, True)


def test_no_pass_smaller_than_its_number_of_requests_is_advised():
    model = replace(find_model("mistralai/Mistral-Medium-3.5-128B"), vocab_size=1024)
    gpus = replace(here("other", 2), gpu=replace(here("other", 2).gpu, memory_bytes=141 * GIB // 2))
    found = plan(
        PlanOptions(model=model, gpus=gpus, max_model_len=31744, max_num_seqs=3000, gpu_memory_utilization=0.92)
    )
    assert changes(found)[0][1] == "--kv fp8 --language-model-only --max-num-batched-tokens 4096"


def here(name: str, count: int) -> GpuSet:
    gpu = Gpu(name=name, title=name, memory_bytes=80 * GIB, bandwidth_bytes_s=3.3e12, compute_capability=(9, 0))
    return GpuSet(gpu=gpu, count=count, measured=True)


def test_idle_gpus_of_this_machine_are_used_before_more_gpus_and_stay_measured():
    found = plan(PlanOptions(gpus=here("h100", 4), tensor_parallel_size=2, max_model_len=131_072, other_bytes=4 * GIB))
    change = next(change for change in found.changes if change.what.startswith("split"))
    assert (change.what, change.option) == ("split the model over 4 GPUs of this kind", "--tensor-parallel-size 4")
    assert change.request.gpus == found.request.gpus


def test_more_gpus_of_a_known_kind_are_planned_from_the_catalogue():
    found = plan(PlanOptions(gpus=here("h100", 2), max_model_len=131_072, other_bytes=4 * GIB))
    change = next(change for change in found.changes if change.what.startswith("split"))
    assert change.option == "--gpus h100:4 --tensor-parallel-size 4"
    assert change.request.gpus == parse_gpus("h100:4")


def test_more_gpus_are_not_advised_if_their_kind_is_not_in_the_catalogue():
    found = plan(PlanOptions(gpus=here("h100-pcie", 2), max_model_len=131_072, other_bytes=4 * GIB))
    assert [change.option for change in found.changes if "h100" in change.option] == []


def test_a_capped_context_starts_even_with_the_high_estimate():
    found = plan(PlanOptions(gpus="h100:4", max_model_len=262_144, gpu_memory_utilization=0.7))
    assert found.starts != "yes"
    change = found.changes[0]
    assert change.what.startswith("cap the context at ")
    again = plan(PlanOptions(gpus="h100:4", max_model_len=change.request.max_model_len, gpu_memory_utilization=0.7))
    assert (again.starts, again.activation_bytes.low < again.activation_bytes.high) == ("yes", True)
