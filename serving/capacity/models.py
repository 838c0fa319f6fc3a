"""Records of a model's shape and the bytes of its weights; reads no file, independent of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

WeightFormat = Literal["fp8", "bf16", "fp4", "int8", "int4"]
"""How the large matrices are stored. The last three are packed checkpoints, whose bytes only their files show."""


@dataclass(frozen=True, kw_only=True)
class WeightBytes:
    """Bytes of a checkpoint's weights, by how an engine distributes them under tensor parallelism."""

    sharded: int
    """Matrices of the language model, split over the GPUs."""
    replicated: int
    """Norms and scales of the language model, whole on every GPU."""
    kv_projections: int = 0
    """The part of `sharded` that makes keys and values; it is split by KV heads, so over at most that many GPUs."""
    vision_sharded: int = 0
    """The vision tower's matrices, split over the GPUs. 0 means that the model takes no images."""
    vision_replicated: int = 0
    """The projector, the patch convolution and the tower's norms, whole on every GPU."""

    def total(self, *, language_model_only: bool = False) -> int:
        """Return the bytes of the whole checkpoint, or of its language model alone."""
        return (
            self.sharded
            + self.replicated
            + (0 if language_model_only else self.vision_sharded + self.vision_replicated)
        )

    def per_gpu(self, tensor_parallel_size: int, num_kv_heads: int, *, language_model_only: bool = False) -> int:
        """Return the bytes that one GPU of a tensor-parallel group holds.

        Source: vLLM 0.32.0, model_executor/layers/linear.py (QKVParallelLinear keeps a whole KV head per GPU) and
        model_executor/models/pixtral.py (projector and patch convolution replicated, the tower's linears split).
        """
        split = self.sharded + (0 if language_model_only else self.vision_sharded)
        whole = self.replicated + (0 if language_model_only else self.vision_replicated)
        repeated_kv = max(0, self.kv_projections // num_kv_heads - self.kv_projections // tensor_parallel_size)
        return split // tensor_parallel_size + whole + repeated_kv


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The MLPs of a mixture of experts; all are loaded, and a token passes some of them."""

    routed: int
    chosen: int
    """Routed experts that a token passes."""
    shared: int
    """Experts that every token passes."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The properties of a decoder-only model that determine its memory and speed."""

    name: str
    """A Hugging Face Hub name, or a folder: what the engine loads."""
    title: str
    """The name shown to people."""
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    """Of the MLP, or of one expert."""
    vocab_size: int
    max_position: int
    """Tokens of the longest context that the model supports."""
    weights: Mapping[WeightFormat, WeightBytes]
    """By format that can be served; the first is the released one."""
    sees_images: bool
    experts: Experts | None = None
    """None means that the model is dense."""
    latent_size: int = 0
    """Numbers that latent attention keeps per token and layer, whole on every GPU. 0 means keys and values by head."""
    source: str
    """Where the numbers come from: a document and the date it was read, or a folder."""


@dataclass(frozen=True, kw_only=True)
class DraftShape:
    """An EAGLE-type draft model for speculative decoding: a few layers with the target's dimensions."""

    name: str
    num_layers: int
    """Each adds one layer to the KV cache."""
    weights: WeightBytes
    num_speculative_tokens: int
    """Tokens proposed per step."""
    max_model_len: int
    """Tokens of context up to which the draft works; beyond it, it proposes nothing."""
