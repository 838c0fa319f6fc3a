"""Format the remarks on a plan that its numbers do not show, one sentence each; decides nothing."""

from collections.abc import Iterator
from dataclasses import replace

from .advice import Sizer
from .catalogue import MEDIUM, SMALL, known_models
from .cuda_graphs import graphs_outside
from .hardware import GIB
from .sizing import Plan, PlanRequest, StartMeasurement
from .speed import PUBLISHED_ACCEPTANCE
from .splitting import can_split


def notes_on(plan: Plan, size: Sizer) -> tuple[str, ...]:
    """Return the remarks that apply to a plan.

    Args:
        plan: the plan.
        size: plans the smaller model for comparison.
    """
    request = plan.request
    return (
        *_on_gpus(request),
        *_on_memory(plan),
        *_on_weights(request),
        *_on_options(plan),
        *_on_eager(plan),
        *_on_fit(plan),
        *_on_size(request, size),
    )


def notes_on_speed(plan: Plan) -> tuple[str, ...]:
    """Return the remarks on options that cost speed; empty if no speeds are known."""
    return () if plan.speeds is None else (*_on_draft(plan), *_on_eager(plan))


def _on_gpus(request: PlanRequest) -> Iterator[str]:
    gpu = request.gpus.gpu
    if gpu.name == "mi300x":
        yield "On AMD only memory is planned: the command's flags are those for NVIDIA, and no start has been tried."
    if gpu.memory_bytes and gpu.compute_capability == (0, 0) and not request.gpus.measured:
        yield (
            "The given memory is taken as what the engine sees; the driver reports about 1 % more, and 5 to 8 % more "
            "if error correction is on."
        )


def _on_memory(plan: Plan) -> Iterator[str]:
    request, other = plan.request, plan.activation_bytes
    if request.on_cpu:
        yield "On the CPU only the KV cache is planned; --kv-cache-memory-bytes sets its size, 1 GiB by default."
    elif request.kv_cache_memory_bytes is not None:
        yield "The KV cache size is given, so the engine profiles nothing; whether the rest fits shows only under load."
    elif plan.measurement is not None:
        yield _on_measurement(plan.measurement)
    elif request.other_bytes is not None:
        yield "Activation, buffers and graphs are as given."
    else:
        yield (
            f"Activation, buffers and graphs are estimated at {_gib(other.low)} to {_gib(other.high)} GiB, so the KV "
            f"cache holds {plan.kv_tokens_low:,} to {plan.kv_tokens_high:,} tokens; `agent serve` measures them, and "
            "later plans use that."
        )
    if plan.first_start and plan.later_kv_tokens > plan.kv_tokens:
        yield (
            "The plan is for a first start, which compiles and leaves less for the KV cache; later starts have about "
            f"{plan.later_kv_tokens:,} tokens."
        )
    if request.gpu_memory_utilization > 0.92 and request.kv_cache_memory_bytes is None:
        yield (
            "A utilisation above 0.92 may leave too little for a peak under load; the 128B's model card uses 0.8, and "
            "0.85 is common in practice."
        )
    yield from _on_graphs(plan)
    idle = request.gpus.count - request.tensor_parallel_size
    if idle > 0:
        sizes = [n for n in range(1, request.gpus.count + 1) if can_split(request.model, n)]
        yield f"{idle} of {request.gpus.count} GPUs stay idle: {request.model.title} can use {_listed(sizes)}."
    if request.gpus.count > 8:
        yield "More than 8 GPUs span several machines; one copy per machine behind a router serves more (agent deploy)."
    if request.tensor_parallel_size > request.model.num_kv_heads:
        heads = request.model.num_kv_heads
        yield f"GPUs beyond the model's {heads} KV heads save weights but no KV cache: heads are repeated."


def _on_measurement(start: StartMeasurement) -> str:
    where = (
        f"Activation, buffers and graphs were measured at a start of vLLM {start.engine_version} in this configuration"
    )
    if start.compiled is None:
        return f"{where}."
    if start.compiled:
        return f"{where}, which found its compiled graphs in the cache."
    return f"{where}, which compiled; that the next start will need less is estimated."


def _on_graphs(plan: Plan) -> Iterator[str]:
    request = plan.request
    outside, total = graphs_outside(request), request.gpus.gpu.memory_bytes
    if request.engine_version is None and outside.high and not plan.measurement and request.other_bytes is None:
        yield (
            "The engine's version is not known. vLLM 0.26 takes CUDA graphs beside its share of a GPU, 0.32 and later "
            "out of it, and 0.7 does not compile; --engine-version narrows the range."
        )
    beside = max(plan.taken_before_bytes + outside.high, plan.beyond_bytes.high)
    if total and plan.starts != "no" and plan.requested_bytes + beside > total:
        yield (
            f"Up to {_gib(beside)} GiB lie beside the engine's share: the context, NCCL, CUDA graphs, and what PyTorch "
            "keeps without a use for it. The GPU may run out while graphs are captured or under load. "
            f"--gpu-memory-utilization {int((total - beside) / total * 100) / 100} leaves room."
        )


def _on_weights(request: PlanRequest) -> Iterator[str]:
    model, capability = request.model, request.gpus.gpu.compute_capability
    if model.name == MEDIUM and request.weights == "bf16":
        yield "This model is released in FP8 only; the plan shows what BF16 would take."
    if model.name == SMALL and request.weights == "fp8":
        yield "This model is released in BF16; the engine converts it to FP8 unless you use an FP8 checkpoint."
    if request.weights == "fp8" and (0, 0) < capability < (8, 9):
        yield f"{request.gpus.gpu.title} has no FP8 arithmetic: weights stay FP8 in memory, but each pass widens them."
    if model.experts is not None:
        yield (
            f"Of {model.experts.routed} experts a token passes {model.experts.chosen}, but all are loaded. No start of "
            "such a model has been compared with its plan, and speeds are not estimated."
        )
    if model.latent_size and request.tensor_parallel_size > 1:
        yield "Latent attention keeps a token's keys and values whole on every GPU: more GPUs free memory, no more."
    if request.weights == "fp4" and (0, 0) < capability < (10, 0):
        yield f"{request.gpus.gpu.title} has no FP4 arithmetic: weights stay FP4 in memory, but each pass widens them."
    if request.weights in ("fp4", "int8", "int4"):
        yield "The bytes of packed weights are those of their files; no start with such weights has been compared."
    if request.kv_cache_dtype == "fp8":
        yield "An FP8 KV cache without scales in the checkpoint may reduce accuracy; compare before you rely on it."
        if (0, 0) < capability < (8, 9):
            yield f"{request.gpus.gpu.title} has no FP8 arithmetic: not all kernels support an FP8 KV cache on it."


def _on_draft(plan: Plan) -> Iterator[str]:
    if plan.request.draft is None:
        return
    found = None if plan.speeds is None else plan.speeds.draft
    if found is None:
        yield "EAGLE pays off with few concurrent requests."
        return
    yield (
        f"EAGLE costs {found.lost:.0%} of the speed if no proposal is accepted (13 % was measured on H200s), and pays "
        f"off from {found.pays_from:.2f} tokens per step on, with few concurrent requests; the only published figure "
        f"is {PUBLISHED_ACCEPTANCE} (SGLang, random text). The decoding speeds range from none accepted to all."
    )


def _on_eager(plan: Plan) -> Iterator[str]:
    share = None if plan.speeds is None else plan.speeds.eager_share
    if share is not None and share < 1:
        yield (
            f"--enforce-eager costs {1 - share:.0%} of the decoding speed of one request; on two H200s 51.3 tokens/s "
            "became 17.3."
        )


def _on_options(plan: Plan) -> Iterator[str]:
    request = plan.request
    draft = request.draft
    yield from _on_draft(plan)
    if draft is not None and draft.max_model_len < request.max_model_len:
        yield f"Beyond {draft.max_model_len:,} tokens of context the draft proposes nothing: one token per step."
    if plan.offloaded_tokens:
        yield (
            f"{request.kv_offloading_size:g} GiB of CPU memory keep another {plan.offloaded_tokens:,} tokens of "
            "conversations that left the GPUs, so that they are read back and not computed again. This was not tried "
            "on a GPU; the machine needs that memory beside what it uses now."
        )
    if request.engine == "sglang":
        yield "SGLang's KV cache is counted like vLLM's, with pages of one token; no real start has confirmed it."


def _on_fit(plan: Plan) -> Iterator[str]:
    request = plan.request
    if plan.starts != "no" and plan.concurrency < request.concurrency > 1:
        yield (
            f"Of {request.concurrency} concurrent requests, {plan.concurrency:.2f} fit at their full "
            f"{request.max_model_len:,} tokens; more fit if they are shorter, and the rest wait."
        )


def _on_size(request: PlanRequest, size: Sizer) -> Iterator[str]:
    """Suggest the smaller model; a plan cannot compare the quality of answers."""
    if request.model.name != MEDIUM or not request.gpus.gpu.memory_bytes:
        return
    small = next(model for model in known_models() if model.name == SMALL)
    length = min(request.max_model_len, small.max_position)
    for count in (1, 2, 4):
        alone = replace(
            request,
            model=small,
            weights="bf16",
            draft=None,
            other_bytes=None,
            max_model_len=length,
            tensor_parallel_size=count,
            gpus=replace(request.gpus, count=count),
        )
        found = size(alone)
        if count <= request.gpus.count and found.starts == "yes":
            yield (
                f"Is 128B needed? {small.title} takes {_gib(small.weights['bf16'].total())} GiB and runs on "
                f"{count} of these GPUs with {found.kv_tokens:,} tokens of KV cache. A plan compares only sizes: run "
                "your tasks on both and compare."
            )
            return


def _listed(numbers: list[int]) -> str:
    *first, last = [str(number) for number in numbers]
    return f"{', '.join(first)} or {last}" if first else last


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
