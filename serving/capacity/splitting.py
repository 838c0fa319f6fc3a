"""Check over how many GPUs a model can be split, from its dimensions alone."""

from .models import ModelShape


def widest_split(model: ModelShape, count: int) -> int:
    """Return the largest number of GPUs, at most `count`, that can share the model."""
    return max(size for size in range(1, count + 1) if can_split(model, size))


def can_split(model: ModelShape, size: int) -> bool:
    """Return whether this many GPUs can share the model.

    Source: vLLM 0.32.0, config/model.py, `verify_with_parallel_config` (heads), QKVParallelLinear (KV heads are split
    evenly or repeated evenly) and MergedColumnParallelLinear (the MLP) of model_executor/layers/linear.py, and
    VocabParallelEmbedding of vocab_parallel_embedding.py beside it (the vocabulary, padded to a multiple of 64).
    """
    heads, vocabulary = model.num_kv_heads, -(-model.vocab_size // 64) * 64
    shared = (model.num_heads, model.intermediate_size, vocabulary)
    return all(number % size == 0 for number in shared) and (heads % size == 0 or size % heads == 0)
