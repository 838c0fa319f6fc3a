"""The pocket model's draft for speculative decoding, computed as vLLM runs an EAGLE draft; torch is a parameter.

What vLLM computes (vLLM 0.32.0, model_executor/models/mistral_eagle.py and v1/spec_decode/llm_base_proposer.py):

    a draft is one layer of a Mistral model, with `attention_norm`, `ffn_norm`, the final `norm` and the usual rotary
    its input at position t: eagle_linear([embedding of token t+1 ; state of t]), embedding first, no norm, no bias
    its output at position t, after `norm`, predicts the target's state at t+1, from which token t+2 is decoded
    embedding and output matrix are the target's own and not in the draft's file
    the target's state is the one after its final `norm`, from which its own tokens are decoded
    the first token of a step is drafted from the target's state, each later one from the draft's own output; keys and
    values of all accepted tokens are then recomputed from the target's states
"""

import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

from pocket.network import PARAMS, SHAPE, Module, Tensor, Weights

STEPS = 3
"""Tokens per draft; vLLM is started with the same number."""

_LAYER = "layers.0."


def initial_draft(torch: Module, target: Weights) -> Weights:
    """Create the initial weights, named as in a draft's file: the target's last layer and final norm.

    Args:
        torch: the module.
        target: the pocket model's weights.
    """
    dim, last = SHAPE["dim"], f"layers.{SHAPE['n_layers'] - 1}."
    draft = {f"{_LAYER}{name.removeprefix(last)}": w for name, w in target.items() if name.startswith(last)}
    draft["norm.weight"] = norm = target["norm.weight"]
    # The state is taken after the final norm; start close to the layer's usual input.
    joined = torch.cat((torch.eye(dim), torch.eye(dim)), 1).to(norm.device)
    draft["eagle_linear.weight"] = joined + torch.randn_like(joined) * dim**-0.5 / 4
    return {name: weight.detach().float().clone().requires_grad_() for name, weight in draft.items()}


def draft_forward(
    torch: Module,
    functional: Module,
    draft: Weights,
    embedding: Tensor,
    tokens: Tensor,
    states: Tensor,
    anchors: Tensor,
) -> list[Tensor]:
    """Draft `STEPS` tokens after each anchor; return the states from which they are decoded.

    Later steps use the conversation's token, not the drafted one: where the two differ, nothing is accepted.

    Args:
        torch: the module.
        functional: torch.nn.functional.
        draft: the draft's weights.
        embedding: the target's `tok_embeddings.weight`.
        tokens: (rows, columns).
        states: (rows, columns, dim): the target's states after its final norm.
        anchors: (rows, any number): columns of the last tokens that the target has processed. The token after an anchor
            is known too: the target has just generated it.

    Returns:
        One tensor (rows, number of anchors, dim) per step: for step s, counted from 1, the prediction of the target's
        state at column anchor + s, from which the token at anchor + s + 1 is drafted.
    """
    columns = torch.arange(tokens.shape[1] - 1, device=tokens.device)
    layer = _Layer(torch, functional, draft, hidden=columns > anchors[:, None, :, None])
    embedded = functional.embedding(tokens, embedding)
    whole = layer.joined(embedded[:, 1:], states[:, :-1])
    layer.cache(whole, columns)
    h, found = at_columns(torch, whole, anchors), list[Tensor]()
    for step in range(1, STEPS + 1):
        at = anchors + step - 1
        if step > 1:
            h = layer.joined(at_columns(torch, embedded, (at + 1).clamp(max=tokens.shape[1] - 1)), found[-1])
            layer.cache(h, at[:, None])
        found.append(layer(h, at[:, None]))
    return found


def save_draft(torch: Module, draft: Weights, folder: Path) -> None:
    """Write params.json and consolidated.safetensors (bfloat16); vLLM takes the rest from the target.

    Args:
        torch: the module.
        draft: the draft's weights.
        folder: created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: weight.detach().to(torch.bfloat16).contiguous().cpu() for name, weight in draft.items()}
    import_module("safetensors.torch").save_file(
        tensors, folder / "consolidated.safetensors", metadata={"format": "pt"}
    )
    (folder / "params.json").write_text(json.dumps(draft_params(), indent=2) + "\n", encoding="utf-8")


def draft_params() -> dict[str, Any]:
    """Return the content of the draft's params.json: the target's, with one layer."""
    return {**PARAMS, "n_layers": 1}


def at_columns(torch: Module, values: Tensor, columns: Tensor) -> Tensor:
    """Select the vectors at these columns of each row."""
    return torch.take_along_dim(values, columns[..., None], 1)


class _Layer:
    """The draft's layer with its key-value cache."""

    def __init__(self, torch: Module, functional: Module, draft: Weights, *, hidden: Tensor) -> None:
        """Start with an empty cache; `hidden` (rows, 1, anchors, columns) masks the columns after each anchor."""
        self._torch, self._functional, self._draft, self._hidden = torch, functional, draft, hidden
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def joined(self, embedded: Tensor, states: Tensor) -> Tensor:
        """Compute the layer's input from tokens and states."""
        both = self._torch.cat((embedded.float(), states.float()), -1)
        return self._functional.linear(both, self._draft["eagle_linear.weight"]).float()

    def cache(self, h: Tensor, at: Tensor) -> None:
        """Cache keys and values: first those of all columns, then at each step those of the anchors' own drafts."""
        y = self._norm(h, f"{_LAYER}attention_norm.weight")
        self._keys.append(self._rotated(self._heads(y, "wk"), at))
        self._values.append(self._heads(y, "wv"))

    def __call__(self, h: Tensor, at: Tensor) -> Tensor:
        """Run the layer at the anchors."""
        f, d = self._functional, self._draft
        h = h + self._attention(self._norm(h, f"{_LAYER}attention_norm.weight"), at)
        y = self._norm(h, f"{_LAYER}ffn_norm.weight")
        gate = f.silu(f.linear(y, d[f"{_LAYER}feed_forward.w1.weight"]))
        h = h + f.linear(gate * f.linear(y, d[f"{_LAYER}feed_forward.w3.weight"]), d[f"{_LAYER}feed_forward.w2.weight"])
        return self._norm(h, "norm.weight")

    def _attention(self, y: Tensor, at: Tensor) -> Tensor:
        torch = self._torch
        query = self._rotated(self._heads(y, "wq"), at) * SHAPE["head_dim"] ** -0.5
        seen = (query @ self._keys[0].transpose(-1, -2)).float().masked_fill(self._hidden, -math.inf)
        # An anchor's earlier draft steps are visible only from that anchor: one key each, not a matrix.
        own = [(query * key).sum(-1, keepdim=True).float() for key in self._keys[1:]]
        share = torch.cat((seen, *own), -1).softmax(-1)
        found = share[..., : seen.shape[-1]].to(query.dtype) @ self._values[0]
        for place, value in enumerate(self._values[1:], seen.shape[-1]):
            found = found + share[..., place, None] * value
        found = found.transpose(1, 2).flatten(-2)
        return self._functional.linear(found, self._draft[f"{_LAYER}attention.wo.weight"])

    def _heads(self, y: Tensor, name: str) -> Tensor:
        projected = self._functional.linear(y, self._draft[f"{_LAYER}attention.{name}.weight"])
        return projected.view(*y.shape[:2], SHAPE["n_heads"], SHAPE["head_dim"]).transpose(1, 2)

    def _rotated(self, heads: Tensor, at: Tensor) -> Tensor:
        """Apply the rotary embedding; `at` is the position: (columns,) or (rows, 1, anchors)."""
        size = SHAPE["head_dim"]
        turns = 1.0 / PARAMS["rope_theta"] ** (self._torch.arange(0, size, 2, device=at.device).float() / size)
        angle = at.float()[..., None] * turns
        cos, sin = angle.cos(), angle.sin()
        even, odd = heads.float()[..., 0::2], heads.float()[..., 1::2]
        turned = (even * cos - odd * sin, even * sin + odd * cos)
        return self._torch.stack(turned, -1).flatten(-2).to(heads.dtype)

    def _norm(self, h: Tensor, name: str) -> Tensor:
        return self._functional.rms_norm(h.float(), (h.shape[-1],), self._draft[name], PARAMS["norm_eps"])
