"""Records of a model's shape and of the bytes its weights take; reads no file, knows no engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

WeightFormat = Literal["fp8", "bf16"]
"""How the large matrices are stored."""


@dataclass(frozen=True, kw_only=True)
class WeightBytes:
    """Bytes of a checkpoint's weights, by what an engine does with them under tensor parallelism."""

    sharded: int
    """Split over the GPUs: the matrices of the language model."""
    replicated: int
    """Whole on every GPU: norms and scales of the language model."""
    kv_projections: int = 0
    """The part of `sharded` that makes keys and values: it is split by KV heads, so on no more GPUs than there are."""
    vision_sharded: int = 0
    """The vision tower's matrices, split over the GPUs. 0: the model sees no images."""
    vision_replicated: int = 0
    """The projector, the patch convolution and the tower's norms, whole on every GPU."""

    def total(self, *, language_model_only: bool = False) -> int:
        """Add up the whole checkpoint, or its language model alone."""
        return (
            self.sharded
            + self.replicated
            + (0 if language_model_only else self.vision_sharded + self.vision_replicated)
        )

    def per_gpu(self, tensor_parallel_size: int, num_kv_heads: int, *, language_model_only: bool = False) -> int:
        """Add up what one GPU of a tensor-parallel group holds.

        Source: vLLM 0.32.0, model_executor/layers/linear.py (QKVParallelLinear keeps a whole KV head per GPU) and
        model_executor/models/pixtral.py (projector and patch convolution replicated, the tower's linears split).
        """
        split = self.sharded + (0 if language_model_only else self.vision_sharded)
        whole = self.replicated + (0 if language_model_only else self.vision_replicated)
        kv_again = max(0, self.kv_projections // num_kv_heads - self.kv_projections // tensor_parallel_size)
        return split // tensor_parallel_size + whole + kv_again


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """One dense decoder-only model, as far as its memory and speed depend on it."""

    name: str
    """A name on the Hugging Face Hub, or a folder: what an engine is told to load."""
    title: str
    """What people call it."""
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_position: int
    """Tokens of the longest context it was made for."""
    weights: Mapping[WeightFormat, WeightBytes]
    """Per format that can be served. The first is the one that is shipped."""
    sees_images: bool
    source: str
    """Where the numbers are from: a document and the day it was read, or a folder."""


@dataclass(frozen=True, kw_only=True)
class DraftShape:
    """A draft model for speculative decoding, as EAGLE makes them: a few layers of the target's dimensions."""

    name: str
    num_layers: int
    """Each adds a layer of KV cache."""
    weights: WeightBytes
    num_speculative_tokens: int
    """Tokens proposed per step."""
    max_model_len: int
    """Tokens of context the draft is good for; beyond it nothing is proposed."""
