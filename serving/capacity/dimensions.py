"""Count a Mistral-type model's parameters from its dimensions, and their bytes in each format; pure arithmetic."""

from dataclasses import dataclass

from .models import Experts, WeightBytes

_BF16 = 2
_FP8 = 1


@dataclass(frozen=True, kw_only=True)
class TextDimensions:
    """A dense decoder with SwiGLU, RMSNorm and no biases."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied_embeddings: bool = False
    """True means that the output matrix is the embedding."""

    @property
    def kv_projections(self) -> int:
        """Parameters of the key and value projections."""
        return self.num_layers * 2 * self.hidden_size * self.num_kv_heads * self.head_dim

    @property
    def linears(self) -> int:
        """Parameters of attention and MLP, which are those that a quantised checkpoint quantises."""
        attention = 2 * self.hidden_size * self.num_heads * self.head_dim
        return self.num_layers * (attention + 3 * self.hidden_size * self.intermediate_size) + self.kv_projections

    @property
    def embeddings(self) -> int:
        """Parameters of the embedding and the output matrix."""
        return self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)

    @property
    def norms(self) -> int:
        """Parameters of the norms."""
        return (2 * self.num_layers + 1) * self.hidden_size


@dataclass(frozen=True, kw_only=True)
class VisionDimensions:
    """A Pixtral vision tower and its projector, which merges `merge * merge` patches into one token."""

    hidden_size: int
    num_layers: int
    intermediate_size: int
    patch_size: int = 14
    merge: int = 2

    @property
    def linears(self) -> int:
        """Parameters of the tower's attention and MLP."""
        return self.num_layers * (4 * self.hidden_size**2 + 3 * self.hidden_size * self.intermediate_size)

    def rest(self, text_hidden_size: int) -> int:
        """Return the parameters of the norms, the patch convolution and the projector."""
        norms = (2 * self.num_layers + 1) * self.hidden_size
        convolution = 3 * self.patch_size**2 * self.hidden_size
        projector = (
            self.hidden_size
            + (self.merge * self.hidden_size) * (self.merge * self.hidden_size)
            + self.hidden_size * text_hidden_size
            + text_hidden_size**2
        )
        return norms + convolution + projector


@dataclass(frozen=True, kw_only=True)
class LatentExpertsDimensions:
    """A decoder with multi-head latent attention and a mixture of experts in each layer, as Mistral Small 4 is."""

    hidden_size: int
    num_layers: int
    num_heads: int
    q_rank: int
    kv_rank: int
    rope_size: int
    """Numbers of a head that are rotated."""
    plain_size: int
    """Numbers of a head's query and key that are not rotated."""
    value_size: int
    expert_size: int
    """Intermediate size of one expert."""
    experts: Experts
    vocab_size: int

    def weight_bytes(self, vision: VisionDimensions) -> WeightBytes:
        """Calculate the bytes in FP8; embedding, output matrix, routers, norms and vision tower stay BF16.

        An engine splits experts and what belongs to heads; the projections to the ranks and the routers are whole on
        every GPU (vLLM 0.32.0, model_executor/layers/mla.py and models/deepseek_v2.py).
        """
        heads, ranks = self.num_heads, self.q_rank + self.kv_rank
        by_head = self.q_rank * heads * (self.plain_size + self.rope_size)
        by_head += self.kv_rank * heads * (self.plain_size + self.value_size)
        by_head += heads * self.value_size * self.hidden_size
        expert = 3 * self.hidden_size * self.expert_size
        split = by_head + (self.experts.routed + self.experts.shared) * expert
        whole = self.hidden_size * (ranks + self.rope_size)
        small = self.hidden_size * self.experts.routed + 2 * self.hidden_size + ranks
        embeddings = 2 * self.vocab_size * self.hidden_size
        return WeightBytes(
            sharded=self.num_layers * split * _FP8 + embeddings * _BF16,
            replicated=self.num_layers * (whole * _FP8 + small * _BF16) + self.hidden_size * _BF16,
            vision_sharded=vision.linears * _BF16,
            vision_replicated=vision.rest(self.hidden_size) * _BF16,
        )


def weight_bytes(
    text: TextDimensions, vision: VisionDimensions | None = None, *, fp8: bool = False, scale_bytes: int = 0
) -> WeightBytes:
    """Calculate the bytes of a checkpoint.

    Args:
        text: the language model.
        vision: the vision tower. None means that the model takes no images.
        fp8: True means one byte per parameter in the language model's matrices; all else stays BF16.
        scale_bytes: bytes of the scales that belong to FP8 matrices.
    """
    linear = _FP8 if fp8 else _BF16
    return WeightBytes(
        sharded=text.linears * linear + text.embeddings * _BF16,
        replicated=text.norms * _BF16 + scale_bytes,
        kv_projections=text.kv_projections * linear,
        vision_sharded=vision.linears * _BF16 if vision else 0,
        vision_replicated=vision.rest(text.hidden_size) * _BF16 if vision else 0,
    )
