"""Format the remarks on a plan that its numbers do not show, one sentence each; decides nothing."""

from collections.abc import Iterator
from dataclasses import replace

from .advice import Sizer
from .catalogue import MEDIUM, SMALL, known_models
from .hardware import GIB
from .sizing import Plan, PlanRequest
from .splitting import can_split


def notes_on(plan: Plan, size: Sizer) -> tuple[str, ...]:
    """Return the remarks that apply to a plan.

    Args:
        plan: the plan.
        size: plans the smaller model for comparison.
    """
    request = plan.request
    return (*_on_memory(plan), *_on_weights(request), *_on_options(request), *_on_fit(plan), *_on_size(request, size))


def _on_memory(plan: Plan) -> Iterator[str]:
    request, other = plan.request, plan.activation_bytes
    if request.gpus.gpu.name == "cpu":
        yield "On the CPU only the KV cache is planned; --kv-cache-memory-bytes sets its size, 1 GiB by default."
    elif request.kv_cache_memory_bytes is not None:
        yield "The KV cache size is given, so the engine profiles nothing; whether the rest fits shows only under load."
    elif plan.measured:
        yield "Activation, buffers and graphs were measured at a real start of this configuration."
    elif request.other_bytes is not None:
        yield "Activation, buffers and graphs are as given."
    else:
        spread = (other.high - other.low) // plan.kv_bytes_per_token
        yield (
            f"Activation, buffers and graphs are estimated at {_gib(other.low)} to {_gib(other.high)} GiB, so the KV "
            f"cache tokens are known to within {spread:,}; `agent serve` measures them, and later plans use that."
        )
        if request.weights == "fp8" and not request.enforce_eager:
            # vLLM 0.26.0 on an H200, 8192 batched tokens: 36,960 tokens at the first start, 41,792 at the second.
            yield "The plan is for a first start, which compiles and leaves less for the KV cache than later ones."
    if request.gpu_memory_utilization > 0.92 and request.kv_cache_memory_bytes is None:
        yield (
            "A utilisation above 0.92 may leave too little for a peak under load; the 128B's model card uses 0.8, and "
            "0.85 is common in practice."
        )
    idle = request.gpus.count - request.tensor_parallel_size
    if idle > 0:
        sizes = [n for n in range(1, request.gpus.count + 1) if can_split(request.model, n)]
        yield f"{idle} of {request.gpus.count} GPUs stay idle: {request.model.title} can use {_listed(sizes)}."
    if request.gpus.count > 8:
        yield "More than 8 GPUs span several machines; one copy per machine behind a router serves more (agent deploy)."
    if request.tensor_parallel_size > request.model.num_kv_heads:
        heads = request.model.num_kv_heads
        yield f"GPUs beyond the model's {heads} KV heads save weights but no KV cache: heads are repeated."


def _on_weights(request: PlanRequest) -> Iterator[str]:
    model, capability = request.model, request.gpus.gpu.compute_capability
    if model.name == MEDIUM and request.weights == "bf16":
        yield "This model is released in FP8 only; the plan shows what BF16 would take."
    if model.name == SMALL and request.weights == "fp8":
        yield "This model is released in BF16; the engine converts it to FP8 unless you use an FP8 checkpoint."
    if request.weights == "fp8" and (0, 0) < capability < (8, 9):
        yield f"{request.gpus.gpu.title} has no FP8 arithmetic: weights stay FP8 in memory, but each pass widens them."
    if request.kv_cache_dtype == "fp8":
        yield "An FP8 KV cache without scales in the checkpoint may reduce accuracy; compare before you rely on it."
        if (0, 0) < capability < (8, 9):
            yield f"{request.gpus.gpu.title} has no FP8 arithmetic: not all kernels support an FP8 KV cache on it."


def _on_options(request: PlanRequest) -> Iterator[str]:
    draft = request.draft
    if draft is not None:
        yield (
            "EAGLE pays off with few concurrent requests; the only published acceptance is 1.72 tokens per step "
            "(SGLang, random text)."
        )
        if draft.max_model_len < request.max_model_len:
            yield f"Beyond {draft.max_model_len:,} tokens of context the draft proposes nothing: one token per step."
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
