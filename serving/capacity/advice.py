"""Find changes that make a request fit, cheapest for the user first; each one is planned before it is offered."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from .catalogue import known_models
from .hardware import GpuSet, gpus_text, known_gpus
from .kv_cache import KvCache
from .sizing import Change, Plan, PlanRequest
from .splitting import widest_split

Sizer = Callable[[PlanRequest], Plan]
"""Plans a request, without changes and notes."""

SHORTEST_USEFUL = 8192
"""Tokens. A shorter context is not offered: an agent's prompt, tools and first results take this much."""

_HIGHEST_UTILIZATION = 0.92
_FP8_CAPABILITY = (8, 9)


def fits(plan: Plan) -> bool:
    """Return whether a plan is certain to start and holds the requested number of requests at once."""
    return plan.starts == "yes" and plan.concurrency >= plan.request.concurrency


def advise(plan: Plan, size: Sizer) -> tuple[Change, ...]:
    """Return the changes that make the plan fit; empty if it already fits.

    If no single change to the configuration is enough, the cheap ones are combined.
    """
    if fits(plan):
        return ()
    request = plan.request
    alone = [change for step in _CHEAP for change in _first_that_fits(step(request), size)]
    capped = _shorter_context(plan, size)
    larger = _larger_cache(plan, size)
    changes = [change for change in (capped, larger) if change] + alone
    if not changes:
        changes = _combined(request, size)
    costly = [change for step in (_more_gpus, _smaller_model) for change in _first_that_fits(step(request), size)]
    return (*changes, *costly) or _one_request_at_a_time(request, size)


def _one_request_at_a_time(request: PlanRequest, size: Sizer) -> tuple[Change, ...]:
    """Return the changes that fit a single request, for when nothing fits several at once."""
    if request.concurrency == 1:
        return ()
    fewer = replace(request, concurrency=1)
    what = "hold one request of this length at a time (others wait)"
    found = size(fewer)
    if fits(found):
        return (Change(request=fewer, what=what, option="--concurrency 1"),)
    return tuple(
        Change(request=change.request, what=f"{what}; {change.what}", option=f"--concurrency 1 {change.option}")
        for change in advise(found, size)
    )


def _first_that_fits(changes: Iterator[Change], size: Sizer) -> list[Change]:
    found = next((change for change in changes if fits(size(change.request))), None)
    return [found] if found else []


def _shorter_context(plan: Plan, size: Sizer) -> Change | None:
    """Return the longest context that fits even with the high estimate, or None."""
    request = plan.request
    margin = plan.activation_bytes.high - plan.activation_bytes.likely if request.kv_cache_memory_bytes is None else 0
    cache = KvCache(
        available_bytes=plan.kv_bytes - margin, bytes_per_token=plan.kv_bytes_per_token, block_size=request.block_size
    )
    for_all = cache.num_blocks // request.concurrency * request.block_size
    length = min(cache.longest(request.max_model_len), for_all)
    if length < SHORTEST_USEFUL:
        return None
    shorter = replace(request, max_model_len=length)
    if not fits(size(shorter)):
        return None
    return Change(request=shorter, what=f"cap the context at {length:,} tokens", option=f"--context {length}")


def _larger_cache(plan: Plan, size: Sizer) -> Change | None:
    """Return a KV cache as large as needed, or None if its size is not set explicitly."""
    request = plan.request
    if request.kv_cache_memory_bytes is None:
        return None
    page = plan.kv_bytes_per_token * request.block_size
    # Whole blocks for each request, plus the null block.
    needed = (-(-request.max_model_len // request.block_size) * request.concurrency + 1) * page
    larger = replace(request, kv_cache_memory_bytes=needed)
    if not fits(size(larger)):
        return None
    return Change(
        request=larger,
        what=f"enlarge the KV cache to {needed:,} bytes",
        option=f"--kv-cache-memory-bytes {needed}",
    )


def _fp8_cache(request: PlanRequest) -> Iterator[Change]:
    capability = request.gpus.gpu.compute_capability
    if request.kv_cache_dtype == "auto" and (capability >= _FP8_CAPABILITY or capability == (0, 0)):
        yield Change(
            request=replace(request, kv_cache_dtype="fp8"),
            what="store the KV cache in FP8: half the bytes, possibly slightly less accurate",
            option="--kv fp8",
        )


def _fp8_weights(request: PlanRequest) -> Iterator[Change]:
    if request.weights == "bf16" and "fp8" in request.model.weights:
        yield Change(
            request=replace(request, weights="fp8"),
            what="use FP8 weights: about half the bytes",
            option="--weights fp8",
        )


def _no_images(request: PlanRequest) -> Iterator[Change]:
    if request.model.sees_images and not request.language_model_only:
        yield Change(
            request=replace(request, language_model_only=True),
            what="disable image input: the vision tower is not loaded",
            option="--language-model-only",
        )


def _no_draft(request: PlanRequest) -> Iterator[Change]:
    if request.draft is not None:
        yield Change(
            request=replace(request, draft=None),
            what="drop the draft: saves its weights and its KV cache layers, but loses its speed-up",
            option="no --draft",
        )


def _smaller_passes(request: PlanRequest) -> Iterator[Change]:
    for tokens in (8192, 4096, 2048):
        if request.max_num_seqs <= tokens < request.max_num_batched_tokens:
            yield Change(
                request=replace(request, max_num_batched_tokens=tokens),
                what=f"compute at most {tokens:,} tokens per pass: smaller peak, slower first token for long prompts",
                option=f"--max-num-batched-tokens {tokens}",
            )


def _fewer_sequences(request: PlanRequest) -> Iterator[Change]:
    for number in (512, 256, 128):
        if request.concurrency <= number < request.max_num_seqs:
            yield Change(
                request=replace(request, max_num_seqs=number),
                what=f"compute at most {number} requests per pass: smaller peak during sampling, the others wait",
                option=f"--max-num-seqs {number}",
            )


def _higher_utilization(request: PlanRequest) -> Iterator[Change]:
    for share in (0.88, 0.9, _HIGHEST_UTILIZATION):
        if share > request.gpu_memory_utilization:
            yield Change(
                request=replace(request, gpu_memory_utilization=share),
                what=f"let the engine use {share:.0%} of each GPU: less headroom for peaks, so watch for out-of-memory",
                option=f"--gpu-memory-utilization {share}",
            )


def _lower_utilization(request: PlanRequest) -> Iterator[Change]:
    """Yield shares that leave room for what the engine takes beyond them."""
    for share in (0.98, 0.95, _HIGHEST_UTILIZATION):
        if share < request.gpu_memory_utilization:
            yield Change(
                request=replace(request, gpu_memory_utilization=share),
                what=f"let the engine use {share:.0%} of each GPU: it needs its share at the start, and more later",
                option=f"--gpu-memory-utilization {share}",
            )


def _more_gpus(request: PlanRequest) -> Iterator[Change]:
    if not request.gpus.gpu.memory_bytes:
        return  # the CPU, and there is only one
    # GPUs that are not in this machine cannot be measured, so they are planned from the catalogue.
    given = None if request.gpus.measured else request.gpus.gpu
    kind = next((gpu for gpu in known_gpus() if gpu.name == request.gpus.gpu.name), given)
    for count in (2, 4, 8):  # more than 8 would span machines
        size = widest_split(request.model, count)
        if size <= request.tensor_parallel_size:
            continue
        split = f"--tensor-parallel-size {size}"
        what = f"split the model over {size} GPUs of this kind"
        if count <= request.gpus.count:
            yield Change(request=replace(request, tensor_parallel_size=size), what=what, option=split)
        elif kind is not None:
            more = GpuSet(gpu=kind, count=count, measured=False)
            yield Change(
                request=replace(request, gpus=more, tensor_parallel_size=size),
                what=what,
                option=f"--gpus {gpus_text(more)} {split}",
            )


def _smaller_model(request: PlanRequest) -> Iterator[Change]:
    current = request.model.weights[request.weights].total()
    for model in known_models():
        form = next(iter(model.weights))
        if model.name != request.model.name and model.weights[form].total() < current:
            length = min(request.max_model_len, model.max_position)
            yield Change(
                request=replace(
                    request,
                    model=model,
                    weights=form,
                    draft=None,
                    other_bytes=None,  # the given value is for the larger model
                    max_model_len=length,
                    tensor_parallel_size=widest_split(model, request.gpus.count),
                ),
                what=f"use a smaller model, {model.title}; try your own tasks on it first",
                option=f"{model.name} --context {length}",
            )


_CHEAP = (
    _fp8_cache,
    _fp8_weights,
    _no_images,
    _no_draft,
    _smaller_passes,
    _fewer_sequences,
    _higher_utilization,
    _lower_utilization,
)


def _combined(request: PlanRequest, size: Sizer) -> list[Change]:
    """Apply the cheap changes one after another until the request fits, with a shorter context if needed."""
    applied: list[Change] = []
    for step in _CHEAP:
        *_, last = [None, *step(request)]
        if last is None:
            continue
        request = last.request
        applied.append(last)
        plan = size(request)
        found = [] if fits(plan) else [_shorter_context(plan, size)]
        if fits(plan) or found[0] is not None:
            applied += [change for change in found if change]
            return [
                Change(
                    request=applied[-1].request,
                    what="; ".join(change.what for change in applied),
                    option=" ".join(change.option for change in applied),
                )
            ]
    return []
