"""Find what would make a request fit, what costs the user least first; every change is itself planned."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from .catalogue import known_models
from .hardware import GpuSet, known_gpus
from .kv_cache import KvCache
from .sizing import Change, Plan, PlanRequest
from .splitting import widest_split

Sizer = Callable[[PlanRequest], Plan]
"""Works out a request without changes and notes."""

SHORTEST_USEFUL = 8192
"""Tokens of context below which a cap is not worth naming: an agent's prompt, tools and first results take this."""

_HIGHEST_UTILIZATION = 0.92
_FP8_CAPABILITY = (8, 9)


def fits(plan: Plan) -> bool:
    """Tell whether a plan starts for certain and holds as many requests at once as asked."""
    return plan.starts == "yes" and plan.concurrency >= plan.request.concurrency


def advise(plan: Plan, size: Sizer) -> tuple[Change, ...]:
    """List the changes that make it fit; empty if it fits as it is.

    If no change to the configuration alone is enough, what is cheap is taken together.
    """
    if fits(plan):
        return ()
    request = plan.request
    alone = [change for step in _CHEAP for change in _first_that_fits(step(request), size)]
    capped = _capped(plan, size)
    larger = _larger_cache(plan, size)
    changes = [change for change in (capped, larger) if change] + alone
    if not changes:
        changes = _together(request, size)
    dear = [change for step in (_more_gpus, _smaller_model) for change in _first_that_fits(step(request), size)]
    return (*changes, *dear) or _for_one_at_a_time(request, size)


def _for_one_at_a_time(request: PlanRequest, size: Sizer) -> tuple[Change, ...]:
    """Give up that several requests fit at once, where nothing else helps."""
    if request.concurrency == 1:
        return ()
    fewer = replace(request, concurrency=1)
    what = "hold one such request at a time, the others wait"
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


def _capped(plan: Plan, size: Sizer) -> Change | None:
    """Cap the context at the longest that fits even with the highest estimate."""
    request = plan.request
    doubt = plan.activation_bytes.high - plan.activation_bytes.likely if request.kv_cache_memory_bytes is None else 0
    cache = KvCache(
        available_bytes=plan.kv_bytes - doubt, bytes_per_token=plan.kv_bytes_per_token, block_size=request.block_size
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
    """Give as large a KV cache as is needed, where its size is given at all."""
    request = plan.request
    if request.kv_cache_memory_bytes is None:
        return None
    page = plan.kv_bytes_per_token * request.block_size
    # Whole blocks for every request, and the null block.
    needed = (-(-request.max_model_len // request.block_size) * request.concurrency + 1) * page
    larger = replace(request, kv_cache_memory_bytes=needed)
    if not fits(size(larger)):
        return None
    return Change(
        request=larger,
        what=f"give the KV cache {needed:,} bytes",
        option=f"--kv-cache-memory-bytes {needed}",
    )


def _fp8_cache(request: PlanRequest) -> Iterator[Change]:
    capability = request.gpus.gpu.compute_capability
    if request.kv_cache_dtype == "auto" and (capability >= _FP8_CAPABILITY or capability == (0, 0)):
        yield Change(
            request=replace(request, kv_cache_dtype="fp8"),
            what="keep keys and values in FP8: half the bytes, perhaps a little less exact",
            option="--kv fp8",
        )


def _fp8_weights(request: PlanRequest) -> Iterator[Change]:
    if request.weights == "bf16" and "fp8" in request.model.weights:
        yield Change(
            request=replace(request, weights="fp8"),
            what="take the weights in FP8: about half the bytes",
            option="--weights fp8",
        )


def _no_images(request: PlanRequest) -> Iterator[Change]:
    if request.model.sees_images and not request.language_model_only:
        yield Change(
            request=replace(request, language_model_only=True),
            what="do without images: the vision tower is not loaded",
            option="--language-model-only",
        )


def _no_draft(request: PlanRequest) -> Iterator[Change]:
    if request.draft is not None:
        yield Change(
            request=replace(request, draft=None),
            what="do without the draft: its weights and its layers of the KV cache are saved, its speed is lost",
            option="no --draft",
        )


def _smaller_passes(request: PlanRequest) -> Iterator[Change]:
    for tokens in (8192, 4096, 2048):
        if request.max_num_seqs <= tokens < request.max_num_batched_tokens:
            yield Change(
                request=replace(request, max_num_batched_tokens=tokens),
                what=f"compute {tokens:,} tokens in one pass: a smaller peak, a slower first token of long prompts",
                option=f"--max-num-batched-tokens {tokens}",
            )


def _fewer_sequences(request: PlanRequest) -> Iterator[Change]:
    for number in (512, 256, 128):
        if request.concurrency <= number < request.max_num_seqs:
            yield Change(
                request=replace(request, max_num_seqs=number),
                what=f"compute {number} requests in one pass: a smaller peak as tokens are sampled, the others wait",
                option=f"--max-num-seqs {number}",
            )


def _higher_utilization(request: PlanRequest) -> Iterator[Change]:
    for share in (0.88, 0.9, _HIGHEST_UTILIZATION):
        if share > request.gpu_memory_utilization:
            yield Change(
                request=replace(request, gpu_memory_utilization=share),
                what=f"let the engine take {share:.0%} of each GPU: less is left for peaks, so watch for out-of-memory",
                option=f"--gpu-memory-utilization {share}",
            )


def _more_gpus(request: PlanRequest) -> Iterator[Change]:
    if not request.gpus.gpu.memory_bytes:
        return  # the CPU, of which there is one
    # GPUs that are not here cannot be measured: they are planned for by what the catalogue says of their kind.
    kind = next((gpu for gpu in known_gpus() if gpu.name == request.gpus.gpu.name), None)
    for count in (2, 4, 8):  # more is more than one machine
        size = widest_split(request.model, count)
        if size <= request.tensor_parallel_size:
            continue
        split = f"--tensor-parallel-size {size}"
        what = f"spread it over {size} GPUs of this kind"
        if count <= request.gpus.count:
            yield Change(request=replace(request, tensor_parallel_size=size), what=what, option=split)
        elif kind is not None:
            more = GpuSet(gpu=kind, count=count, measured=False)
            yield Change(
                request=replace(request, gpus=more, tensor_parallel_size=size),
                what=what,
                option=f"--gpus {kind.name}:{count} {split}",
            )


def _smaller_model(request: PlanRequest) -> Iterator[Change]:
    here = request.model.weights[request.weights].total()
    for model in known_models():
        form = next(iter(model.weights))
        if model.name != request.model.name and model.weights[form].total() < here:
            length = min(request.max_model_len, model.max_position)
            yield Change(
                request=replace(
                    request,
                    model=model,
                    weights=form,
                    draft=None,
                    other_bytes=None,  # what was given is the larger model's
                    max_model_len=length,
                    tensor_parallel_size=widest_split(model, request.gpus.count),
                ),
                what=f"take a smaller model, {model.title}; try your own tasks on it first",
                option=f"{model.name} --context {length}",
            )


_CHEAP = (_fp8_cache, _fp8_weights, _no_images, _no_draft, _smaller_passes, _fewer_sequences, _higher_utilization)


def _together(request: PlanRequest, size: Sizer) -> list[Change]:
    """Take the cheap changes one after the other until it fits, with a capped context if need be."""
    said: list[Change] = []
    for step in _CHEAP:
        *_, last = [None, *step(request)]
        if last is None:
            continue
        request = last.request
        said.append(last)
        plan = size(request)
        found = [] if fits(plan) else [_capped(plan, size)]
        if fits(plan) or found[0] is not None:
            said += [change for change in found if change]
            return [
                Change(
                    request=said[-1].request,
                    what="; ".join(change.what for change in said),
                    option=" ".join(change.option for change in said),
                )
            ]
    return []
