"""Say what a person should know of a plan beside its numbers, one sentence each; decides nothing."""

from collections.abc import Iterator
from dataclasses import replace

from .advice import Sizer
from .catalogue import MEDIUM, SMALL, known_models
from .hardware import GIB
from .sizing import Plan, PlanRequest
from .splitting import can_split


def notes_on(plan: Plan, size: Sizer) -> tuple[str, ...]:
    """List what is worth saying.

    Args:
        plan: what is spoken of.
        size: works out the smaller model beside it.
    """
    request = plan.request
    return (*_on_memory(plan), *_on_weights(request), *_on_options(request), *_on_fit(plan), *_on_size(request, size))


def _on_memory(plan: Plan) -> Iterator[str]:
    request, other = plan.request, plan.activation_bytes
    if request.gpus.gpu.name == "cpu":
        yield "On the CPU only the KV cache is planned: as --kv-cache-memory-bytes says, or else 1 GiB."
    elif request.kv_cache_memory_bytes is not None:
        yield "The KV cache is given, so the engine profiles nothing: whether the rest fits shows only under load."
    elif plan.measured:
        yield "Activation, buffers and graphs are measured: they are from a real start of this configuration."
    elif request.other_bytes is not None:
        yield "Activation, buffers and graphs are as given."
    else:
        spread = (other.high - other.low) // plan.kv_bytes_per_token
        yield (
            f"Activation, buffers and graphs are estimated, {_gib(other.low)} to {_gib(other.high)} GiB, so the tokens "
            f"are known to within {spread:,}; a start with `agent serve` measures them, and later plans use that."
        )
        if request.weights == "fp8" and not request.enforce_eager:
            # vLLM 0.26.0 on an H200, 8192 batched tokens: 36,960 tokens at the first start, 41,792 at the second.
            yield "A first start compiles and then has less left for the KV cache than later ones: the plan is for it."
    if request.gpu_memory_utilization > 0.92 and request.kv_cache_memory_bytes is None:
        yield "Above 0.92 a peak may not fit under load: the card of the 128B model uses 0.8, practice 0.85."
    idle = request.gpus.count - request.tensor_parallel_size
    if idle > 0:
        sizes = [n for n in range(1, request.gpus.count + 1) if can_split(request.model, n)]
        yield f"{idle} of {request.gpus.count} GPUs stay idle: {request.model.title} splits over {_listed(sizes)}."
    if request.gpus.count > 8:
        yield "More than 8 GPUs are more than one machine: a copy on each behind a router serves more (agent deploy)."
    if request.tensor_parallel_size > request.model.num_kv_heads:
        yield f"Beyond its {request.model.num_kv_heads} KV heads more GPUs save weights, but no KV cache: heads repeat."


def _on_weights(request: PlanRequest) -> Iterator[str]:
    model, capability = request.model, request.gpus.gpu.compute_capability
    if model.name == MEDIUM and request.weights == "bf16":
        yield "No BF16 release of this model exists, it is shipped in FP8: this is what BF16 would take."
    if model.name == SMALL and request.weights == "fp8":
        yield "Shipped is BF16; the engine makes FP8 of it as it loads, or take a checkpoint that is FP8 already."
    if request.weights == "fp8" and (0, 0) < capability < (8, 9):
        yield f"{request.gpus.gpu.title} cannot multiply in FP8: the weights stay small, but are widened for each pass."
    if request.kv_cache_dtype == "fp8":
        yield "An FP8 KV cache without scales in the checkpoint may cost accuracy: compare before you rely on it."
        if (0, 0) < capability < (8, 9):
            yield f"{request.gpus.gpu.title} has no FP8 arithmetic: not every kernel takes an FP8 KV cache there."


def _on_options(request: PlanRequest) -> Iterator[str]:
    draft = request.draft
    if draft is not None:
        yield (
            "EAGLE pays with few requests at a time; the only published acceptance is 1.72 tokens per step (SGLang, "
            "random text)."
        )
        if draft.max_model_len < request.max_model_len:
            yield f"Beyond {draft.max_model_len:,} tokens of context the draft proposes nothing: a step gives one."
    if request.engine == "sglang":
        yield "SGLang's pool is counted as vLLM's, with pages of one token; it was not held against a real start."


def _on_fit(plan: Plan) -> Iterator[str]:
    request = plan.request
    if plan.starts != "no" and plan.concurrency < request.concurrency > 1:
        yield (
            f"{plan.concurrency:.2f} of the {request.concurrency} requests asked for fit at their full "
            f"{request.max_model_len:,} tokens; shorter ones fit in greater number, and what does not fit waits."
        )


def _on_size(request: PlanRequest, size: Sizer) -> Iterator[str]:
    """Name the smaller model; how good its answers are a plan cannot know."""
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
                f"{count} of these GPUs with {found.kv_tokens:,} tokens of KV cache. Sizes are all that a plan knows: "
                "run your tasks on both and compare."
            )
            return


def _listed(numbers: list[int]) -> str:
    *first, last = [str(number) for number in numbers]
    return f"{', '.join(first)} or {last}" if first else last


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
