"""Estimate what a GPU needs beside weights and KV cache; the one part of a plan that is no exact arithmetic."""

from .hardware import GIB
from .planning import ByteRange, PlanRequest


def estimate_overhead(request: PlanRequest) -> ByteRange:
    """Estimate the activation peak of one pass, what CUDA and NCCL take, and CUDA graphs."""
    if request.gpus.gpu.name == "cpu":
        return ByteRange(low=0, likely=0, high=0)
    tokens = request.max_num_batched_tokens
    model, split = request.model, request.tensor_parallel_size
    # Alive at once in a layer of a compiled model, BF16: the residual, its input and its sum over the GPUs at full
    # width; gate, up and their product, split over the GPUs.
    layer = tokens * 2 * (4 * model.hidden_size + 3 * model.intermediate_size // split)
    # The profile run samples for every sequence: logits in FP32, sorted with their indices, and a copy.
    sampling = request.max_num_seqs * model.vocab_size * 20
    graphs = 0 if request.enforce_eager else GIB // 2
    context = GIB // 4 if split == 1 else GIB * 3 // 4
    likely = layer + sampling + graphs + context
    return ByteRange(low=likely * 6 // 10, likely=likely, high=likely * 16 // 10)
