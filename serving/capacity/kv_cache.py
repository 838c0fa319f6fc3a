"""Count blocks and tokens of a KV cache exactly as vLLM does; pure arithmetic.

Source: vLLM 0.32.0, v1/core/kv_cache_utils.py, read 2026-11-23: `get_kv_cache_configs` (reserves the null block in the
check, not in the allocation), `get_max_concurrency_for_kv_cache_config`, `get_kv_cache_capacity` (the printed number),
`_estimate_max_model_len_from_groups`; v1/kv_cache_interface.py, `FullAttentionSpec.max_memory_usage_bytes` (whole
blocks, without a draft's lookahead).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KvCache:
    """The KV cache of one GPU; all layers attend to the whole context."""

    available_bytes: int
    """As the engine prints it; 0 or less means that nothing is left."""
    bytes_per_token: int
    """On this GPU, for all layers."""
    block_size: int
    """Tokens per block."""

    @property
    def page_bytes(self) -> int:
        """Bytes of one block, for all layers."""
        return self.block_size * self.bytes_per_token

    @property
    def num_blocks(self) -> int:
        """Allocated blocks, including the null block."""
        return max(0, self.available_bytes) // self.page_bytes

    def needed_bytes(self, max_model_len: int) -> int:
        """Return the bytes that must be available for the engine to start with this `max_model_len`."""
        return (_blocks(max_model_len, self.block_size) + 1) * self.page_bytes

    def longest(self, at_most: int) -> int:
        """Return the longest `max_model_len` that starts, or 0 if none does."""
        usable = (self.available_bytes - self.page_bytes) // self.page_bytes
        return max(0, min(at_most, usable * self.block_size))

    def concurrency(self, max_model_len: int) -> float:
        """Return how many requests of this length fit at once; the engine prints it with two decimals."""
        return self.num_blocks / _blocks(max_model_len, self.block_size)

    def tokens(self, max_model_len: int) -> int:
        """Return the tokens as the engine prints them; they depend on `max_model_len` if it ends within a block."""
        return int(self.concurrency(max_model_len) * max_model_len)


def bytes_per_token(*, num_layers: int, num_kv_heads: int, head_dim: int, tensor_parallel_size: int, fp8: bool) -> int:
    """Return the bytes of one token's keys and values on one GPU.

    A KV head is never split: with more GPUs than heads, heads are repeated.

    Args:
        num_layers: includes the draft's layers.
        num_kv_heads: of the whole model.
        head_dim: numbers per head.
        tensor_parallel_size: GPUs that share the heads.
        fp8: True means one byte per number, False two.
    """
    heads = max(1, num_kv_heads // tensor_parallel_size)
    return num_layers * 2 * heads * head_dim * (1 if fp8 else 2)


def _blocks(tokens: int, block_size: int) -> int:
    return -(-tokens // block_size)
