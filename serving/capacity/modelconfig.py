"""Read a model's dimensions from its params.json or config.json; refuses what is not dense with full attention."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import EngineError
from .dimensions import TextDimensions, VisionDimensions


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model's configuration says of its shape."""

    path: Path
    text: TextDimensions
    vision: VisionDimensions | None
    """None: it sees no images."""
    max_position: int
    """Tokens."""
    fp8: bool
    """True: it announces FP8 matrices."""

    @property
    def mistral_format(self) -> bool:
        """True: params.json, and so consolidated*.safetensors."""
        return self.path.name == _MISTRAL


def read_config(folder: Path) -> ModelConfig:
    """Read params.json, or config.json where there is none, which is the order of vLLM's `auto`.

    Raises:
        EngineError: there is none, it cannot be read, or the model is not of the kind that a plan can count.
    """
    path = next((folder / name for name in (_MISTRAL, _HUGGING_FACE) if (folder / name).is_file()), None)
    if path is None:
        raise EngineError(
            f"The folder {str(folder)!r} holds no model.",
            cause=f"It has neither {_MISTRAL} nor {_HUGGING_FACE}.",
            do="Give the folder that the model was downloaded to, or its name on the Hugging Face Hub.",
        )
    whole = _json_object(path)
    text = cast("Mapping[str, Any]", whole.get("text_config") or whole)
    _refuse_what_cannot_be_counted(path, text)
    reader = _Reader(path, text)
    vision = whole.get("vision_config") or whole.get("vision_encoder") or _nested_vision(whole)
    quantization = cast("Mapping[str, Any]", whole.get("quantization") or whole.get("quantization_config") or {})
    hidden, heads = reader.number("dim", "hidden_size"), reader.number("n_heads", "num_attention_heads")
    return ModelConfig(
        path=path,
        text=TextDimensions(
            hidden_size=hidden,
            num_layers=reader.number("n_layers", "num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=reader.number("n_kv_heads", "num_key_value_heads", default=heads),
            head_dim=reader.number("head_dim", default=hidden // heads),
            intermediate_size=reader.number("hidden_dim", "intermediate_size"),
            vocab_size=reader.number("vocab_size"),
            tied_embeddings=bool(text.get("tied_embeddings") or whole.get("tie_word_embeddings")),
        ),
        vision=_vision(path, cast("Mapping[str, Any]", vision)) if vision else None,
        # 128,000 is what vLLM takes where params.json has none: transformers_utils/config.py, 0.32.0.
        max_position=reader.number("max_position_embeddings", "max_seq_len", default=128_000),
        fp8=quantization.get("qformat_weight") == "fp8_e4m3" or quantization.get("quant_method") == "fp8",
    )


class _Reader:
    """Takes numbers from one JSON object by either format's key."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path = path
        self._values = values

    def number(self, *keys: str, default: int | None = None) -> int:
        found: Any = next((self._values[key] for key in keys if self._values.get(key) is not None), default)
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            said = "is missing" if found is None else f"is {found!r}"
            raise _unreadable(
                self._path, f"{' or '.join(f'`{key}`' for key in keys)} {said}; a positive number is needed"
            )
        return found


_MISTRAL = "params.json"
_HUGGING_FACE = "config.json"

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


def _refuse_what_cannot_be_counted(path: Path, text: Mapping[str, Any]) -> None:
    """Refuse what would be planned wrongly: experts, latent attention, layers that see a part of the context."""
    layers = set(cast("list[str]", text.get("layer_types") or []))
    if text.get("moe") or any((text.get(key) or 0) > 1 for key in _EXPERTS):
        raise _not_counted(path, "It has experts")
    if text.get("kv_lora_rank") or text.get("qk_nope_head_dim"):
        raise _not_counted(path, "Its attention keeps latent vectors")
    if (text.get("sliding_window") and text.get("use_sliding_window", True)) or layers - {"full_attention"}:
        raise _not_counted(path, "Not all of its layers attend to the whole context")


def _nested_vision(whole: Mapping[str, Any]) -> object:
    inner: Any = whole.get("multimodal")
    return cast("Mapping[str, Any]", inner).get("vision_encoder_args") if isinstance(inner, dict) else None


def _vision(path: Path, values: Mapping[str, Any]) -> VisionDimensions:
    reader = _Reader(path, values)
    return VisionDimensions(
        hidden_size=reader.number("hidden_size"),
        num_layers=reader.number("num_hidden_layers"),
        intermediate_size=reader.number("intermediate_size"),
        patch_size=reader.number("patch_size", default=14),
        merge=reader.number("spatial_merge_size", default=2),
    )


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(found, dict):
        raise _unreadable(path, f"it holds a {type(found).__name__}, not an object")
    return cast("Mapping[str, Any]", found)


def _unreadable(path: Path, cause: str) -> EngineError:
    return EngineError(
        f"{path} does not describe a model that can be planned.",
        cause=cause + ".",
        do="Download the file again, or give the name of a known model.",
    )


def _not_counted(path: Path, cause: str) -> EngineError:
    return EngineError(
        f"{path} describes a model that is not planned.",
        cause=cause + "; a plan counts dense models with full attention only, and would be wrong here.",
        do="Start the engine without a plan: it says itself how many tokens its KV cache holds.",
    )
