"""Estimate what a GPU needs besides weights and KV cache, the only part of a plan that is not exact arithmetic.

The sizes below were read from starts of vLLM 0.26.0 on one H200 with dummy weights of the true shape (2026-11-23; the
logs are in tests/data/engine_logs/cuda, and tests/capacity/test_overhead.py states how far off the plan is). The
buffers of NCCL and of the all-reduce, which one GPU does not show, are from llm-d-planner,
docs/empirical-vllm-memory-results.md (H100, read 2026-11), with a wide range.
"""

from .hardware import GIB
from .sizing import ByteRange, PlanRequest

_NOTHING = ByteRange(low=0, likely=0, high=0)


def estimate_overhead(request: PlanRequest) -> ByteRange:
    """Estimate the peak of one pass, the memory of CUDA and NCCL, tables and CUDA graphs; bytes per GPU."""
    if request.gpus.gpu.name == "cpu":
        return _NOTHING
    parts = (_peak(request), _rope_table(request), _buffers(request), _graphs(request))
    return ByteRange(
        low=sum(part.low for part in parts),
        likely=sum(part.likely for part in parts),
        high=sum(part.high for part in parts),
    )


def _peak(request: PlanRequest) -> ByteRange:
    """Return the larger of two peaks that never coincide: a layer on all batched tokens, and sampling all sequences."""
    model, draft = request.model, request.draft
    # Live at once in the MLP, two bytes each: input, output and residual at full width; gate, up and their product,
    # split over the GPUs. GiB measured / computed like this: 128B, 2048, 8192 and 16384 tokens: 0.47 / 0.47,
    # 1.88 / 1.88, 3.75 / 3.75; 24B: 0.46 / 0.43, 1.77 / 1.73, 3.50 / 3.47.
    wide = 3
    if model.sees_images and not request.language_model_only:
        wide -= 1  # the input is in a persistent buffer: 1.69 / 1.69 for the 128B, 1.69 / 1.66
    if draft is not None:
        wide += 2  # the two inputs that a draft concatenates: 2.25 / 2.25
    split = 3 * model.intermediate_size // request.tensor_parallel_size
    layer = request.max_num_batched_tokens * 2 * (wide * model.hidden_size + split)
    # The first start compiles the FP8 kernels' graphs and has a peak of 3.47 / 1.88; a later start, with the compiled
    # graphs in vLLM's cache, had 1.84. BF16 shows no such difference: 1.81 / 1.73.
    compiles_fp8 = request.weights == "fp8" and not request.enforce_eager
    likely, high = (layer * 185 // 100, layer * 2) if compiles_fp8 else (layer, layer * 13 // 10)
    # 1024 sequences did not raise a peak of 1.88 GiB, so an entry of the logits takes at most 15 bytes.
    entries = request.max_num_seqs * model.vocab_size
    return ByteRange(
        low=max(layer * 9 // 10, entries * 6), likely=max(likely, entries * 12), high=max(high, entries * 20)
    )


def _rope_table(request: PlanRequest) -> ByteRange:
    """Return sines and cosines for all positions, two bytes each; vLLM counts them as weights: 119.5 GiB for 119.44."""
    tables = 1 if request.draft is None else 2
    size = tables * request.model.max_position * request.model.head_dim * 2
    return ByteRange(low=size, likely=size, high=size)


def _buffers(request: PlanRequest) -> ByteRange:
    """Return what CUDA, its libraries and NCCL use: 0.22 GiB measured on one GPU; 0.42 more on two (llm-d-planner)."""
    if request.tensor_parallel_size == 1:
        return ByteRange(low=GIB * 13 // 100, likely=GIB * 22 // 100, high=GIB // 2)
    return ByteRange(low=GIB * 55 // 100, likely=GIB * 65 // 100, high=2 * GIB)


def _graphs(request: PlanRequest) -> ByteRange:
    """Return the engine's estimate for CUDA graphs: 0.66 GiB for the 128B's 88 layers, 0.29 for the 24B's 40.

    Once captured they took up to 0.97 GiB. vLLM 0.26 with its second model runner estimates none; 0.32 and 0.33 do.
    """
    if request.enforce_eager:
        return _NOTHING
    layers = request.model.num_layers + (request.draft.num_layers if request.draft else 0)
    return ByteRange(low=0, likely=GIB * 66 * layers // 8800, high=GIB * 107 * layers // 8800)
