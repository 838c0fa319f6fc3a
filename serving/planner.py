"""Make a plan from what people know: a model's name, GPUs, a context; fills in what they leave open."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .catalogue import MEDIUM, draft_for, known_models
from .errors import EngineError
from .hardware import GpuSet, parse_gpus
from .modelfolder import read_draft, read_model
from .models import DraftShape, ModelShape, WeightFormat
from .overhead import estimate_overhead
from .planning import ByteRange, EngineName, KvCacheDtype, Plan, PlanRequest, size_up

Measured = Callable[[PlanRequest], int | None]
"""Says what a real start of exactly this configuration needed beside weights and KV cache; None: not measured."""

RUNS_AT_ONCE = 4
"""Requests that a context shall leave room for when neither is given."""


def plan(
    model: str | ModelShape = MEDIUM,
    *,
    gpus: str | GpuSet,
    tensor_parallel_size: int | None = None,
    max_model_len: int | None = None,
    concurrency: int | None = None,
    weights: WeightFormat | None = None,
    kv_cache_dtype: KvCacheDtype = "auto",
    draft: str | None = None,
    engine: EngineName = "vllm",
    gpu_memory_utilization: float = 0.85,
    max_num_batched_tokens: int = 16384,
    max_num_seqs: int | None = None,
    language_model_only: bool = False,
    enforce_eager: bool = False,
    block_size: int = 16,
    kv_cache_memory_bytes: int | None = None,
    other_bytes: int | None = None,
    measured: Measured | None = None,
) -> Plan:
    """Say whether a model starts on these GPUs, with what context, and what would mend it."""
    shape = find_model(model) if isinstance(model, str) else model
    here = parse_gpus(gpus) if isinstance(gpus, str) else gpus
    asked = concurrency or 1
    request = PlanRequest(
        model=shape,
        gpus=here,
        tensor_parallel_size=tensor_parallel_size or widest_split(shape, here.count),
        max_model_len=max_model_len or shape.max_position,
        max_num_seqs=max_num_seqs or max(128, asked),
        weights=weights or next(iter(shape.weights)),
        draft=find_draft(draft, shape) if draft else None,
        kv_cache_dtype=kv_cache_dtype,
        engine=engine,
        gpu_memory_utilization=gpu_memory_utilization,
        max_num_batched_tokens=max_num_batched_tokens,
        language_model_only=language_model_only,
        enforce_eager=enforce_eager,
        block_size=block_size,
        concurrency=asked,
        kv_cache_memory_bytes=kv_cache_memory_bytes,
        other_bytes=other_bytes,
    )
    look_up = measured or _nothing_measured
    if max_model_len is None:
        request = _with_context(request, concurrency or RUNS_AT_ONCE, look_up)
    return decide(request, look_up)


def decide(request: PlanRequest, measured: Measured) -> Plan:
    """Work out a plan with what would mend it; pure if `measured` is."""
    given = request.other_bytes if request.other_bytes is not None else measured(request)
    other = estimate_overhead(request) if given is None else ByteRange(low=given, likely=given, high=given)
    return size_up(request, other, measured=request.other_bytes is None and given is not None)


def find_model(name: str) -> ModelShape:
    """Find a model by its name on the hub, or read it from its folder.

    Raises:
        EngineError: it is neither.
    """
    for model in known_models():
        if name == model.name:
            return model
    if Path(name).is_dir():
        return read_model(Path(name))
    known = ", ".join(model.name for model in known_models())
    raise EngineError(f"The model {name!r} is not known.", cause="", do=f"Give a folder, or one of: {known}.")


def find_draft(name: str, model: ModelShape) -> DraftShape:
    """Find the published draft of a model by `eagle`, or read one from its folder.

    Raises:
        EngineError: it is neither.
    """
    if name != "eagle":
        return read_draft(Path(name))
    draft = draft_for(model)
    if draft is None:
        raise EngineError(f"No EAGLE draft of {model.name} is known.", cause="", do="Leave --draft out.")
    return draft


def widest_split(model: ModelShape, count: int) -> int:
    """Find the most of these GPUs that can share the model's heads."""
    return max(size for size in range(1, count + 1) if can_split(model, size))


def can_split(model: ModelShape, size: int) -> bool:
    """Tell whether so many GPUs can share the model's heads."""
    heads = model.num_kv_heads
    return model.num_heads % size == 0 and (heads % size == 0 or size % heads == 0)


def _with_context(request: PlanRequest, runs: int, measured: Measured) -> PlanRequest:
    """Choose the longest usual context of which so many requests fit at once; else of which one starts."""
    steps = [request.model.max_position]
    while steps[-1] > 8192:
        steps.append(1 << ((steps[-1] - 1).bit_length() - 1))
    for wanted in (runs, 1):
        for step in steps:
            trial = replace(request, max_model_len=step)
            found = decide(trial, measured)
            if found.starts == "yes" and found.concurrency >= wanted:
                return trial
    return replace(request, max_model_len=steps[-1])


def _nothing_measured(_: PlanRequest) -> None:
    return None
