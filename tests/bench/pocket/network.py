"""The pocket model's network as plain functions; torch is a parameter and never imported here."""

import math
from typing import Any

from pocket.tekken import OWN_TOKENS, SPECIAL_TOKENS

Module = Any
"""torch or one of its modules; untyped, because torch is not imported here."""
Tensor = Any
Weights = dict[str, Tensor]
"""Tensors by their name in the checkpoint."""

SHAPE: dict[str, int] = {"dim": 256, "n_layers": 8, "head_dim": 32, "hidden_dim": 512, "n_heads": 8, "n_kv_heads": 8}
PARAMS: dict[str, Any] = {
    **SHAPE, "rope_theta": 1e6, "norm_eps": 1e-5, "vocab_size": OWN_TOKENS + SPECIAL_TOKENS, "tied_embeddings": False,
    "max_position_embeddings": 262144, "dtype": "bfloat16",
}  # fmt: skip


def initial_weights(torch: Module, device: str) -> Weights:
    """Create the initial weights, named and shaped as in Mistral's consolidated files."""
    dim, heads, size, inner, layers = (SHAPE[k] for k in ("dim", "n_heads", "head_dim", "hidden_dim", "n_layers"))
    shapes: dict[str, tuple[int, ...]] = {
        "tok_embeddings.weight": (PARAMS["vocab_size"], dim),
        "output.weight": (PARAMS["vocab_size"], dim),
        "norm.weight": (dim,),
    }
    for layer in range(layers):
        at = f"layers.{layer}."
        shapes |= {f"{at}attention.{w}.weight": (heads * size, dim) for w in ("wq", "wk", "wv")}
        shapes |= {
            f"{at}attention.wo.weight": (dim, heads * size),
            f"{at}attention_norm.weight": (dim,),
            f"{at}ffn_norm.weight": (dim,),
        }
        shapes |= {
            f"{at}feed_forward.w1.weight": (inner, dim),
            f"{at}feed_forward.w2.weight": (dim, inner),
            f"{at}feed_forward.w3.weight": (inner, dim),
        }
    weights: Weights = {}
    for name, shape in shapes.items():
        scale = (
            0.02 / math.sqrt(2 * layers)
            if name.endswith(("wo.weight", "w2.weight"))
            else 0.02
            if "emb" in name or "output" in name
            else dim**-0.5
        )
        weight = torch.ones(shape, device=device) if len(shape) == 1 else torch.randn(shape, device=device) * scale
        weights[name] = weight.requires_grad_()
    return weights


def forward(
    torch: Module, functional: Module, weights: Weights, x: Tensor, positions: Tensor | None = None
) -> Tensor:  # fmt: skip
    """Run the model of params.json in the layout of Mistral's consolidated files: rotary pairs are adjacent.

    Args:
        torch: the package.
        functional: its `nn.functional`.
        weights: all of them, by name.
        x: tokens (rows, columns).
        positions: of the tokens, in the same shape. None means from 0.
    """
    heads, size, eps = SHAPE["n_heads"], SHAPE["head_dim"], PARAMS["norm_eps"]
    rows, columns = x.shape
    turns = 1.0 / PARAMS["rope_theta"] ** (torch.arange(0, size, 2, device=x.device).float() / size)
    places = torch.arange(columns, device=x.device)[None] if positions is None else positions
    angle = places[:, None, :, None].float() * turns
    cos, sin = angle.cos(), angle.sin()

    def rotate(q: Tensor) -> Tensor:
        even, odd = q.float()[..., 0::2], q.float()[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(torch.bfloat16)

    def norm(h: Tensor, name: str) -> Tensor:
        return functional.rms_norm(h.float(), (h.shape[-1],), weights[name], eps)

    h = functional.embedding(x, weights["tok_embeddings.weight"])
    for layer in range(SHAPE["n_layers"]):
        at = f"layers.{layer}."
        y = norm(h, f"{at}attention_norm.weight")
        q, k, v = (
            functional.linear(y, weights[f"{at}attention.{w}.weight"]).view(rows, columns, heads, size).transpose(1, 2)
            for w in ("wq", "wk", "wv")
        )
        y = functional.scaled_dot_product_attention(rotate(q), rotate(k), v.to(torch.bfloat16), is_causal=True)
        h = h + functional.linear(
            y.transpose(1, 2).reshape(rows, columns, heads * size), weights[f"{at}attention.wo.weight"]
        )
        y = norm(h, f"{at}ffn_norm.weight")
        gate = functional.silu(functional.linear(y, weights[f"{at}feed_forward.w1.weight"]))
        h = h + functional.linear(
            gate * functional.linear(y, weights[f"{at}feed_forward.w3.weight"]), weights[f"{at}feed_forward.w2.weight"]
        )
    return norm(h, "norm.weight")


def spread(torch: Module, x: Tensor, longest: int) -> Tensor:
    """Return positions (rows, columns) with a gap at a random place in half of the rows, on average.

    This exposes the model to the distances of a conversation of `longest` tokens while it trains on short ones, as in
    PoSE (arXiv 2309.10400). Beyond the distances that it was trained on, the model outputs noise.
    """
    rows, columns = x.shape
    gap = torch.randint(0, max(1, longest - columns), (rows, 1), device=x.device)
    cut = torch.randint(0, columns, (rows, 1), device=x.device)
    at = torch.arange(columns, device=x.device).expand(rows, columns)
    here = (torch.rand(rows, 1, device=x.device) < 0.5) & (at >= cut)
    return at + torch.where(here, gap, 0)
