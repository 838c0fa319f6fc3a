"""Catalogue of the models that can be planned by name, with bytes counted from their dimensions; reads no file."""

from .dimensions import LatentExpertsDimensions, TextDimensions, VisionDimensions, weight_bytes
from .models import DraftShape, Experts, ModelShape, WeightBytes, WeightFormat

MEDIUM = "mistralai/Mistral-Medium-3.5-128B"
SMALL = "mistralai/Mistral-Small-3.2-24B-Instruct-2506"
SMALL_4 = "mistralai/Mistral-Small-4-119B-2603"

# Dimensions of Mistral Medium 3.5 128B: https://mstojkovictt.github.io/kernel-tutorials/mistral-medium-3.5/ (from the
# headers of its safetensors files, config.json and params.json), read 2026-11. The bytes counted from them equal the
# index file's total (133,605,834,656).
_MEDIUM_TEXT = TextDimensions(
    hidden_size=12288,
    num_layers=88,
    num_heads=96,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=28672,
    vocab_size=131072,
)
_MEDIUM_VISION = VisionDimensions(hidden_size=1664, num_layers=48, intermediate_size=8192)
# 88 layers * 7 matrices * (weight scale and activation scale), each a BF16 scalar.
_MEDIUM_SCALES = 88 * 7 * 2 * 2

# https://huggingface.co/mistralai/Mistral-Small-3.2-24B-Instruct-2506, config.json: 24,011,361,280 parameters.
_SMALL_TEXT = TextDimensions(
    hidden_size=5120,
    num_layers=40,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=32768,
    vocab_size=131072,
)
_SMALL_VISION = VisionDimensions(hidden_size=1024, num_layers=24, intermediate_size=4096)


# https://docs.nvidia.com/nemo/automodel/nemo-automodel/nemo_automodel/components/models/mistral4/configuration, read
# 2026-11. With the vision tower of the 24B these are 119.4 billion parameters, as published. FP8, 256k of context, two
# H200: https://recipes.vllm.ai/mistralai/Mistral-Small-4-119B-2603, read 2026-11.
_SMALL_4_TEXT = LatentExpertsDimensions(
    hidden_size=4096,
    num_layers=36,
    num_heads=32,
    q_rank=1024,
    kv_rank=256,
    rope_size=64,
    plain_size=64,
    value_size=128,
    expert_size=2048,
    experts=Experts(routed=128, chosen=4, shared=1),
    vocab_size=131072,
)

NOT_PLANNED = {
    "mistralai/mistral-large-4-1t-a52b": "It has sparse attention, and layers that share keys and values",
    "mistralai/mistral-large-3-675b-instruct-2512": "Its dimensions are not known here",
}
"""Models of the family that a plan would be wrong for, in lower case, and why."""


def known_models() -> tuple[ModelShape, ...]:
    """Return the models of the catalogue; the first is the default."""
    return (
        _shape(
            MEDIUM,
            "Mistral Medium 3.5 128B",
            _MEDIUM_TEXT,
            max_position=262144,
            weights={
                "fp8": weight_bytes(_MEDIUM_TEXT, _MEDIUM_VISION, fp8=True, scale_bytes=_MEDIUM_SCALES),
                "bf16": weight_bytes(_MEDIUM_TEXT, _MEDIUM_VISION),
            },
        ),
        _shape(
            SMALL,
            "Mistral Small 3.2 24B",
            _SMALL_TEXT,
            max_position=131072,
            weights={
                "bf16": weight_bytes(_SMALL_TEXT, _SMALL_VISION),
                "fp8": weight_bytes(_SMALL_TEXT, _SMALL_VISION, fp8=True),
            },
        ),
        ModelShape(
            name=SMALL_4,
            title="Mistral Small 4 119B",
            hidden_size=_SMALL_4_TEXT.hidden_size,
            num_layers=_SMALL_4_TEXT.num_layers,
            num_heads=_SMALL_4_TEXT.num_heads,
            num_kv_heads=_SMALL_4_TEXT.num_heads,
            head_dim=_SMALL_4_TEXT.plain_size + _SMALL_4_TEXT.rope_size,
            intermediate_size=_SMALL_4_TEXT.expert_size,
            vocab_size=_SMALL_4_TEXT.vocab_size,
            max_position=262144,
            weights={"fp8": _SMALL_4_TEXT.weight_bytes(_SMALL_VISION)},
            sees_images=True,
            experts=_SMALL_4_TEXT.experts,
            latent_size=_SMALL_4_TEXT.kv_rank + _SMALL_4_TEXT.rope_size,
            source=f"https://huggingface.co/{SMALL_4}, 2026-11",
        ),
    )


def draft_for(model: ModelShape) -> DraftShape | None:
    """Return the published draft of a model, or None if there is none."""
    if model.name != MEDIUM:
        return None
    return DraftShape(
        name="mistralai/Mistral-Medium-3.5-128B-EAGLE",
        num_layers=2,
        # Two layers of the target's dimensions and `eagle_linear` 24576 -> 12288, all FP8 and all split over the GPUs
        # (vLLM 0.32.0, model_executor/models/mistral_eagle.py); embedding and output matrix are shared with the target.
        weights=WeightBytes(
            sharded=_MEDIUM_TEXT.linears // 88 * 2 + 2 * 12288 * 12288,
            replicated=0,
            kv_projections=_MEDIUM_TEXT.kv_projections // 88 * 2,
        ),
        # Both as in its card: https://huggingface.co/mistralai/Mistral-Medium-3.5-128B-EAGLE, read 2026-11.
        num_speculative_tokens=3,
        max_model_len=65536,
    )


def _shape(
    name: str, title: str, text: TextDimensions, *, max_position: int, weights: dict[WeightFormat, WeightBytes]
) -> ModelShape:
    return ModelShape(
        name=name,
        title=title,
        hidden_size=text.hidden_size,
        num_layers=text.num_layers,
        num_heads=text.num_heads,
        num_kv_heads=text.num_kv_heads,
        head_dim=text.head_dim,
        intermediate_size=text.intermediate_size,
        vocab_size=text.vocab_size,
        max_position=max_position,
        weights=weights,
        sees_images=True,
        source=f"https://huggingface.co/{name}, 2026-11",
    )
