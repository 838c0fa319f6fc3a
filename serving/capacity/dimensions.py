"""Count a Mistral-type model's parameters from its dimensions, and their bytes in each format; pure arithmetic."""

from dataclasses import dataclass

from .models import WeightBytes

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
