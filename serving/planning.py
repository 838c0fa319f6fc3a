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
    gpu_memory_utilization: float = 0.85
    """Share of each GPU's total memory that the engine may take."""
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
    notes: tuple[str, ...]
    """What a person should know of this plan, one sentence each."""


def size_up(request: PlanRequest, other: ByteRange, *, measured: bool = False) -> Plan:
    """Work out what a request comes to, without what would mend it.

    Args:
        request: the configuration.
        other: what a GPU needs beside weights and KV cache.
        measured: True: `other` is from a real start.
    """
    model, draft, split = request.model, request.draft, request.tensor_parallel_size
    requested = math.ceil(request.gpus.gpu.memory_bytes * request.gpu_memory_utilization)
    weights = model.weights[request.weights].per_gpu(
        split, model.num_kv_heads, language_model_only=request.language_model_only
    ) + (draft.weights.per_gpu(split, model.num_kv_heads) if draft else 0)
    per_token = bytes_per_token(
        num_layers=model.num_layers + (draft.num_layers if draft else 0),
        num_kv_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        tensor_parallel_size=split,
        fp8=request.kv_cache_dtype == "fp8",
    )

    def cache(other_bytes: int) -> KvCache:
        given = request.kv_cache_memory_bytes
        left = requested - weights - other_bytes if given is None else given
        return KvCache(available_bytes=left, bytes_per_token=per_token, block_size=request.block_size)

    needed = cache(0).needed_bytes(request.max_model_len)
    likely = cache(other.likely)
    return Plan(
        request=request,
        starts=_starts(needed, cache(other.low), cache(other.high)),
        requested_bytes=requested,
        weights_bytes=weights,
        activation_bytes=other,
        measured=measured,
        kv_bytes=likely.available_bytes,
        kv_bytes_per_token=per_token,
        num_blocks=likely.num_blocks,
        kv_tokens=likely.tokens(request.max_model_len),
        concurrency=likely.concurrency(request.max_model_len),
        missing_bytes=max(0, needed - likely.available_bytes),
        longest_max_model_len=likely.longest(model.max_position),
        changes=(),
        decode_tokens_s_bound=None,
        notes=(),
    )


def _starts(needed_bytes: int, best: KvCache, worst: KvCache) -> Starts:
    if worst.available_bytes >= needed_bytes:
        return "yes"
    return "unsure" if best.available_bytes >= needed_bytes else "no"
