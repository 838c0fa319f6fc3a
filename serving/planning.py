"""Decide what fits on which GPUs, by the engine's own arithmetic; pure: starts nothing, reads nothing."""

from dataclasses import dataclass
from typing import Literal

from .hardware import GpuSet
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
