"""Decide what fits on which GPUs, by the engine's own arithmetic; pure: starts nothing, reads nothing."""

import math
from dataclasses import dataclass
from typing import Literal

from .hardware import GpuSet
from .kvcache import KvCache, bytes_per_token
from .models import DraftShape, ModelShape, WeightFormat

EngineName = Literal["vllm", "sglang"]
KvCacheDtype = Literal["auto", "fp8"]
Starts = Literal["yes", "no", "unsure"]
"""`unsure`: it depends on where in its range the activation estimate turns out to be."""


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """All that a plan follows from; every field is spelt as the engine's flag where there is one."""

    model: ModelShape
    gpus: GpuSet
    tensor_parallel_size: int
    max_model_len: int
    """Tokens of prompt and answer together."""
    max_num_seqs: int
    """Requests at once."""
    weights: WeightFormat
    draft: DraftShape | None = None
    kv_cache_dtype: KvCacheDtype = "auto"
    engine: EngineName = "vllm"
    # Between the 0.8 of the model card, made for eight 80 GB GPUs with room to spare, and the engine's own 0.92, which
    # leaves too little for a peak that the profile run did not meet.
    gpu_memory_utilization: float = 0.85
    """Share of each GPU's total memory that the engine may take."""
    # As the model card of Mistral Medium 3.5 128B: https://huggingface.co/mistralai/Mistral-Medium-3.5-128B, 2026-11.
    max_num_batched_tokens: int = 16384
    """Tokens computed in one pass; the activation peak grows with it."""
    language_model_only: bool = False
    """True: the vision tower is not loaded."""
    enforce_eager: bool = False
    """True: no CUDA graphs."""
    block_size: int = 16
    """Tokens of one block of the KV cache."""
    concurrency: int = 1
    """Requests of the whole `max_model_len` that the KV cache shall hold at once; the engine does not insist on it."""
    kv_cache_memory_bytes: int | None = None
    """The KV cache, given per GPU, as by the engine's flag: nothing is profiled. None: what is left is taken."""
    other_bytes: int | None = None
    """What one GPU needs beside weights and KV cache, when it is known. None: the estimate."""


@dataclass(frozen=True, kw_only=True)
class ByteRange:
    """An amount of memory that is only known within bounds; bytes. Measured amounts have three equal fields."""

    low: int
    likely: int
    high: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of a request that would make it fit."""

    request: PlanRequest
    what: str
    """What changes, for people: `cap the context at 38,064 tokens`."""
    option: str
    """The same as options of `agent plan`: `--context 38064`."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a request comes to. Amounts are per GPU."""

    request: PlanRequest
    starts: Starts
    requested_bytes: int
    """What the engine may take of a GPU: total memory times utilisation, rounded up."""
    weights_bytes: int
    """The draft's included."""
    activation_bytes: ByteRange
    """Peak of one pass, what CUDA and NCCL take, and CUDA graphs."""
    measured: bool
    """True: `activation_bytes` comes from a real start of this configuration."""
    kv_bytes: int
    """What is left for the KV cache with the likely activation; below 0: so much is missing before any cache."""
    kv_bytes_per_token: int
    num_blocks: int
    kv_tokens: int
    """As the engine will print it."""
    concurrency: float
    """Requests of the whole `max_model_len` at once, as the engine will print it."""
    missing_bytes: int
    """By how much the start fails; 0: it does not."""
    longest_max_model_len: int
    """The longest context that starts; 0: none does."""
    changes: tuple[Change, ...]
    """What would make it fit, what costs the user least first; empty if it fits."""
    decode_tokens_s_bound: float | None
    """One request cannot be faster than this, by memory bandwidth; a bound, not a forecast. None: not known."""
    decode_tokens_s_bound_full: float | None
    """The same with the whole `max_model_len` in the KV cache."""
    notes: tuple[str, ...]
    """What a person should know of this plan, one sentence each."""


def size_up(request: PlanRequest, other: ByteRange, *, measured: bool = False) -> Plan:
    """Work out what a request comes to, without what would mend it and without notes.

    Args:
        request: the configuration.
        other: what a GPU needs beside weights and KV cache.
        measured: True: `other` is from a real start.
    """
    weights = weights_per_gpu(request)
    cache = _cache(request, weights, other.likely)
    return Plan(
        request=request,
        starts=_starts(request, weights, other),
        requested_bytes=_requested(request),
        weights_bytes=weights,
        activation_bytes=other,
        measured=measured,
        kv_bytes=cache.available_bytes,
        kv_bytes_per_token=cache.bytes_per_token,
        num_blocks=cache.num_blocks,
        kv_tokens=cache.tokens(request.max_model_len),
        concurrency=cache.concurrency(request.max_model_len),
        missing_bytes=_missing(request, weights, other.likely),
        longest_max_model_len=cache.longest(request.model.max_position),
        changes=(),
        decode_tokens_s_bound=decode_bound(request, 0),
        decode_tokens_s_bound_full=decode_bound(request, request.max_model_len),
        notes=(),
    )


def weights_per_gpu(request: PlanRequest) -> int:
    """Add up the bytes of model and draft that one GPU holds."""
    split, heads = request.tensor_parallel_size, request.model.num_kv_heads
    model = request.model.weights[request.weights].per_gpu(
        split, heads, language_model_only=request.language_model_only
    )
    return model + (request.draft.weights.per_gpu(split, heads) if request.draft else 0)


def decode_bound(request: PlanRequest, context_tokens: int) -> float | None:
    """Compute the tokens per second that memory bandwidth allows one request; None: the bandwidth is not known.

    Every token needs all matrices read once, but neither the vision tower nor more than a row of the embedding. With a
    draft a step also reads the draft once per proposed token, and at best all of them are accepted; beyond the draft's
    own context nothing is proposed.

    Args:
        request: the configuration.
        context_tokens: tokens whose keys and values are read as well.
    """
    gpu, model, split = request.gpus.gpu, request.model, request.tensor_parallel_size
    if not gpu.bandwidth_bytes_s:
        return None
    text = model.weights[request.weights].per_gpu(split, model.num_kv_heads, language_model_only=True)
    read = text - model.vocab_size * model.hidden_size * _BF16_BYTES // split
    read += context_tokens * _bytes_per_token(request)
    if read <= 0:
        return None  # the folder holds less than its configuration says
    draft = request.draft
    if draft is None or context_tokens > draft.max_model_len:
        return gpu.bandwidth_bytes_s / read
    proposed = draft.num_speculative_tokens
    read += proposed * draft.weights.per_gpu(split, model.num_kv_heads)
    return (1 + proposed) * gpu.bandwidth_bytes_s / read


_BF16_BYTES = 2


def _requested(request: PlanRequest) -> int:
    return math.ceil(request.gpus.gpu.memory_bytes * request.gpu_memory_utilization)


def _bytes_per_token(request: PlanRequest) -> int:
    model, draft = request.model, request.draft
    return bytes_per_token(
        num_layers=model.num_layers + (draft.num_layers if draft else 0),
        num_kv_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        tensor_parallel_size=request.tensor_parallel_size,
        fp8=request.kv_cache_dtype == "fp8",
    )


def _cache(request: PlanRequest, weights: int, other: int) -> KvCache:
    given = request.kv_cache_memory_bytes
    return KvCache(
        available_bytes=_requested(request) - weights - other if given is None else given,
        bytes_per_token=_bytes_per_token(request),
        block_size=request.block_size,
    )


def _missing(request: PlanRequest, weights: int, other: int) -> int:
    cache = _cache(request, weights, other)
    missing = cache.needed_bytes(request.max_model_len) - cache.available_bytes
    given, total = request.kv_cache_memory_bytes, request.gpus.gpu.memory_bytes
    if given is not None and total:
        # A given cache is allocated unasked; whether the GPU has room for it shows only then.
        missing = max(missing, weights + other + given - total)
    return max(0, missing)


def _starts(request: PlanRequest, weights: int, other: ByteRange) -> Starts:
    if not _missing(request, weights, other.high):
        return "yes"
    return "no" if _missing(request, weights, other.low) else "unsure"
