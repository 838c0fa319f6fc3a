"""Make a plan from what people know: a model's name, GPUs, a context; fills in what they leave open."""

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from .. import pocket
from ..errors import EngineError
from .advice import advise
from .catalogue import MEDIUM, draft_for, known_models
from .hardware import GIB, GpuSet, parse_gpus
from .modelfolder import read_draft, read_model
from .models import DraftShape, ModelShape, WeightFormat
from .notes import notes_on
from .overhead import estimate_overhead
from .sizing import ByteRange, EngineName, KvCacheDtype, Plan, PlanRequest, size_up
from .splitting import can_split, widest_split

Measured = Callable[[PlanRequest], int | None]
"""Says what a real start of exactly this configuration needed beside weights and KV cache; None: not measured."""

# Unless asked otherwise a context leaves room for so many requests of its length: a few agents at work.
_RUNS_AT_ONCE = 4
_SHORTEST_STEP = 8192
# As the model card of Mistral Medium 3.5 128B: https://huggingface.co/mistralai/Mistral-Medium-3.5-128B, 2026-11.
_SEQUENCES = 128
_CPU_CACHE_BYTES = GIB  # what `agent serve pocket` gives its engine


def plan(
    model: str | ModelShape = MEDIUM,
    *,
    gpus: str | GpuSet,
    tensor_parallel_size: int | None = None,
    max_model_len: int | None = None,
    concurrency: int | None = None,
    weights: WeightFormat | None = None,
    kv_cache_dtype: KvCacheDtype = "auto",
    draft: str | DraftShape | None = None,
    engine: EngineName = "vllm",
    gpu_memory_utilization: float = PlanRequest.gpu_memory_utilization,
    max_num_batched_tokens: int = PlanRequest.max_num_batched_tokens,
    max_num_seqs: int | None = None,
    language_model_only: bool = False,
    enforce_eager: bool = False,
    block_size: int | None = None,
    kv_cache_memory_bytes: int | None = None,
    other_bytes: int | None = None,
    measured: Measured | None = None,
) -> Plan:
    """Say whether a model starts on these GPUs, what its KV cache holds, and what would make it fit.

    Args:
        model: a name on the Hugging Face Hub that is known here, or a folder.
        gpus: as `h100:4`.
        tensor_parallel_size: None: as many of the GPUs as the model's heads allow.
        max_model_len: None: the longest usual one of which `concurrency` requests fit at once.
        concurrency: requests of the whole `max_model_len` to hold at once. None: one, and four to choose a context.
        weights: None: as shipped.
        kv_cache_dtype: `auto`: two bytes per number.
        draft: `eagle`: the model's own draft; or the folder of one. None: no speculative decoding.
        engine: whose arithmetic.
        gpu_memory_utilization: share of each GPU's total memory, above 0 and at most 1.
        max_num_batched_tokens: tokens of one pass.
        max_num_seqs: None: 128, or `concurrency` if that is more, but no more than tokens of one pass.
        language_model_only: True: the vision tower is not loaded.
        enforce_eager: True: no CUDA graphs.
        block_size: None: the engine's default.
        kv_cache_memory_bytes: None: what is left.
        other_bytes: what a GPU needs beside weights and KV cache. None: measured, or else estimated.
        measured: looks up real starts, as `serving.capacity.calibration` does. None: nothing is looked up.

    Raises:
        EngineError: a model, draft or GPU is not known, or a number cannot be.
    """
    shape = find_model(model) if isinstance(model, str) else model
    here = parse_gpus(gpus) if isinstance(gpus, str) else gpus
    asked = 1 if concurrency is None else concurrency
    usual = usual_sequences(asked, max_num_batched_tokens)
    request = PlanRequest(
        model=shape,
        gpus=here,
        tensor_parallel_size=widest_split(shape, here.count) if tensor_parallel_size is None else tensor_parallel_size,
        max_model_len=shape.max_position if max_model_len is None else max_model_len,
        max_num_seqs=usual if max_num_seqs is None else max_num_seqs,
        weights=weights or next(iter(shape.weights)),
        draft=find_draft(draft, shape) if isinstance(draft, str) else draft,
        kv_cache_dtype=kv_cache_dtype,
        engine=engine,
        gpu_memory_utilization=gpu_memory_utilization,
        max_num_batched_tokens=max_num_batched_tokens,
        language_model_only=language_model_only,
        enforce_eager=enforce_eager,
        block_size=usual_block_size(engine, here) if block_size is None else block_size,
        concurrency=asked,
        kv_cache_memory_bytes=usual_cache_bytes(here) if kv_cache_memory_bytes is None else kv_cache_memory_bytes,
        other_bytes=other_bytes,
    )
    refuse_impossible(request)
    look_up = measured or _nothing_measured
    if max_model_len is not None:
        return decide(request, look_up)
    runs = concurrency or _RUNS_AT_ONCE
    found = decide(_with_context(request, runs, look_up), look_up)
    return replace(found, notes=(_choice(found, runs), *found.notes))


def decide(request: PlanRequest, measured: Measured) -> Plan:
    """Work out a request with its notes and what would make it fit; pure if `measured` is."""

    def size(request: PlanRequest) -> Plan:
        return _sized(request, measured)

    found = size(request)
    return replace(found, changes=advise(found, size), notes=notes_on(found, size))


def usual_sequences(concurrency: int, max_num_batched_tokens: int) -> int:
    """Choose `max_num_seqs` where nothing is asked; a pass computes a token of each at the least."""
    return min(max(_SEQUENCES, concurrency), max_num_batched_tokens)


def usual_block_size(engine: EngineName, gpus: GpuSet) -> int:
    """Know an engine's own block size: vLLM 0.32.0, 16, and 128 on the CPU (platforms/cpu.py:293); SGLang, 1."""
    if engine == "sglang":
        return 1
    return 128 if gpus.gpu.name == "cpu" else 16


def usual_cache_bytes(gpus: GpuSet) -> int | None:
    """Choose the KV cache where nothing is asked; None: what is left."""
    return _CPU_CACHE_BYTES if gpus.gpu.name == "cpu" else None


def find_model(name: str) -> ModelShape:
    """Find a model by its name on the hub or the end of it, or read it from its folder.

    Raises:
        EngineError: it is neither.
    """
    if name == pocket.MODEL_NAME:
        folder = pocket.model_dir()
        return replace(read_model(folder), title=name, max_position=pocket.MAX_MODEL_LEN)
    known = {key.lower(): model for model in known_models() for key in (model.name, model.name.partition("/")[2])}
    if name.lower() in known:
        return known[name.lower()]
    if name and Path(name).is_dir():
        return read_model(Path(name))
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"Did you mean {known[close[0]].name}? " if close else ""
    names = ", ".join(model.name for model in known_models())
    raise EngineError(
        f"The model {name!r} is not known, and no folder of that name is here.",
        cause="",
        do=f"{hint}Known: {names}, pocket. Any other dense model can be planned from the folder it was downloaded to.",
    )


def find_draft(name: str, model: ModelShape) -> DraftShape:
    """Find the draft that was made for a model by `eagle`, or read one from its folder.

    Raises:
        EngineError: it is neither.
    """
    if name != "eagle":
        return read_draft(Path(name), model)
    draft = own_draft(model)
    if draft is None:
        raise _refusal(
            f"No EAGLE draft of {model.title} is known.",
            "Leave --draft out, or give the folder of one: --draft FOLDER.",
        )
    return draft


def own_draft(model: ModelShape) -> DraftShape | None:
    """Find the draft that was made for a model: the published one, or the pocket model's; None: there is none."""
    if model.name == str(pocket.model_dir().resolve()):
        folder = pocket.draft_dir()
        return read_draft(folder, model) if folder.is_dir() else None
    return draft_for(model)


def refuse_impossible(request: PlanRequest) -> None:
    """Refuse what no engine would take.

    Raises:
        EngineError: weights that do not exist, a split that the model does not allow, a context beyond the model's, a
            number that cannot be.
    """
    _refuse_numbers(request)
    model, split = request.model, request.tensor_parallel_size
    if request.weights not in model.weights:
        raise _refusal(
            f"{model.title} has no weights in {request.weights}.", f"Take --weights {' or '.join(model.weights)}."
        )
    if split > request.gpus.count:
        raise _refusal(
            f"--tensor-parallel-size {split} needs {split} GPUs, and there are {request.gpus.count}.",
            f"Give at most {request.gpus.count}, or more GPUs: --gpus {request.gpus.gpu.name}:{split}.",
        )
    if not can_split(model, split):
        allowed = ", ".join(str(size) for size in range(1, 17) if can_split(model, size))
        raise _refusal(
            f"{model.title} cannot be split over {split} GPUs: it has {model.num_heads} heads, {model.num_kv_heads} "
            f"KV heads and an MLP of {model.intermediate_size}.",
            f"Give --tensor-parallel-size one of {allowed}.",
        )
    if request.max_model_len > model.max_position:
        raise _refusal(
            f"--context {request.max_model_len} is longer than {model.title} was made for.",
            f"Give at most {model.max_position}.",
        )
    if not 0 < request.gpu_memory_utilization <= 1:
        raise _refusal(
            f"--gpu-memory-utilization {request.gpu_memory_utilization} is no share of a GPU.",
            "Give more than 0 and at most 1; 0.85 is the default.",
        )


def _refuse_numbers(request: PlanRequest) -> None:
    for option, number in (
        ("--tensor-parallel-size", request.tensor_parallel_size),
        ("--context", request.max_model_len),
        ("--concurrency", request.concurrency),
        ("--max-num-batched-tokens", request.max_num_batched_tokens),
        ("--max-num-seqs", request.max_num_seqs),
        ("--block-size", request.block_size),
        ("--kv-cache-memory-bytes", request.kv_cache_memory_bytes),
    ):
        if number is not None and number < 1:
            raise _refusal(f"{option} {number} is not a whole number above 0.", "Give 1 or more.")
    # vLLM 0.32.0, config/scheduler.py, `verify_max_model_len`.
    if request.engine == "vllm" and request.max_num_seqs > request.max_num_batched_tokens:
        raise _refusal(
            f"--max-num-seqs {request.max_num_seqs} is more than the {request.max_num_batched_tokens} tokens of one "
            "pass, and every request computes one at the least.",
            f"Give at most {request.max_num_batched_tokens}, or more --max-num-batched-tokens.",
        )
    # vLLM 0.32.0, v1/attention/backends, `get_supported_kernel_block_sizes`.
    if request.engine == "vllm" and request.gpus.gpu.memory_bytes and request.block_size % 16:
        raise _refusal(f"--block-size {request.block_size} suits no kernel of vLLM.", "Give a multiple of 16.")


def _refusal(what: str, do: str) -> EngineError:
    return EngineError(what, cause="", do=do)


def _sized(request: PlanRequest, measured: Measured) -> Plan:
    known = request.other_bytes if request.other_bytes is not None else measured(request)
    if known is not None:
        return size_up(request, ByteRange(low=known, likely=known, high=known), measured=request.other_bytes is None)
    return size_up(request, estimate_overhead(request))


def _with_context(request: PlanRequest, runs: int, measured: Measured) -> PlanRequest:
    """Choose the longest usual context of which so many requests fit at once; else of which one starts."""
    steps = [request.model.max_position]
    while steps[-1] > _SHORTEST_STEP:
        steps.append(1 << ((steps[-1] - 1).bit_length() - 1))
    for wanted in (runs, 1):
        for step in steps:
            trial = replace(request, max_model_len=step)
            found = _sized(trial, measured)
            if found.starts == "yes" and found.concurrency >= wanted:
                return trial
    return replace(request, max_model_len=steps[-1])


def _choice(plan: Plan, runs: int) -> str:
    """Say how the context was chosen."""
    length = f"{plan.request.max_model_len:,}"
    if plan.starts != "yes":
        return f"No usual context starts for certain; this is for the shortest, {length}. --context overrules it."
    at_once = f"{runs} requests fit" if plan.concurrency >= runs > 1 else "one request fits"
    return (
        f"The context was chosen: {length}, the longest usual one of which {at_once} at once. --context overrules it."
    )


def _nothing_measured(_: PlanRequest) -> None:
    return None
