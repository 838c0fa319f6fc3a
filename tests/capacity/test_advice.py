"""What would make a request fit: in the order of what it costs the user, and each change planned to its end."""

from dataclasses import replace

import pytest

from serving.capacity.hardware import GIB, Gpu, GpuSet, parse_gpus
from serving.capacity.planner import find_model, plan
from serving.capacity.sizing import Plan, PlanOptions

NO_IMAGES = ("do without images: the vision tower is not loaded", "--language-model-only")
FP8_CACHE = ("keep keys and values in FP8: half the bytes, perhaps a little less exact", "--kv fp8")
SMALL = "mistralai/Mistral-Small-3.2-24B-Instruct-2506"


def small_model(context: int) -> tuple[str, str]:
    what = "take a smaller model, Mistral Small 3.2 24B; try your own tasks on it first"
    return what, f"{SMALL} --context {context}"


def more_gpus(kind: str, count: int) -> tuple[str, str]:
    return f"spread it over {count} GPUs of this kind", f"--gpus {kind}:{count} --tensor-parallel-size {count}"


def changes(found: Plan) -> list[tuple[str, str]]:
    return [(change.what, change.option) for change in found.changes]


def test_nothing_is_advised_where_all_fits():
    assert plan(PlanOptions(gpus="h100:4", max_model_len=65536, other_bytes=4 * GIB)).changes == ()


def test_a_context_that_is_too_long_is_capped_at_the_length_that_the_engine_would_offer():
    found = plan(PlanOptions(gpus="h100:2", max_model_len=262_144, gpu_memory_utilization=0.92, other_bytes=4 * GIB))
    assert changes(found) == [
        ("cap the context at 38,064 tokens", "--context 38064"),
        more_gpus("h100", 4),
        small_model(131_072),
    ]


def test_what_costs_least_comes_first():
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
            "do without the draft: its weights and its layers of the KV cache are saved, its speed is lost",
            "no --draft",
        ),
        (
            "let the engine take 88% of each GPU: less is left for peaks, so watch for out-of-memory",
            "--gpu-memory-utilization 0.88",
        ),
        more_gpus("h200", 4),
        small_model(131_072),
    ]


def test_requests_at_once_that_do_not_fit_are_mended_too():
    found = plan(PlanOptions(gpus="h100:4", max_model_len=32768, concurrency=16, other_bytes=4 * GIB))
    assert found.starts == "yes"
    assert changes(found) == [
        ("cap the context at 23,728 tokens", "--context 23728"),
        FP8_CACHE,
        more_gpus("h100", 8),
        small_model(32768),
    ]
    assert found.changes[0].request.concurrency == 16


def test_weights_in_fp8_are_advised_where_bf16_was_asked():
    found = plan(PlanOptions(gpus="h100:4", weights="bf16", max_model_len=65536, concurrency=4, other_bytes=4 * GIB))
    assert changes(found) == [
        ("cap the context at 10,464 tokens", "--context 10464"),
        ("take the weights in FP8: about half the bytes", "--weights fp8"),
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


def test_where_no_change_is_enough_alone_the_cheap_ones_are_taken_together():
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


def test_where_not_even_that_is_enough_fewer_requests_at_once_are_advised():
    found = plan(PlanOptions(gpus="a100-40:4", max_model_len=131_072, concurrency=8, other_bytes=4 * GIB))
    assert [option for _, option in changes(found)] == [
        "--concurrency 1 --language-model-only --max-num-batched-tokens 2048 --gpu-memory-utilization 0.92 "
        "--context 28176",
        "--concurrency 1 --gpus a100-40:8 --tensor-parallel-size 8",
        f"--concurrency 1 {SMALL} --context 131072",
    ]
    assert {change.what.partition(";")[0] for change in found.changes} == {
        "hold one such request at a time, the others wait"
    }


@pytest.mark.parametrize("gpus", ["h100:1", "h100:2", "h200:1", "h200:2", "l40s:4", "rtx4090:8", "a100-40:4"])
@pytest.mark.parametrize("weights", ["fp8", "bf16"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_every_change_starts_and_holds_what_was_asked(gpus: str, weights: str, concurrency: int):
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


def test_fewer_sequences_are_advised_where_sampling_makes_the_peak():
    found = plan(
        PlanOptions(gpus="h100:4", weights="bf16", max_model_len=8192, max_num_seqs=4096, max_num_batched_tokens=4096)
    )
    assert found.starts == "unsure"
    assert changes(found)[0] == (
        "take the weights in FP8: about half the bytes",
        "--weights fp8",
    )
    assert "--max-num-seqs 512" in [option for _, option in changes(found)]


def test_a_given_cache_that_is_too_small_is_advised_to_be_larger():
    found = plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=8192, concurrency=100))
    assert changes(found) == [("give the KV cache 6,711,934,976 bytes", "--kv-cache-memory-bytes 6711934976")]
    (change,) = found.changes
    again = plan(
        PlanOptions(
            model="pocket", gpus="cpu", max_model_len=8192, concurrency=100, kv_cache_memory_bytes=6_711_934_976
        )
    )
    assert (again.request, again.concurrency >= 100) == (change.request, True)


def test_no_smaller_pass_is_advised_than_it_has_requests():
    model = replace(find_model("mistralai/Mistral-Medium-3.5-128B"), vocab_size=1024)
    found = plan(PlanOptions(model=model, gpus="h100:2", max_model_len=32768, max_num_seqs=3000))
    assert changes(found)[0][1] == "--kv fp8 --language-model-only --max-num-batched-tokens 4096"


def here(name: str, count: int) -> GpuSet:
    gpu = Gpu(name=name, title=name, memory_bytes=80 * GIB, bandwidth_bytes_s=3.3e12, compute_capability=(9, 0))
    return GpuSet(gpu=gpu, count=count, measured=True)


def test_idle_gpus_of_this_machine_are_taken_before_any_is_rented_and_stay_measured():
    found = plan(PlanOptions(gpus=here("h100", 4), tensor_parallel_size=2, max_model_len=131_072, other_bytes=4 * GIB))
    change = next(change for change in found.changes if change.what.startswith("spread"))
    assert (change.what, change.option) == ("spread it over 4 GPUs of this kind", "--tensor-parallel-size 4")
    assert change.request.gpus == found.request.gpus


def test_more_gpus_of_a_known_kind_are_planned_by_the_catalogue():
    found = plan(PlanOptions(gpus=here("h100", 2), max_model_len=131_072, other_bytes=4 * GIB))
    change = next(change for change in found.changes if change.what.startswith("spread"))
    assert change.option == "--gpus h100:4 --tensor-parallel-size 4"
    assert change.request.gpus == parse_gpus("h100:4")


def test_more_gpus_of_a_kind_that_no_command_can_name_are_not_advised():
    found = plan(PlanOptions(gpus=here("h100-pcie", 2), max_model_len=131_072, other_bytes=4 * GIB))
    assert [change.option for change in found.changes if "h100" in change.option] == []


def test_a_cap_where_the_start_is_unsure_starts_by_the_highest_estimate():
    found = plan(PlanOptions(gpus="h100:4", max_model_len=262_144, gpu_memory_utilization=0.7))
    assert found.starts != "yes"
    change = found.changes[0]
    assert change.what.startswith("cap the context at ")
    again = plan(PlanOptions(gpus="h100:4", max_model_len=change.request.max_model_len, gpu_memory_utilization=0.7))
    assert (again.starts, again.activation_bytes.low < again.activation_bytes.high) == ("yes", True)
