"""Read a dense model, or a draft, from its own folder: its shape, and the exact bytes of its weights; loads none."""

import json
import re
from collections.abc import Collection, Sequence
from math import prod
from pathlib import Path
from typing import Any

from ..errors import EngineError
from .dimensions import weight_bytes
from .model_config import ModelConfig, read_config, read_vision
from .models import DraftShape, ModelShape, WeightBytes, WeightFormat
from .safetensors import Tensor, read_tensors


def read_model(folder: Path) -> ModelShape:
    """Read a model's configuration, and the headers of its safetensors files if there are any.

    Its name is the whole path: an engine starts in another folder, and a measured start is found again by it.

    Raises:
        EngineError: it is no folder of a dense model whose layers all attend to the whole context.
    """
    folder = folder.resolve()
    config = read_config(folder)
    tensors = read_tensors(_weight_files(folder, config))
    text = config.text
    if tensors:
        weight_format = _format_of(folder, tensors)
        kept = [tensor for tensor in tensors if not (text.tied_embeddings and _is_output(tensor.name))]
        weights, source = _sum(kept), f"{config.path.name} and the headers of the safetensors files in {folder}"
    else:
        weight_format = _announced(config)
        vision = read_vision(config.vision) if config.vision else None
        weights = weight_bytes(text, vision, fp8=weight_format == "fp8")
        source = f"{config.path}; no weights are there, so their bytes are counted from the dimensions"
    return ModelShape(
        name=str(folder),
        title=folder.name,
        hidden_size=text.hidden_size,
        num_layers=text.num_layers,
        num_heads=text.num_heads,
        num_kv_heads=text.num_kv_heads,
        head_dim=text.head_dim,
        intermediate_size=text.intermediate_size,
        vocab_size=text.vocab_size,
        max_position=config.max_position,
        weights={weight_format: weights},
        sees_images=config.vision is not None,
        source=source,
    )


def read_draft(folder: Path, model: ModelShape) -> DraftShape:
    """Read a draft model of the EAGLE kind.

    Args:
        folder: where it is.
        model: for which it proposes.

    Raises:
        EngineError: it is no folder of a draft, or of one whose KV cache has another shape than the model's.
    """
    if not folder.is_dir():
        raise EngineError(
            f"There is no draft {str(folder)!r}.",
            cause="",
            do="Give `eagle` for the published draft of the model, or the folder of a draft.",
        )
    folder = folder.resolve()
    config = read_config(folder)
    text = config.text
    if (text.num_kv_heads, text.head_dim) != (model.num_kv_heads, model.head_dim):
        raise EngineError(
            f"The draft {str(folder)!r} is not planned beside {model.title}.",
            cause=f"Its layers keep {text.num_kv_heads} KV heads of {text.head_dim}, the model's {model.num_kv_heads} "
            f"of {model.head_dim}; a plan counts drafts whose keys and values are as large as the model's.",
            do="Give a draft that was made for this model, or leave --draft out.",
        )
    tensors = read_tensors(_weight_files(folder, config))
    if tensors:
        # Embedding and output matrix are the target's, even where the draft's file has a copy.
        weights = _sum([tensor for tensor in tensors if not (_is_output(tensor.name) or _is_embedding(tensor.name))])
    else:
        fp8 = _announced(config) == "fp8"
        own = weight_bytes(text, fp8=fp8)
        joined = 2 * text.hidden_size**2 * (1 if fp8 else 2)
        shared = text.embeddings * 2
        weights = WeightBytes(
            sharded=own.sharded - shared + joined, replicated=own.replicated, kv_projections=own.kv_projections
        )
    return DraftShape(
        name=str(folder),
        num_layers=text.num_layers,
        weights=weights,
        num_speculative_tokens=3,  # as the published drafts are started
        max_model_len=config.max_position,
    )


_VISION = ("vision_", "patch_merger", "pre_mm_projector", "multi_modal_projector", "visual.")
_PROJECTOR = ("vision_language_adapter", "patch_merger", "pre_mm_projector", "multi_modal_projector")
_KEYS_AND_VALUES = (".wk.", ".wv.", ".k_proj.", ".v_proj.")


def _weight_files(folder: Path, config: ModelConfig) -> list[Path]:
    """List the files of the layout that belongs to the configuration; a repository may hold the weights twice."""
    consolidated = sorted(folder.glob("consolidated*.safetensors"))
    others = sorted(set(folder.glob("*.safetensors")) - set(consolidated))
    files = consolidated if config.mistral_format else others
    here = {path.name for path in files}
    named = _named_by_index(folder, config)
    for missing in sorted((named or _numbered(here)) - here):
        raise EngineError(
            f"The weights in {str(folder)!r} are not complete.",
            cause=f"{missing} is not there, though {'the index names it' if named else 'the others count it'}.",
            do="Download the folder again; what is there already is kept.",
        )
    # Beside what the index names may lie an adapter, or the weights once more in another precision.
    return [path for path in files if not named or path.name in named]


def _numbered(names: Collection[str]) -> set[str]:
    """List the parts that belong to those that are here, by their numbers."""
    parts = [found for name in names if (found := _PART.fullmatch(name))]
    return {
        f"{found['before']}{number:0{len(found['number'])}}-of-{found['count']}.safetensors"
        for found in parts
        for number in range(1, int(found["count"]) + 1)
    }


_PART = re.compile(r"(?P<before>.*-)(?P<number>\d+)-of-(?P<count>\d{1,5})\.safetensors")


def _named_by_index(folder: Path, config: ModelConfig) -> set[str]:
    index = folder / ("consolidated" if config.mistral_format else "model")
    path = index.with_name(index.name + ".safetensors.index.json")
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(name) for name in found["weight_map"].values()}
    except FileNotFoundError:
        return set()  # one file needs no index
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError(
            f"{path} is no index of weights.", cause=f"{type(error).__name__}: {error}.", do="Download it again."
        ) from error


def _format_of(folder: Path, tensors: Sequence[Tensor]) -> WeightFormat:
    by_type: dict[str, int] = {}
    for tensor in tensors:
        if not _is_vision(tensor.name):
            by_type[tensor.dtype] = by_type.get(tensor.dtype, 0) + tensor.num_bytes
    most = max(by_type, key=lambda dtype: by_type[dtype], default="BF16")
    if most.startswith("F8_E4M3"):
        return "fp8"
    if most in ("BF16", "F16", "F32"):
        return "bf16"
    raise EngineError(
        f"The weights in {str(folder)!r} are {most}.",
        cause="A plan knows FP8 and BF16.",
        do="Start the engine without a plan: it says itself how many tokens its KV cache holds.",
    )


def _announced(config: ModelConfig) -> WeightFormat:
    if config.announced is None:
        raise EngineError(
            f"The weights that {config.path} describes cannot be counted.",
            cause="They are quantised, not to plain FP8, and none are there whose bytes could be read.",
            do="Download the weights: a plan reads their bytes from the headers.",
        )
    return config.announced


def _sum(tensors: Sequence[Tensor]) -> WeightBytes:
    """Add up what an engine splits and what it repeats; the order of the tests is the rule."""
    sharded = replicated = keys_and_values = vision_sharded = vision_replicated = 0
    for tensor in tensors:
        size = _loaded_bytes(tensor)
        if _is_vision(tensor.name):
            # Split are the tower's matrices; its norms and its convolution are whole, and so is the projector.
            if len(tensor.shape) == 2 and not any(word in tensor.name for word in _PROJECTOR):
                vision_sharded += size
            else:
                vision_replicated += size
        elif len(tensor.shape) < 2:
            replicated += size
        else:
            sharded += size
            if any(word in tensor.name for word in _KEYS_AND_VALUES):
                keys_and_values += size
    return WeightBytes(
        sharded=sharded,
        replicated=replicated,
        kv_projections=keys_and_values,
        vision_sharded=vision_sharded,
        vision_replicated=vision_replicated,
    )


def _loaded_bytes(tensor: Tensor) -> int:
    """Count a matrix stored in FP32 as the two bytes per number that an engine makes of it; scales stay as they are."""
    stored_wide = tensor.dtype == "F32" and len(tensor.shape) > 1 and "scale" not in tensor.name
    return 2 * prod(tensor.shape) if stored_wide else tensor.num_bytes


def _is_vision(name: str) -> bool:
    return any(part in name for part in _VISION)


def _is_embedding(name: str) -> bool:
    return name.endswith(("tok_embeddings.weight", "embed_tokens.weight"))


def _is_output(name: str) -> bool:
    return name.endswith("lm_head.weight") or name == "output.weight"
