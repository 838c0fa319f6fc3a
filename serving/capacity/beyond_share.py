"""Estimate what an engine takes of a GPU beyond the share that it is given: before it looks, and when it captures."""

from .cuda_graphs import draft_buffer, graphs_outside
from .hardware import GIB
from .overhead import pass_peak
from .sizing import ByteRange, PlanRequest


def taken_before(request: PlanRequest) -> ByteRange:
    """Return the memory of a GPU that is taken before the engine's first look at it: the CUDA context and NCCL.

    139.29 of 139.8 GiB were free on one H200 and 138.34 on each of two. Two RTX 4090s started with 98 % of their memory
    for vLLM 0.7 (https://github.com/vllm-project/vllm/issues/13061), so it can be less than 0.48 GiB.
    """
    if request.on_cpu:
        return ByteRange(low=0, likely=0, high=0)
    if request.tensor_parallel_size == 1:
        return ByteRange(low=GIB * 30 // 100, likely=GIB * 51 // 100, high=GIB * 51 // 100)
    return ByteRange(low=GIB * 30 // 100, likely=GIB * 146 // 100, high=GIB * 146 // 100)


def taken_beyond(request: PlanRequest) -> ByteRange:
    """Return the memory that lies beyond the share when the last graph is captured, with what was taken before.

    The share has room for the peak of a pass, which nothing uses at that moment. It is smallest at a start that finds
    its compiled graphs: an engine that starts once may run out of memory the next time, with the same settings. One
    H200 did, with EAGLE, 2048 batched tokens and a utilisation of 0.97; 140.0 of 139.8 GiB were needed, counted 140.0.
    """
    before = taken_before(request)
    if request.on_cpu or request.engine != "vllm":
        return before
    graphs, kept, peak = graphs_outside(request), _kept_by_allocator(request), pass_peak(request, compiled=True)
    buffer = draft_buffer(request)
    return ByteRange(
        low=before.low + max(0, graphs.low + kept.low + buffer - peak.high),
        likely=before.likely + max(0, graphs.likely + kept.likely + buffer - peak.likely),
        high=before.high + max(0, graphs.high + kept.high + buffer - peak.low),
    )


def _kept_by_allocator(request: PlanRequest) -> ByteRange:
    """Return what PyTorch keeps of a GPU without a use for it, which vLLM does not count when it sizes the KV cache.

    What the driver showed after a start, less all that vLLM printed: 0.60 to 0.94 GiB in nine starts of vLLM 0.26.0 on
    one H200; 1.48 to 1.73 on the first of two, and less where GPUs have little memory: see `taken_before`.
    """
    if request.tensor_parallel_size == 1:
        return ByteRange(low=GIB * 60 // 100, likely=GIB * 80 // 100, high=GIB * 95 // 100)
    return ByteRange(low=GIB * 60 // 100, likely=GIB * 155 // 100, high=GIB * 175 // 100)
