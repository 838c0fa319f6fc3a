"""Know over how many GPUs a model can be split; decides by its heads alone."""

from .models import ModelShape


def widest_split(model: ModelShape, count: int) -> int:
    """Find the most of these GPUs that can share the model's heads."""
    return max(size for size in range(1, count + 1) if can_split(model, size))


def can_split(model: ModelShape, size: int) -> bool:
    """Tell whether so many GPUs can share the model's heads.

    Source: vLLM 0.32.0, config/model.py, `verify_with_parallel_config` (heads), and QKVParallelLinear of
    model_executor/layers/linear.py (KV heads are split evenly or repeated evenly).
    """
    heads = model.num_kv_heads
    return model.num_heads % size == 0 and (heads % size == 0 or size % heads == 0)
