"""Read a model's dimensions from its params.json or config.json; refuses all but dense models with full attention."""

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
    """The shape of a model as its configuration declares it."""

    path: Path
    text: TextDimensions
    vision: "Part | None"
    """The vision tower's object, not parsed because each family spells it differently. None means no image input."""
    max_position: int
    """Tokens of the longest context."""
    weight_format: WeightFormat | None
    """The format of the matrices. None means another format, whose bytes only the weight files show."""

    @property
    def mistral_format(self) -> bool:
        """True means params.json, which goes with consolidated*.safetensors."""
        return self.path.name == _MISTRAL


def read_config(folder: Path) -> ModelConfig:
    """Read params.json, or config.json if there is none, in the order of vLLM's `auto`.

    Raises:
        EngineError: there is neither, it cannot be read, or the model is not of a kind that can be planned.
    """
    path = next((folder / name for name in (_MISTRAL, _HUGGING_FACE) if (folder / name).is_file()), None)
    if path is None:
        raise EngineError(
            f"The folder {str(folder)!r} contains no model.",
            cause=f"It has neither {_MISTRAL} nor {_HUGGING_FACE}.",
            do="Give the folder that the model was downloaded to, or its Hugging Face Hub name.",
        )
    whole = Part(path, _json_object(path))
    text = whole.part("text_config") or whole
    _refuse_unsupported(path, text)
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
            tied_embeddings=bool(next((value for value in tied if value is not None), False)),
        ),
        vision=whole.part("vision_config", "vision_encoder")
        or (multimodal.part("vision_encoder_args") if multimodal else None),
        # vLLM assumes 128,000 if params.json has no value: transformers_utils/config.py, 0.32.0.
        max_position=text.number(
            "max_position_embeddings", "max_seq_len", default=128_000 if path.name == _MISTRAL else None
        ),
        weight_format=_weight_format(whole.part("quantization", "quantization_config")),
    )


def read_vision(part: "Part") -> VisionDimensions:
    """Read a vision tower's dimensions.

    Raises:
        EngineError: its keys are not those of Mistral's models.
    """
    return VisionDimensions(
        hidden_size=part.number("hidden_size"),
        num_layers=part.number("num_hidden_layers"),
        intermediate_size=part.number("intermediate_size"),
        patch_size=part.number("patch_size", default=14),
        merge=part.number("spatial_merge_size", default=2),
    )


class Part:
    """One JSON object of a configuration; its values are looked up by either format's key."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        """Wrap an object from the file at `path`."""
        self._path = path
        self._values = values

    def get(self, key: str) -> object:
        """Return a value unchanged, or None if the key is missing."""
        return self._values.get(key)

    def has_key_starting_with(self, prefixes: tuple[str, ...]) -> bool:
        """Return whether any key has one of these prefixes."""
        return any(key.startswith(prefixes) for key in self._values)

    def part(self, *keys: str) -> "Part | None":
        """Return the first of these objects that is present and not empty, or None.

        Raises:
            EngineError: the value is not an object.
        """
        key = next((key for key in keys if self._values.get(key)), None)
        if key is None:
            return None
        found: Any = self._values[key]
        if not isinstance(found, dict):
            raise _unusable(self._path, f"`{key}` is {found!r}; expected an object")
        return Part(self._path, cast("Mapping[str, Any]", found))

    def number(self, *keys: str, default: int | None = None) -> int:
        """Return the first of these numbers that is present, else the default.

        Raises:
            EngineError: the value is not a whole number above 0, or is missing and has no default.
        """
        found: Any = next((self._values[key] for key in keys if self._values.get(key) is not None), default)
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            problem = "is missing" if found is None else f"is {found!r}"
            raise _unusable(
                self._path, f"{' or '.join(f'`{key}`' for key in keys)} {problem}; expected a whole number above 0"
            )
        return found


_MISTRAL = "params.json"
_HUGGING_FACE = "config.json"

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")

# Layers that keep a state instead of keys and values: Mamba layers, which Nemotron-H, Falcon-H1 and Jamba mix in, the
# linear attention of Qwen3-Next, Kimi Linear and MiniMax, and gated or recurrent blocks.
_STATE_KEY_PREFIXES = (
    "mamba_",
    "ssm_",
    "hybrid_override_pattern",
    "linear_attn",
    "linear_num_",
    "linear_key_",
    "linear_conv_",
    "lru_width",
    "attn_type_list",
)
# Every n-th layer attends to the whole context, the others do not; 1 means that all do.
_INTERVALS = ("full_attention_interval", "attn_layer_period", "global_attn_every_n_layers")


def _refuse_unsupported(path: Path, text: Part) -> None:
    """Refuse models whose plan would be wrong: experts, latent attention, layers that see only part of the context."""
    if text.get("moe") or any(text.get(key) not in (None, 0, 1) for key in _EXPERTS):
        raise _unsupported(path, "It is a mixture of experts")
    if text.get("kv_lora_rank") or text.get("qk_nope_head_dim"):
        raise _unsupported(path, "It uses latent attention")
    window = text.get("sliding_window") and text.get("use_sliding_window") in (None, True)
    layers: Any = text.get("layer_types") or []
    whole = isinstance(layers, list) and set(map(str, cast("list[object]", layers))) <= {"full_attention"}
    some = any(text.get(key) not in (None, 0, 1) for key in _INTERVALS)
    if window or some or not whole or text.has_key_starting_with(_STATE_KEY_PREFIXES):
        raise _unsupported(path, "Not all of its layers attend to the whole context")


def _weight_format(quantization: Part | None) -> WeightFormat | None:
    if quantization is None:
        return "bf16"
    fp8 = quantization.get("qformat_weight") == "fp8_e4m3" or quantization.get("quant_method") == "fp8"
    return "fp8" if fp8 else None


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unusable(path, str(error)) from error
    if not isinstance(found, dict):
        raise _unusable(path, f"it holds a {type(found).__name__}, not an object")
    return cast("Mapping[str, Any]", found)


def _unusable(path: Path, cause: str) -> EngineError:
    return EngineError(
        f"{path} is not a usable model configuration.",
        cause=cause + ".",
        do="Download the file again, or give the name of a known model.",
    )


def _unsupported(path: Path, cause: str) -> EngineError:
    return EngineError(
        f"{path} describes a model that cannot be planned.",
        cause=cause + "; a plan covers only dense models with full attention and would be wrong for it.",
        do="Start the engine without a plan; it prints how many tokens its KV cache holds.",
    )
