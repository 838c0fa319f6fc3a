"""Plan a model on GPUs from the user's options; refuses what no engine would start."""

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from .. import pocket
from ..errors import EngineError
from .advice import advise
from .arithmetic import size_up
from .catalogue import NOT_PLANNED, draft_for, known_models
from .deprecated import accept_old_form
from .hardware import GIB, GpuSet, gpus_text, parse_gpus
from .model_folder import read_draft, read_model
from .models import DraftShape, ModelShape
from .next_start import expected_overhead, later_bytes
from .notes import notes_on
from .sizing import EngineName, Plan, PlanOptions, PlanRequest, StartMeasurement
from .speed import speeds_of
from .splitting import can_split, widest_split

Measured = Callable[[PlanRequest], StartMeasurement | None]
"""Return what a real start of exactly this configuration needed besides weights and KV cache, or None."""

# A chosen context lets this many requests of its length fit: a few agents working at once.
_RUNS_AT_ONCE = 4
_SHORTEST_STEP = 8192
# The model card of Mistral Medium 3.5 128B: https://huggingface.co/mistralai/Mistral-Medium-3.5-128B, 2026-11.
_SEQUENCES = 128
_CPU_CACHE_BYTES = GIB  # what `agent serve pocket` gives its engine


@accept_old_form
def plan(options: PlanOptions, *, measured: Measured | None = None) -> Plan:
    """Calculate whether a model starts on these GPUs, what its KV cache holds, and which changes make it fit.

    Args:
        options: what to plan for.
        measured: looks up real starts, as `serving.capacity.calibration` does. None means that nothing is looked up.

    Raises:
        EngineError: a model, draft or GPU is not known, or no engine accepts these options.
    """
    look_up = measured or _nothing_measured
    request = complete(options)
    refuse_impossible(request)
    if options.max_model_len is not None:
        return decide(request, look_up)
    runs = options.concurrency or _RUNS_AT_ONCE
    found = decide(_with_context(request, runs, look_up), look_up)
    return replace(found, notes=(_choice(found, runs), *found.notes))


def complete(options: PlanOptions) -> PlanRequest:
    """Fill in every open field; `max_model_len` becomes the model's longest, without a check that it fits.

    Raises:
        EngineError: a model, draft or GPU is not known.
    """
    model = find_model(options.model) if isinstance(options.model, str) else options.model
    gpus = parse_gpus(options.gpus) if isinstance(options.gpus, str) else options.gpus
    split, length, at_once = options.tensor_parallel_size, options.max_model_len, options.concurrency
    sequences, block, cache = options.max_num_seqs, options.block_size, options.kv_cache_memory_bytes
    at_once = 1 if at_once is None else at_once
    usual = usual_sequences(at_once, options.max_num_batched_tokens)
    return PlanRequest(
        model=model,
        gpus=gpus,
        tensor_parallel_size=widest_split(model, gpus.count) if split is None else split,
        max_model_len=model.max_position if length is None else length,
        concurrency=at_once,
        weights=options.weights or next(iter(model.weights)),
        kv_cache_dtype=options.kv_cache_dtype,
        draft=find_draft(options.draft, model) if isinstance(options.draft, str) else options.draft,
        engine=options.engine,
        gpu_memory_utilization=options.gpu_memory_utilization,
        max_num_batched_tokens=options.max_num_batched_tokens,
        max_num_seqs=usual if sequences is None else sequences,
        language_model_only=options.language_model_only,
        enforce_eager=options.enforce_eager,
        block_size=usual_block_size(options.engine, gpus) if block is None else block,
        kv_cache_memory_bytes=usual_cache_bytes(gpus) if cache is None else cache,
        kv_offloading_size=options.kv_offloading_size,
        other_bytes=options.other_bytes,
        engine_version=options.engine_version,
        first_model_runner=options.first_model_runner,
    )


def decide(request: PlanRequest, measured: Measured) -> Plan:
    """Calculate the plan of a complete request, with changes and notes; pure if `measured` is."""

    def size(request: PlanRequest) -> Plan:
        return _sized(request, measured)

    found = size(request)
    found = replace(found, speeds=speeds_of(request, found.kv_tokens))
    return replace(found, changes=advise(found, size), notes=notes_on(found, size))


def usual_sequences(concurrency: int, max_num_batched_tokens: int) -> int:
    """Return the default `max_num_seqs`; capped because a pass computes at least one token of each request."""
    return min(max(_SEQUENCES, concurrency), max_num_batched_tokens)


def usual_block_size(engine: EngineName, gpus: GpuSet) -> int:
    """Return the engine's default block size: vLLM 0.32.0, 16, and 128 on the CPU (platforms/cpu.py:293); SGLang, 1."""
    if engine == "sglang":
        return 1
    return 128 if gpus.gpu.name == "cpu" else 16


def usual_cache_bytes(gpus: GpuSet) -> int | None:
    """Return the default `kv_cache_memory_bytes`; None means what is left."""
    return _CPU_CACHE_BYTES if gpus.gpu.name == "cpu" else None


def find_model(name: str) -> ModelShape:
    """Return the model with this Hub name, with or without its owner, or read it from this folder.

    Raises:
        EngineError: `name` is neither a known model nor a folder, or the folder cannot be read.
    """
    if name == pocket.MODEL_NAME:
        folder = pocket.model_dir()
        return replace(read_model(folder), title=name, max_position=pocket.MAX_MODEL_LEN)
    known = {key.lower(): model for model in known_models() for key in (model.name, model.name.partition("/")[2])}
    if name.lower() in known:
        return known[name.lower()]
    if name and Path(name).is_dir():
        return read_model(Path(name))
    refused = next((key for key in NOT_PLANNED if name.lower() in (key, key.partition("/")[2])), None)
    if refused is not None:
        raise EngineError(
            f"{name} cannot be planned.",
            cause=f"{NOT_PLANNED[refused]}; a plan would be wrong.",
            do="Start the engine without a plan; it prints how many tokens its KV cache holds.",
        )
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"Did you mean {known[close[0]].name}? " if close else ""
    names = ", ".join(model.name for model in known_models())
    raise EngineError(
        f"Unknown model {name!r}; there is no folder of that name either.",
        cause="",
        do=f"{hint}Known: {names}, pocket. Any other dense model can be planned from the folder it was downloaded to.",
    )


def find_draft(name: str, model: ModelShape) -> DraftShape:
    """Return the model's own draft for `eagle`, or read a draft from this folder.

    Raises:
        EngineError: the model has no draft of its own, or the folder holds none that fits the model.
    """
    if name != "eagle":
        return read_draft(Path(name), model)
    draft = own_draft(model)
    if draft is None:
        raise _refusal(
            f"No EAGLE draft is known for {model.title}.",
            "Omit --draft, or give the folder of one: --draft FOLDER.",
        )
    return draft


def own_draft(model: ModelShape) -> DraftShape | None:
    """Return the draft made for a model, published or shipped with the pocket model; None if there is none."""
    if model.name == str(pocket.model_dir().resolve()):
        folder = pocket.draft_dir()
        return read_draft(folder, model) if folder.is_dir() else None
    return draft_for(model)


def refuse_impossible(request: PlanRequest) -> None:
    """Check a request against what the model and the engine accept.

    Raises:
        EngineError: the model has no such weights, cannot be split like this or has a shorter context, or a number is
            out of range.
    """
    _refuse_numbers(request)
    _refuse_offloading(request)
    model, split = request.model, request.tensor_parallel_size
    if request.weights not in model.weights:
        raise _refusal(
            f"{model.title} has no weights in {request.weights}.", f"Use --weights {' or '.join(model.weights)}."
        )
    if split > request.gpus.count:
        raise _refusal(
            f"--tensor-parallel-size {split} needs {split} GPUs, but there are {request.gpus.count}.",
            f"Give at most {request.gpus.count}, or more GPUs: --gpus {gpus_text(replace(request.gpus, count=split))}.",
        )
    if not can_split(model, split):
        allowed = ", ".join(str(size) for size in range(1, 17) if can_split(model, size))
        raise _refusal(
            f"{model.title} cannot be split over {split} GPUs: it has {model.num_heads} heads, {model.num_kv_heads} "
            f"KV heads and an MLP of {model.intermediate_size}.",
            f"Use one of these for --tensor-parallel-size: {allowed}.",
        )
    if request.max_model_len > model.max_position:
        raise _refusal(
            f"--context {request.max_model_len} is longer than {model.title} supports.",
            f"Give at most {model.max_position}.",
        )
    if not 0 < request.gpu_memory_utilization <= 1:
        raise _refusal(
            f"--gpu-memory-utilization {request.gpu_memory_utilization} is not a share of a GPU.",
            "Give more than 0 and at most 1; 0.85 is the default.",
        )


def _refuse_offloading(request: PlanRequest) -> None:
    if request.kv_offloading_size is None:
        return
    if request.kv_offloading_size <= 0:
        raise _refusal(
            f"--kv-offloading-size {request.kv_offloading_size} is not a size above 0.",
            "Give GiB of CPU memory for all GPUs together, such as 200.",
        )
    if request.engine != "vllm" or not request.gpus.gpu.memory_bytes:
        raise _refusal(
            "--kv-offloading-size is planned for vLLM on GPUs only.",
            "Omit it; SGLang has its own: --enable-hicache and --hicache-size.",
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
            "pass, and each request needs at least one.",
            f"Give at most {request.max_num_batched_tokens}, or raise --max-num-batched-tokens.",
        )
    # vLLM 0.32.0, v1/attention/backends, `get_supported_kernel_block_sizes`.
    if request.engine == "vllm" and request.gpus.gpu.memory_bytes and request.block_size % 16:
        raise _refusal(f"No vLLM kernel supports --block-size {request.block_size}.", "Give a multiple of 16.")


def _refusal(what: str, do: str) -> EngineError:
    return EngineError(what, cause="", do=do)


def _sized(request: PlanRequest, measured: Measured) -> Plan:
    measurement = measured(request) if request.other_bytes is None else None
    overhead = expected_overhead(request, measurement)
    return size_up(request, overhead, later_bytes=later_bytes(request, overhead))


def _with_context(request: PlanRequest, runs: int, measured: Measured) -> PlanRequest:
    """Choose the longest usual context at which `runs` requests fit, else at which one fits, else the shortest."""
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
    """Format the note on how the context was chosen."""
    length = f"{plan.request.max_model_len:,}"
    if plan.starts != "yes":
        return f"No usual context is certain to start; this plan is for the shortest, {length}. --context overrides it."
    at_once = f"{runs} requests fit" if plan.concurrency >= runs > 1 else "one request fits"
    return f"Chosen context: {length}, the longest usual one at which {at_once} at once. --context overrides it."


def _nothing_measured(_: PlanRequest) -> None:
    return None
