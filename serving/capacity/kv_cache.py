"""Count blocks and tokens of a KV cache exactly as vLLM does; pure arithmetic.

Source: vLLM 0.32.0, v1/core/kv_cache_utils.py, read 2026-11-23: `get_kv_cache_configs` (the null block is held back for
the check, not for the allocation), `get_max_concurrency_for_kv_cache_config`, `get_kv_cache_capacity` (the number that
is printed), `_estimate_max_model_len_from_groups`; v1/kv_cache_interface.py, `FullAttentionSpec.max_memory_usage_bytes`
(whole blocks; what a draft looks ahead is not counted).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KvCache:
    """The KV cache of one GPU, all of whose layers attend to the whole context."""

    available_bytes: int
    """What the engine prints as available; 0 and less: nothing is left."""
    bytes_per_token: int
    """On this GPU, over all layers."""
    block_size: int
    """Tokens."""

    @property
    def page_bytes(self) -> int:
        """One block over all layers."""
        return self.block_size * self.bytes_per_token

    @property
    def num_blocks(self) -> int:
        """Blocks that are allocated, the null block among them."""
        return max(0, self.available_bytes) // self.page_bytes

    def needed_bytes(self, max_model_len: int) -> int:
        """Bytes that must be available for one request of this length to be admitted at the start."""
        return (_blocks(max_model_len, self.block_size) + 1) * self.page_bytes

    def longest(self, at_most: int) -> int:
        """Find the longest `max_model_len` that starts; 0: none does."""
        usable = (self.available_bytes - self.page_bytes) // self.page_bytes
        return max(0, min(at_most, usable * self.block_size))

    def concurrency(self, max_model_len: int) -> float:
        """Requests of this length at once, as the engine prints it with two decimals."""
        return self.num_blocks / _blocks(max_model_len, self.block_size)

    def tokens(self, max_model_len: int) -> int:
        """Tokens as the engine prints them; they depend on `max_model_len` where it does not fill its last block."""
        return int(self.concurrency(max_model_len) * max_model_len)


def bytes_per_token(*, num_layers: int, num_kv_heads: int, head_dim: int, tensor_parallel_size: int, fp8: bool) -> int:
    """Bytes of one token's keys and values on one GPU; a KV head is never split, so more GPUs than heads repeat them.

    Args:
        num_layers: the draft's layers included.
        num_kv_heads: of the whole model.
        head_dim: numbers per head.
        tensor_parallel_size: GPUs that share the heads.
        fp8: True: one byte per number, otherwise two.
    """
    heads = max(1, num_kv_heads // tensor_parallel_size)
    return num_layers * 2 * heads * head_dim * (1 if fp8 else 2)


def _blocks(tokens: int, block_size: int) -> int:
    return -(-tokens // block_size)
