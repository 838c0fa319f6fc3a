"""Estimate what a GPU needs besides weights and KV cache, the only part of a plan that is not exact arithmetic.

The terms are counted from the dimensions. Few numbers were read from starts of vLLM 0.26.0 on H200s (2026-11-23 and
-28; `tests/bench/starts.py` prints each, planned and printed): the buffers on one GPU and on two, the extra width of
compiled code (one for BF16, two for FP8), the gaps of a vision tower, and the CUDA graphs. Leaving logs out: two GPUs
are planned within 0.3 % with the numbers of one GPU, the 24B within 0.1 % with those of the 128B, and the 128B within
0.7 % with those of the 24B. The buffers of one GPU do not follow from those of two (up to 2.2 % off). Ranges also cover
figures that others published; each has its source beside it.
"""

from typing import NamedTuple

from .cuda_graphs import reserved_graphs
from .engine_versions import compiles_by_default
from .hardware import GIB
from .models import Experts, ModelShape
from .sizing import ByteRange, PlanRequest

MIB = 2**20
_NOTHING = ByteRange(low=0, likely=0, high=0)


def estimate_overhead(request: PlanRequest, *, compiled: bool) -> ByteRange:
    """Estimate the peak of one pass, the memory of CUDA and its libraries, tables and reserved CUDA graphs.

    Args:
        request: the configuration.
        compiled: whether the engine's cache holds the compiled graphs, as at every start but the first. Without
            them, compiling needs memory of its own.

    Returns:
        Bytes per GPU, of what the engine takes from its share.
    """
    if request.on_cpu:
        return _NOTHING
    peak = pass_peak(request, compiled=compiled)
    return _sum(peak, _rope_tables(request), _tower_gaps(request), _buffers(request), reserved_graphs(request))


def pass_peak(request: PlanRequest, *, compiled: bool) -> ByteRange:
    """Return the peak of one pass, for which the engine keeps room in its share; see `estimate_overhead`."""
    peaks = [_layer_peak(request), _sampling_peak(request)]
    low = max(peak.low for peak in peaks)
    if compiles(request) and not compiled:
        peaks.append(_compile_peak(request))
    if compiles_by_default(request.engine, request.engine_version) is not None:
        low = max(peak.low for peak in peaks)  # else it may be one that does not compile
    return ByteRange(
        low=low,
        likely=max(peak.likely for peak in peaks),
        high=max(peak.high for peak in peaks),
    )


def compiles(request: PlanRequest) -> bool:
    """Return whether the engine compiles the model, as far as its version is known."""
    by_default = compiles_by_default(request.engine, request.engine_version) is not False
    return by_default and not request.enforce_eager and not request.on_cpu


class _PerToken(NamedTuple):
    """Bytes per token that are live at once; both sizes are of the whole model."""

    wide: int
    """In units of the hidden size; on every GPU."""
    split: int
    """In units of the MLP's intermediate size; divided over the GPUs."""


def _layer_peak(request: PlanRequest) -> ByteRange:
    """Return the peak of a layer on all batched tokens, inside the MLP.

    Eager, it is exact: input, output and residual at full width, and gate, up and their product. Printed and counted,
    GiB: 128B with 2048, 8192 and 16384 tokens 0.47 / 0.47, 1.88 / 1.88, 3.75 / 3.75; 24B 0.46 / 0.46, 1.77 / 1.77,
    3.50 / 3.50; with vision 1.69 / 1.69 and 1.69 / 1.69; with EAGLE 2.25 / 2.25; two GPUs 2.06 / 2.06.
    """
    model, tokens = request.model, request.max_num_batched_tokens
    if model.experts is not None:
        return _experts_peak(request, model.experts)
    per_token = _eager_bytes(request) if not compiles(request) else _compiled_bytes(request)
    width = model.hidden_size * tokens
    split = per_token.split * model.intermediate_size * tokens // request.tensor_parallel_size
    likely = per_token.wide * width + split + _matrix_workspace(request)
    if request.weights not in ("fp8", "bf16"):
        # No start with packed weights is recorded: kernels that unpack them may need more.
        return ByteRange(low=likely - 2 * width, likely=likely, high=likely * 13 // 10 + 2 * width)
    if not compiles(request):
        return ByteRange(low=likely - width, likely=likely, high=likely + width)
    # Compiled starts with 2048, 8192 and 16384 tokens printed what is counted.
    return ByteRange(low=likely - 15 * width // 8, likely=likely, high=likely + 15 * width // 8)


def _experts_peak(request: PlanRequest, experts: Experts) -> ByteRange:
    """Return the peak of a layer of experts: input, output and residual, and two buffers for each chosen expert.

    Source: vLLM 0.32.0, model_executor/layers/fused_moe/fused_moe.py, `fused_experts_impl`. No start is recorded.
    """
    model, split = request.model, request.tensor_parallel_size
    inner = model.intermediate_size // split
    buffers = experts.chosen * (max(2 * inner, model.hidden_size) + inner)
    likely = 2 * request.max_num_batched_tokens * (3 * model.hidden_size + buffers)
    return ByteRange(low=likely // 2, likely=likely, high=likely * 5 // 2)


def _eager_bytes(request: PlanRequest) -> _PerToken:
    wide = 3
    if _passes_embeddings(request):
        wide -= 1  # the input is in a buffer that stays
    if request.draft is not None:
        wide += 2  # the two inputs that a draft concatenates
    return _PerToken(wide=2 * wide, split=6)


def _compiled_bytes(request: PlanRequest) -> _PerToken:
    """Return what is live in compiled code, where operations are fused.

    Measured, GiB, printed and counted: 128B 1.84 / 1.84, with vision 1.84 / 1.84 and at its first start 1.91, over two
    GPUs with vision 2.41 / 2.41; 24B 1.81 / 1.80; 128B with EAGLE 2.03 / 2.03, over two GPUs 2.84 / 2.81.
    """
    eager, alone = _eager_bytes(request), request.tensor_parallel_size == 1
    if request.weights != "fp8":
        return eager if request.draft is not None else eager._replace(wide=eager.wide + 1)
    # The product of gate and up is written as FP8. With images and without, the peak of one GPU is the same.
    if request.draft is None:
        return _PerToken(wide=8 if alone else 7, split=5)
    return eager._replace(split=5) if alone else eager


def _matrix_workspace(request: PlanRequest) -> int:
    """Return the workspace of cuBLAS, which multiplies BF16 matrices; FP8 ones are multiplied by CUTLASS.

    PyTorch's default is 32 MiB from Hopper on and 8 MiB before: aten/src/ATen/cuda/CublasHandlePool.cpp, 2.11. The
    three eager starts of the 24B show 32 MiB.
    """
    if request.weights != "bf16":
        return 0
    return (32 if request.gpus.gpu.compute_capability >= (9, 0) else 8) * MIB


def _sampling_peak(request: PlanRequest) -> ByteRange:
    """Return the peak of sampling all sequences, which never coincides with that of a layer.

    1024 sequences of the 128B did not raise a peak of 1.88 GiB, so an entry of the logits takes at most 15 bytes; of
    Qwen3-32B on an H100 they left 8.52 GiB, so at most 10 ("Qwen3-32B Snapshot & Restore", vLLM 0.26, read 2026-11).
    """
    entries = request.max_num_seqs * request.model.vocab_size
    return ByteRange(low=entries * 6, likely=entries * 8, high=entries * 10)


def _compile_peak(request: PlanRequest) -> ByteRange:
    """Return the peak of compiling the graph that begins with the embedding.

    Inductor times kernels on arrays that it makes for that, of the sizes of the true ones: the embedding, and what the
    fused kernel writes for each token: the row (2 bytes a number) and its norm (2, and 1 more in FP8); for a draft
    both of its inputs (2 and 2), the two together (4) and the same in FP8 (2). Printed and counted, GiB: 128B with
    2048, 8192 and 16384 tokens 3.12 / 3.12, 3.47 / 3.47 and 3.94 / 3.94, with EAGLE 3.94 / 3.94; 24B with 2048 tokens
    1.29 / 1.29. Split over GPUs, the kernel ends at the row, which is then reduced; images are merged into the rows, so
    that they are no part of the graph. Either way the peak was below a layer's and did not show.
    """
    model, tokens = request.model, request.max_num_batched_tokens
    table = _embedding_bytes(model) // request.tensor_parallel_size
    width = model.hidden_size * tokens
    quantized = request.weights == "fp8"
    if request.tensor_parallel_size > 1:
        likely = table + 2 * width
    elif request.draft is not None:
        likely = table + (10 if quantized else 8) * width
    else:
        likely = table + (5 if quantized else 4) * width
    found = ByteRange(low=max(table, likely - 11 * width // 4), likely=likely, high=likely + width)
    if not _passes_embeddings(request):
        return found
    # A draft looks up rows of its own; whether it does so inside its graph, no start has shown.
    return ByteRange(low=0, likely=0, high=found.high if request.draft else 0)


def _embedding_bytes(model: ModelShape) -> int:
    return model.vocab_size * model.hidden_size * 2


def _passes_embeddings(request: PlanRequest) -> bool:
    """Return whether rows of the embedding are looked up outside the model, as they are if images are merged in."""
    return request.model.sees_images and not request.language_model_only


def _rope_tables(request: PlanRequest) -> ByteRange:
    """Return sines and cosines for all positions, two bytes each; vLLM counts them as weights: 119.5 GiB for 119.44."""
    tables = 1 if request.draft is None else 2
    return _exactly(tables * request.model.max_position * request.model.head_dim * 2)


def _tower_gaps(request: PlanRequest) -> ByteRange:
    """Return what a vision tower takes beyond its bytes: its matrices do not fill PyTorch's segments of 20 MiB.

    44 MiB for the 128B on one GPU and 40 on each of two, none for the 24B, whose matrices fill them.
    """
    if not _passes_embeddings(request):
        return _NOTHING
    return ByteRange(low=0, likely=22 * MIB, high=48 * MIB)


def _buffers(request: PlanRequest) -> ByteRange:
    """Return what libraries and kernels take outside PyTorch while the engine profiles.

    0.23 GiB on one H200 and 0.07 on each of two, where NCCL takes its buffers before the first look. Others measured
    0.13 on an H100, and 0.55 on two with an older vLLM: llm-d-planner, docs/empirical-vllm-memory-results.md, 2026-11.
    """
    if request.tensor_parallel_size == 1:
        return ByteRange(low=GIB * 13 // 100, likely=GIB * 23 // 100, high=GIB * 35 // 100)
    return ByteRange(low=GIB * 5 // 100, likely=GIB * 10 // 100, high=GIB * 65 // 100)


def _exactly(size: int) -> ByteRange:
    return ByteRange(low=size, likely=size, high=size)


def _sum(*parts: ByteRange) -> ByteRange:
    return ByteRange(
        low=sum(part.low for part in parts),
        likely=sum(part.likely for part in parts),
        high=sum(part.high for part in parts),
    )
