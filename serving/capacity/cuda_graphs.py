"""The memory of CUDA graphs: how much, whether the engine's share has room for it, and what capturing takes besides."""

from .engine_versions import GraphReserve, graph_reserve
from .hardware import GIB
from .sizing import ByteRange, PlanRequest


def reserved_graphs(request: PlanRequest) -> ByteRange:
    """Return what the engine sets aside for CUDA graphs: its own estimate, made before they are captured.

    vLLM 0.26.0 with its first model runner: 0.66 GiB for 88 layers, 0.29 for 40. No GPU log of a version that
    estimates with the second runner is at hand, so there the range reaches to what graphs were measured to take.
    """
    if not _captures(request) or _reserve(request) == "outside":
        return ByteRange(low=0, likely=0, high=0)
    estimate = GIB * 66 * _layers(request) // 8800
    measured = _captured_graphs(request)
    if request.engine_version is not None and request.engine_version.startswith("0.26."):
        return ByteRange(low=estimate * 9 // 10, likely=estimate, high=estimate * 11 // 10)
    low = 0 if _reserve(request) == "unknown" else estimate * 9 // 10
    likely = estimate if request.draft is None else measured.likely
    return ByteRange(low=low, likely=likely, high=measured.high)


def graphs_outside(request: PlanRequest) -> ByteRange:
    """Return the memory of CUDA graphs that the engine takes in addition to its share; bytes per GPU."""
    if not _captures(request) or _reserve(request) == "reserved":
        return ByteRange(low=0, likely=0, high=0)
    captured = _captured_graphs(request)
    return captured if _reserve(request) == "outside" else ByteRange(low=0, likely=0, high=captured.high)


def draft_buffer(request: PlanRequest) -> int:
    """Return the largest buffer of attention when the graphs of a draft are captured, after those of the model.

    On Hopper, FlashAttention 3 writes 32 partial results of each token in 4 bytes a number; the largest graph has 512
    tokens, or fewer if all requests with their proposals are fewer. One H200 was asked for these 768 MiB when it had
    547 left. Sources: vLLM 0.26.0, v1/attention/backends/flash_attn.py, `max_num_splits`, and config/vllm.py,
    `max_cudagraph_capture_size`.
    """
    if request.draft is None or not _captures(request) or request.gpus.gpu.compute_capability[0] != 9:
        return 0
    step = request.max_num_seqs * (1 + request.draft.num_speculative_tokens)
    tokens = min(512, step, request.max_num_batched_tokens)
    heads = request.model.num_heads // request.tensor_parallel_size
    return 32 * tokens * heads * request.model.head_dim * 4


def _captured_graphs(request: PlanRequest) -> ByteRange:
    """Return what captured CUDA graphs take.

    Printed, GiB: 128B 0.97 on one GPU and 0.70 on each of two, 24B 0.46; 128B with EAGLE 2.85 and 2.56.
    """
    per_layer = GIB * 97 // 8800
    if request.draft is None:
        likely = per_layer * request.model.num_layers
        return ByteRange(low=likely * 7 // 10, likely=likely, high=likely * 11 // 10)
    likely = GIB * 285 * _layers(request) // 9000
    return ByteRange(low=likely * 85 // 100, likely=likely, high=likely * 11 // 10)


def _captures(request: PlanRequest) -> bool:
    return not request.enforce_eager and not request.on_cpu


def _layers(request: PlanRequest) -> int:
    return request.model.num_layers + (request.draft.num_layers if request.draft else 0)


def _reserve(request: PlanRequest) -> GraphReserve:
    return graph_reserve(request.engine, request.engine_version, first_runner=request.first_model_runner)
