"""Read the shape of a dense model or a draft, and the exact bytes of its weights, from its folder; loads no weights."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from ..errors import EngineError
from .dimensions import TextDimensions, weight_bytes
from .model_config import ModelConfig, read_config, read_vision
from .models import DraftShape, ModelShape, WeightBytes, WeightFormat
from .safetensors import Tensor, read_tensors


def read_model(folder: Path) -> ModelShape:
    """Read a model's configuration, and the headers of its safetensors files if there are any.

    The name is the absolute path, because an engine runs in another folder and measured starts are looked up by name.

    Raises:
        EngineError: the folder holds no dense model whose layers all attend to the whole context.
    """
    folder = folder.resolve()
    config = read_config(folder)
    tensors = read_tensors(_weight_files(folder, config))
    text = config.text
    if tensors:
        weight_format = _format_of(folder, tensors, text)
        loaded = [tensor for tensor in tensors if not (text.tied_embeddings and _is_output(tensor.name))]
        weights, source = _sum(loaded), f"{config.path.name} and the headers of the safetensors files in {folder}"
    else:
        weight_format = _declared_format(config)
        vision = read_vision(config.vision) if config.vision else None
        weights = weight_bytes(text, vision, fp8=weight_format == "fp8")
        source = f"{config.path}; no weight files, so the bytes are counted from the dimensions"
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
    """Read an EAGLE-type draft model.

    Args:
        folder: the draft's folder.
        model: the model that the draft proposes tokens for.

    Raises:
        EngineError: the folder holds no draft, or its KV cache has another shape than the model's.
    """
    if not folder.is_dir():
        raise EngineError(
            f"The draft folder {str(folder)!r} does not exist.",
            cause="",
            do="Give `eagle` for the published draft of the model, or the folder of a draft.",
        )
    folder = folder.resolve()
    config = read_config(folder)
    text = config.text
    if (text.num_kv_heads, text.head_dim) != (model.num_kv_heads, model.head_dim):
        raise EngineError(
            f"The draft {str(folder)!r} cannot be planned for {model.title}.",
            cause=f"It has {text.num_kv_heads} KV heads of size {text.head_dim}, the model has {model.num_kv_heads} of "
            f"size {model.head_dim}; a plan covers only drafts whose keys and values are as large as the model's.",
            do="Give a draft that was made for this model, or omit --draft.",
        )
    tensors = read_tensors(_weight_files(folder, config))
    if tensors:
        # The target's embedding and output matrix are used, even if the draft's file has copies.
        weights = _sum([tensor for tensor in tensors if not (_is_output(tensor.name) or _is_embedding(tensor.name))])
    else:
        fp8 = _declared_format(config) == "fp8"
        layers = weight_bytes(text, fp8=fp8)
        input_projection = 2 * text.hidden_size**2 * (1 if fp8 else 2)
        shared = text.embeddings * 2
        weights = WeightBytes(
            sharded=layers.sharded - shared + input_projection,
            replicated=layers.replicated,
            kv_projections=layers.kv_projections,
        )
    return DraftShape(
        name=str(folder),
        num_layers=text.num_layers,
        weights=weights,
        num_speculative_tokens=3,  # as for the published drafts
        max_model_len=config.max_position,
    )


_VISION = ("vision_", "patch_merger", "pre_mm_projector", "multi_modal_projector", "visual.")
_PROJECTOR = ("vision_language_adapter", "patch_merger", "pre_mm_projector", "multi_modal_projector")
_KEYS_AND_VALUES = (".wk.", ".wv.", ".k_proj.", ".v_proj.")


def _weight_files(folder: Path, config: ModelConfig) -> list[Path]:
    """Return the weight files of the configuration's layout; a repository may hold the weights in both layouts."""
    consolidated = sorted(folder.glob("consolidated*.safetensors"))
    others = sorted(set(folder.glob("*.safetensors")) - set(consolidated))
    files = consolidated if config.mistral_format else others
    present = {path.name for path in files}
    indexed = _files_in_index(folder, config)
    for missing in sorted((indexed or _numbered_files(present)) - present):
        source = "the index lists it" if indexed else "the numbering of the other files includes it"
        raise EngineError(
            f"The weights in {str(folder)!r} are incomplete.",
            cause=f"{missing} is missing, but {source}.",
            do="Download the folder again; files that are already there are kept.",
        )
    # Files outside the index may be an adapter, or the same weights in another precision.
    return [path for path in files if not indexed or path.name in indexed]


def _numbered_files(names: Collection[str]) -> set[str]:
    """Return all the files that the numbering of these files implies."""
    parts = [found for name in names if (found := _PART.fullmatch(name))]
    return {
        f"{found['before']}{number:0{len(found['number'])}}-of-{found['count']}.safetensors"
        for found in parts
        for number in range(1, int(found["count"]) + 1)
    }


_PART = re.compile(r"(?P<before>.*-)(?P<number>\d+)-of-(?P<count>\d{1,5})\.safetensors")


def _files_in_index(folder: Path, config: ModelConfig) -> set[str]:
    index = folder / ("consolidated" if config.mistral_format else "model")
    path = index.with_name(index.name + ".safetensors.index.json")
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(name) for name in found["weight_map"].values()}
    except FileNotFoundError:
        return set()  # a single file needs no index
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError(
            f"{path} is not a valid weight index.", cause=f"{type(error).__name__}: {error}.", do="Download it again."
        ) from error


def _format_of(folder: Path, tensors: Sequence[Tensor], text: TextDimensions) -> WeightFormat:
    """Return the format of most bytes; what is packed into integers is told apart by the bytes per parameter."""
    by_type: dict[str, int] = {}
    for tensor in tensors:
        if not _is_vision(tensor.name):
            by_type[tensor.dtype] = by_type.get(tensor.dtype, 0) + tensor.num_bytes
    # A small model has more bytes in its embedding than in packed matrices.
    packed = {dtype: size for dtype, size in by_type.items() if dtype in _PACKED and 5 * size > text.linears}
    if packed:
        dtype = max(packed, key=lambda dtype: packed[dtype])
        wide = packed[dtype] > text.linears * 3 // 4
        return "int8" if wide else _PACKED[dtype]
    most = max(by_type, key=lambda dtype: by_type[dtype], default="BF16")
    if most.startswith("F8_E4M3"):
        return "fp8"
    if most in ("BF16", "F16", "F32"):
        return "bf16"
    raise EngineError(
        f"The weights in {str(folder)!r} are stored as {most}.",
        cause="A plan covers FP8, BF16, NVFP4 and what AWQ, GPTQ and compressed-tensors pack into integers.",
        do="Start the engine without a plan; it prints how many tokens its KV cache holds.",
    )


# Two FP4 numbers in a byte (NVFP4, MXFP4), four or eight integers in a word (GPTQ, AWQ), or one in a byte.
_PACKED: Mapping[str, WeightFormat] = {"U8": "fp4", "I32": "int4", "I8": "int8"}


def _declared_format(config: ModelConfig) -> WeightFormat:
    if config.weight_format is None:
        raise EngineError(
            f"The size of the weights that {config.path} describes is not known.",
            cause="They are quantised to another format than plain FP8, and there are no weight files to read.",
            do="Download the weights; a plan reads their bytes from the files' headers.",
        )
    return config.weight_format


def _sum(tensors: Sequence[Tensor]) -> WeightBytes:
    """Add up what an engine splits and what it replicates; the order of the conditions matters."""
    sharded = replicated = keys_and_values = vision_sharded = vision_replicated = 0
    for tensor in tensors:
        size = _loaded_bytes(tensor)
        if _is_vision(tensor.name):
            # The tower's matrices are split; its norms, its convolution and the projector are replicated.
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
    """Return a tensor's bytes once loaded: FP32 matrices are converted to two bytes per number, scales are not."""
    stored_wide = tensor.dtype == "F32" and len(tensor.shape) > 1 and "scale" not in tensor.name
    return 2 * prod(tensor.shape) if stored_wide else tensor.num_bytes


def _is_vision(name: str) -> bool:
    return any(part in name for part in _VISION)


def _is_embedding(name: str) -> bool:
    return name.endswith(("tok_embeddings.weight", "embed_tokens.weight"))


def _is_output(name: str) -> bool:
    return name.endswith("lm_head.weight") or name == "output.weight"
