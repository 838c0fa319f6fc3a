"""Estimate what a GPU needs beside weights and KV cache: the one part of a plan that is no exact arithmetic.

The sizes below were read from starts of vLLM 0.26.0 on one H200 with dummy weights of the true shape (2026-11-23; the
lines are in tests/data/engine_logs/cuda, and tests/test_overhead.py says how far off the plan is). What one GPU cannot
show, the buffers of NCCL and of the all-reduce, is from llm-d-planner, docs/empirical-vllm-memory-results.md (H100,
read 2026-11), with a wide range.
"""

from .hardware import GIB
from .planning import ByteRange, PlanRequest

_NOTHING = ByteRange(low=0, likely=0, high=0)


def estimate_overhead(request: PlanRequest) -> ByteRange:
    """Estimate the peak of one pass, what CUDA and NCCL take, tables and CUDA graphs; bytes per GPU."""
    if request.gpus.gpu.name == "cpu":
        return _NOTHING
    parts = (_peak(request), _rope_table(request), _buffers(request), _graphs(request))
    return ByteRange(
        low=sum(part.low for part in parts),
        likely=sum(part.likely for part in parts),
        high=sum(part.high for part in parts),
    )


def _peak(request: PlanRequest) -> ByteRange:
    """The larger of two peaks that never meet: a layer computing all batched tokens, and sampling for all sequences."""
    model, tokens = request.model, request.max_num_batched_tokens
    # Alive at once in the MLP, two bytes each: residual, input and output at full width; gate, up and their product,
    # split over the GPUs. 8192 and 16384 tokens of the 128B on one GPU: 1.875 and 3.75 GiB; measured 1.84 to 1.88
    # (1.69 with images, whose pass gets its input from a buffer), and 3.76.
    layer = tokens * 2 * 3 * (model.hidden_size + model.intermediate_size // request.tensor_parallel_size)
    # Logits in FP32 with what top-k and top-p make of them: sorted values, indices of 8 bytes, sums, masks.
    entries = request.max_num_seqs * model.vocab_size
    return ByteRange(
        low=max(layer * 9 // 10, entries * 8),
        likely=max(layer, entries * 20),
        high=max(layer * 13 // 10, entries * 40),
    )


def _rope_table(request: PlanRequest) -> ByteRange:
    """Sines and cosines for every position, two bytes each; vLLM counts them as weights: 119.5 GiB for 119.44."""
    size = request.model.max_position * request.model.head_dim * 2
    return ByteRange(low=size, likely=size, high=size)


def _buffers(request: PlanRequest) -> ByteRange:
    """What CUDA, its libraries and NCCL take: 0.22 GiB measured on one GPU; 0.42 more on two, by llm-d-planner."""
    if request.tensor_parallel_size == 1:
        return ByteRange(low=GIB * 13 // 100, likely=GIB * 22 // 100, high=GIB // 2)
    return ByteRange(low=GIB * 55 // 100, likely=GIB * 65 // 100, high=2 * GIB)


def _graphs(request: PlanRequest) -> ByteRange:
    """CUDA graphs: 0.97 GiB for the 88 layers of the 128B. vLLM 0.26 does not count them, 0.32 and 0.33 do."""
    if request.enforce_eager:
        return _NOTHING
    layers = request.model.num_layers + (request.draft.num_layers if request.draft else 0)
    likely = GIB * 97 * layers // (100 * 88)
    return ByteRange(low=0, likely=likely, high=likely * 3 // 2)
