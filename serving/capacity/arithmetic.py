"""Calculate what fits on which GPUs, by the engine's own arithmetic; pure: starts nothing, reads nothing."""

import math

from .kv_cache import KvCache, bytes_per_token
from .sizing import Overhead, Plan, PlanRequest, Starts


def size_up(request: PlanRequest, overhead: Overhead, *, later_bytes: int | None = None) -> Plan:
    """Calculate the plan of a request, without changes and notes.

    Args:
        request: the configuration.
        overhead: what a GPU needs besides weights and KV cache.
        later_bytes: what a later start takes from the share instead. None means the same.
    """
    weights, other = weights_per_gpu(request), overhead.share
    cache = _cache(request, weights, other.likely)

    def tokens(other_bytes: int) -> int:
        return _cache(request, weights, other_bytes).tokens(request.max_model_len)

    return Plan(
        request=request,
        starts=_starts(request, weights, overhead),
        requested_bytes=_requested(request),
        weights_bytes=weights,
        activation_bytes=other,
        taken_before_bytes=overhead.before.likely,
        beyond_bytes=overhead.beyond,
        measurement=overhead.measurement,
        first_start=not overhead.compiled,
        kv_bytes=cache.available_bytes,
        kv_bytes_per_token=cache.bytes_per_token,
        num_blocks=cache.num_blocks,
        kv_tokens=cache.tokens(request.max_model_len),
        kv_tokens_low=tokens(other.high),
        kv_tokens_high=tokens(other.low),
        later_kv_tokens=tokens(other.likely if later_bytes is None else later_bytes),
        offloaded_tokens=_offloaded_tokens(request),
        concurrency=cache.concurrency(request.max_model_len),
        missing_bytes=_missing(request, weights, other.likely, overhead.beyond.likely),
        longest_max_model_len=cache.longest(request.model.max_position),
        changes=(),
        decode_tokens_s_bound=decode_bound(request, 0),
        decode_tokens_s_bound_full=decode_bound(request, request.max_model_len),
        speeds=None,
        notes=(),
    )


def weights_per_gpu(request: PlanRequest) -> int:
    """Return the bytes of model and draft that one GPU holds."""
    split, heads = request.tensor_parallel_size, request.model.num_kv_heads
    model = request.model.weights[request.weights].per_gpu(
        split, heads, language_model_only=request.language_model_only
    )
    return model + (request.draft.weights.per_gpu(split, heads) if request.draft else 0)


def decode_bound(request: PlanRequest, context_tokens: int) -> float | None:
    """Return the tokens per second that memory bandwidth allows one request; None if the bandwidth is not known.

    Each token reads all matrices once, except the vision tower and all but one row of the embedding. With a draft, a
    step also reads the draft and the output matrix once per proposed token, and at best every proposal is accepted;
    beyond the draft's own context it proposes nothing.

    Args:
        request: the configuration.
        context_tokens: tokens whose keys and values are read as well.
    """
    gpu, draft = request.gpus.gpu, request.draft
    read = bytes_read(request, context_tokens)
    if not gpu.bandwidth_bytes_s or read <= 0 or request.model.experts:
        return None  # which experts are read depends on the tokens; a folder may hold too few weights
    if draft is None or context_tokens > draft.max_model_len:
        return gpu.bandwidth_bytes_s / read
    proposed = draft.num_speculative_tokens
    read += proposed * (
        draft.weights.per_gpu(request.tensor_parallel_size, request.model.num_kv_heads) + _rows(request)
    )
    return (1 + proposed) * gpu.bandwidth_bytes_s / read


def bytes_read(request: PlanRequest, context_tokens: int) -> int:
    """Return the bytes that one GPU reads for a token of one request, without a draft."""
    model, split = request.model, request.tensor_parallel_size
    text = model.weights[request.weights].per_gpu(split, model.num_kv_heads, language_model_only=True)
    return text - _rows(request) + context_tokens * bytes_of_token(request)


def bytes_of_token(request: PlanRequest) -> int:
    """Return the bytes of a token's keys and values on one GPU, the draft's included."""
    model, draft = request.model, request.draft
    if model.latent_size:
        return model.num_layers * model.latent_size * (1 if request.kv_cache_dtype == "fp8" else 2)
    return bytes_per_token(
        num_layers=model.num_layers + (draft.num_layers if draft else 0),
        num_kv_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        tensor_parallel_size=request.tensor_parallel_size,
        fp8=request.kv_cache_dtype == "fp8",
    )


_BF16_BYTES = 2


def _requested(request: PlanRequest) -> int:
    return math.ceil(request.gpus.gpu.memory_bytes * request.gpu_memory_utilization)


def _offloaded_tokens(request: PlanRequest) -> int:
    """Return what vLLM's CPU memory for keys and values holds; its size is the sum over all GPUs.

    Source: vLLM 0.32.0, config/cache.py, `kv_offloading_size`, and v1/kv_offload/cpu/spec.py.
    """
    size = int((request.kv_offloading_size or 0) * 2**30)
    return size // (bytes_of_token(request) * request.tensor_parallel_size * request.block_size) * request.block_size


def _rows(request: PlanRequest) -> int:
    """Return the bytes of the embedding on one GPU, which are those of the output matrix too."""
    return request.model.vocab_size * request.model.hidden_size * _BF16_BYTES // request.tensor_parallel_size


def _cache(request: PlanRequest, weights: int, other: int) -> KvCache:
    given = request.kv_cache_memory_bytes
    return KvCache(
        available_bytes=_requested(request) - weights - other if given is None else given,
        bytes_per_token=bytes_of_token(request),
        block_size=request.block_size,
    )


def _missing(request: PlanRequest, weights: int, other: int, beyond: int) -> int:
    cache = _cache(request, weights, other)
    missing = cache.needed_bytes(request.max_model_len) - cache.available_bytes
    given, total = request.kv_cache_memory_bytes, request.gpus.gpu.memory_bytes
    if given is None:
        # The share must be free at the start: vLLM 0.32.0, v1/worker/utils.py, `request_memory`.
        missing = max(missing, _requested(request) + beyond - total)
    elif total:
        # The engine allocates a given cache without first checking that it fits on the GPU.
        missing = max(missing, weights + other + given + beyond - total)
    return max(0, missing)


def _starts(request: PlanRequest, weights: int, overhead: Overhead) -> Starts:
    if not _missing(request, weights, overhead.share.high, overhead.beyond.likely):
        return "yes"
    return "no" if _missing(request, weights, overhead.share.low, overhead.beyond.low) else "unsure"
