"""Read a model's dimensions from its params.json or config.json; refuses what is not dense with full attention."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import EngineError
from .dimensions import TextDimensions, VisionDimensions
from .models import WeightFormat


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model's configuration says of its shape."""

    path: Path
    text: TextDimensions
    vision: "Part | None"
    """The vision tower's, not yet read: each family spells it differently. None: it sees no images."""
    max_position: int
    """Tokens."""
    announced: WeightFormat | None
    """The format of the matrices. None: one of which only the weights themselves tell the bytes."""

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
    whole = Part(path, _json_object(path))
    text = whole.part("text_config") or whole
    _refuse_what_cannot_be_counted(path, text)
    multimodal = whole.part("multimodal")
    hidden, heads = text.number("dim", "hidden_size"), text.number("n_heads", "num_attention_heads")
    tied = [part.get(key) for part in (text, whole) for key in ("tied_embeddings", "tie_word_embeddings")]
    return ModelConfig(
        path=path,
        text=TextDimensions(
            hidden_size=hidden,
            num_layers=text.number("n_layers", "num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=text.number("n_kv_heads", "num_key_value_heads", default=heads),
            head_dim=text.number("head_dim", default=hidden // heads),
            intermediate_size=text.number("hidden_dim", "intermediate_size"),
            vocab_size=text.number("vocab_size"),
            tied_embeddings=bool(next((said for said in tied if said is not None), False)),
        ),
        vision=whole.part("vision_config", "vision_encoder")
        or (multimodal.part("vision_encoder_args") if multimodal else None),
        # 128,000 is what vLLM takes where params.json has none: transformers_utils/config.py, 0.32.0.
        max_position=text.number(
            "max_position_embeddings", "max_seq_len", default=128_000 if path.name == _MISTRAL else None
        ),
        announced=_announced(whole.part("quantization", "quantization_config")),
    )


def read_vision(part: "Part") -> VisionDimensions:
    """Read a vision tower's dimensions.

    Raises:
        EngineError: it is not spelt as Mistral's are.
    """
    return VisionDimensions(
        hidden_size=part.number("hidden_size"),
        num_layers=part.number("num_hidden_layers"),
        intermediate_size=part.number("intermediate_size"),
        patch_size=part.number("patch_size", default=14),
        merge=part.number("spatial_merge_size", default=2),
    )


class Part:
    """One JSON object of a configuration, of which values are taken by either format's key."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        """Hold what stands in the file at `path`."""
        self._path = path
        self._values = values

    def get(self, key: str) -> object:
        """Take a value as it is; None: it is not there."""
        return self._values.get(key)

    def names(self, beginnings: tuple[str, ...]) -> bool:
        """Tell whether there is a key with one of these beginnings."""
        return any(key.startswith(beginnings) for key in self._values)

    def part(self, *keys: str) -> "Part | None":
        """Take the first of these objects that is there.

        Raises:
            EngineError: it is no object.
        """
        key = next((key for key in keys if self._values.get(key)), None)
        if key is None:
            return None
        found: Any = self._values[key]
        if not isinstance(found, dict):
            raise _unreadable(self._path, f"`{key}` is {found!r}; an object is needed")
        return Part(self._path, cast("Mapping[str, Any]", found))

    def number(self, *keys: str, default: int | None = None) -> int:
        """Take the first of these numbers that is there.

        Raises:
            EngineError: it is no number above 0, or none is there and there is no default.
        """
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


# Layers with a state in place of keys and values: Mamba's, as Nemotron-H, Falcon-H1 and Jamba mix them in.
_STATE = ("mamba_", "ssm_", "hybrid_override_pattern")


def _refuse_what_cannot_be_counted(path: Path, text: Part) -> None:
    """Refuse what would be planned wrongly: experts, latent attention, layers that see a part of the context."""
    if text.get("moe") or any(text.get(key) not in (None, 0, 1) for key in _EXPERTS):
        raise _not_counted(path, "It has experts")
    if text.get("kv_lora_rank") or text.get("qk_nope_head_dim"):
        raise _not_counted(path, "Its attention keeps latent vectors")
    window = text.get("sliding_window") and text.get("use_sliding_window") in (None, True)
    layers: Any = text.get("layer_types") or []
    whole = isinstance(layers, list) and set(map(str, cast("list[object]", layers))) <= {"full_attention"}
    if window or not whole or text.names(_STATE):
        raise _not_counted(path, "Not all of its layers attend to the whole context")


def _announced(quantization: Part | None) -> WeightFormat | None:
    if quantization is None:
        return "bf16"
    fp8 = quantization.get("qformat_weight") == "fp8_e4m3" or quantization.get("quant_method") == "fp8"
    return "fp8" if fp8 else None


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
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
