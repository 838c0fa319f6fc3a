"""Any dense model is read from its folder: exact bytes if weights are present, and an error for each broken folder."""

import json
import math
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from serving import EngineError
from serving.capacity.model_folder import read_draft, read_model
from serving.capacity.models import DraftShape, ModelShape, WeightBytes
from serving.capacity.planner import find_model, plan
from serving.capacity.sizing import PlanOptions
from serving.pocket import model_dir

SIZES = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "F32": 4, "U8": 1, "I8": 1, "I32": 4, "I64": 8}

PARAMS = {
    "dim": 64,
    "n_layers": 2,
    "head_dim": 16,
    "hidden_dim": 128,
    "n_heads": 4,
    "n_kv_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
}
CONFIG = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "head_dim": 16,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
}


def write_tensors(path: Path, tensors: dict[str, tuple[str, list[int]]], *, missing_bytes: int = 0) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        size = SIZES[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end - missing_bytes))


def folder(path: Path, config: dict[str, object], name: str = "params.json") -> Path:
    path.mkdir(exist_ok=True)
    (path / name).write_text(json.dumps(config))
    return path


MODEL = replace(find_model("pocket"), num_kv_heads=2, head_dim=16)
"""A model that a draft with the shape above can propose for."""


def error(path: Path) -> str:
    with pytest.raises(EngineError) as caught:
        read_model(path)
    return str(caught.value)


def test_the_pocket_model_is_read_to_the_byte():
    found = read_model(model_dir())
    file = model_dir() / "consolidated.safetensors"
    header = 8 + struct.unpack("<Q", file.read_bytes()[:8])[0]
    assert found == ModelShape(
        name=str(model_dir()),
        title="model",
        hidden_size=256,
        num_layers=8,
        num_heads=8,
        num_kv_heads=8,
        head_dim=32,
        intermediate_size=512,
        vocab_size=2048,
        max_position=262144,
        weights={"bf16": WeightBytes(sharded=12_582_912, replicated=8_704, kv_projections=2_097_152)},
        sees_images=False,
        source=f"params.json and the headers of the safetensors files in {model_dir()}",
    )
    assert found.weights["bf16"].total() == file.stat().st_size - header


def test_without_weights_the_bytes_are_counted_from_the_dimensions_and_the_source_says_so(tmp_path: Path):
    found = read_model(folder(tmp_path / "bare", PARAMS))
    attention = 64 * (64 + 64) + 2 * 64 * 32
    assert found.weights == {
        "bf16": WeightBytes(
            sharded=2 * (2 * (attention + 3 * 64 * 128) + 2 * 64 * 1000),
            replicated=2 * 5 * 64,
            kv_projections=2 * 2 * 2 * 64 * 32,
        )
    }
    path = tmp_path / "bare" / "params.json"
    assert found.source == f"{path}; no weight files, so the bytes are counted from the dimensions"


def test_an_fp8_checkpoint_with_vision_is_split_as_the_engine_splits_it(tmp_path: Path):
    vision = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 16}
    path = folder(tmp_path / "vl", PARAMS | {"vision_encoder": vision, "quantization": {"qformat_weight": "fp8_e4m3"}})
    write_tensors(
        path / "consolidated-00001-of-00002.safetensors",
        {
            "tok_embeddings.weight": ("BF16", [1000, 64]),
            "layers.0.attention.wk.weight": ("F8_E4M3", [3000, 64]),
            "layers.0.attention.wk.qscale_weight": ("BF16", []),
            "layers.0.attention_norm.weight": ("BF16", [64]),
        },
    )
    write_tensors(
        path / "consolidated-00002-of-00002.safetensors",
        {
            "vision_encoder.transformer.layers.0.attention.wq.weight": ("BF16", [8, 8]),
            "vision_encoder.patch_conv.weight": ("BF16", [8, 3, 14, 14]),
            "vision_encoder.ln_pre.weight": ("BF16", [8]),
            "vision_language_adapter.w_in.weight": ("BF16", [64, 8]),
            "patch_merger.merging_layer.weight": ("BF16", [8, 32]),
        },
    )
    # The other layout of the same weights is not counted.
    write_tensors(path / "model-00001-of-00001.safetensors", {"model.norm.weight": ("BF16", [64])})
    found = read_model(path)
    assert found.sees_images
    assert found.weights == {
        "fp8": WeightBytes(
            sharded=128_000 + 192_000,
            replicated=2 + 128,
            kv_projections=192_000,
            vision_sharded=128,
            vision_replicated=2 * (8 * 3 * 196 + 8 + 64 * 8 + 8 * 32),
        )
    }


def test_the_hugging_face_layout_with_text_and_vision_parts_is_read(tmp_path: Path):
    vision = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 16}
    path = folder(
        tmp_path / "hf", {"text_config": CONFIG, "vision_config": vision, "tie_word_embeddings": True}, "config.json"
    )
    write_tensors(
        path / "model.safetensors",
        {
            "language_model.model.embed_tokens.weight": ("BF16", [1000, 64]),
            "language_model.model.layers.0.self_attn.v_proj.weight": ("BF16", [32, 64]),
            # Tied: the engine loads it once.
            "language_model.lm_head.weight": ("BF16", [1000, 64]),
            "vision_tower.transformer.layers.0.attention.q_proj.weight": ("BF16", [8, 8]),
            "multi_modal_projector.linear_1.weight": ("BF16", [64, 8]),
        },
    )
    found = read_model(path)
    assert (found.sees_images, found.num_kv_heads, found.max_position) == (True, 2, 4096)
    assert found.weights == {
        "bf16": WeightBytes(
            sharded=128_000 + 4096,
            replicated=0,
            kv_projections=4096,
            vision_sharded=128,
            vision_replicated=1024,
        )
    }


def test_weights_stored_in_fp32_are_counted_with_two_bytes_per_number(tmp_path: Path):
    path = folder(tmp_path / "wide", CONFIG, "config.json")
    write_tensors(path / "model.safetensors", {"model.embed_tokens.weight": ("F32", [1000, 64])})
    assert read_model(path).weights == {"bf16": WeightBytes(sharded=128_000, replicated=0)}


def test_a_draft_loads_no_embedding_of_its_own(tmp_path: Path):
    path = folder(tmp_path / "draft", PARAMS)
    write_tensors(
        path / "consolidated.safetensors",
        {
            "eagle_linear.weight": ("F8_E4M3", [64, 128]),
            "tok_embeddings.weight": ("BF16", [1000, 64]),
            "output.weight": ("BF16", [1000, 64]),
            "norm.weight": ("BF16", [64]),
        },
    )
    assert read_draft(path, MODEL) == DraftShape(
        name=str(path),
        num_layers=2,
        weights=WeightBytes(sharded=64 * 128, replicated=128),
        num_speculative_tokens=3,
        max_model_len=4096,
    )


def test_a_draft_without_weights_is_counted_with_its_input_projection(tmp_path: Path):
    attention = 64 * (64 + 64) + 2 * 64 * 32
    assert read_draft(folder(tmp_path / "draft", PARAMS), MODEL).weights == WeightBytes(
        sharded=2 * (2 * (attention + 3 * 64 * 128) + 2 * 64 * 64),
        replicated=2 * 5 * 64,
        kv_projections=2 * 2 * 2 * 64 * 32,
    )


def test_a_missing_draft_folder_is_an_error():
    with pytest.raises(EngineError) as caught:
        read_draft(Path("eagel"), MODEL)
    assert str(caught.value) == (
        "The draft folder 'eagel' does not exist.\n"
        "Now:   Give `eagle` for the published draft of the model, or the folder of a draft."
    )


def test_a_folder_without_a_configuration_is_an_error(tmp_path: Path):
    assert error(tmp_path) == (
        f"The folder {str(tmp_path)!r} contains no model.\n"
        "Cause: It has neither params.json nor config.json.\n"
        "Now:   Give the folder that the model was downloaded to, or its Hugging Face Hub name."
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."),
        ("[1]", "it holds a list, not an object."),
        ("{}", "`dim` or `hidden_size` is missing; expected a whole number above 0."),
        (json.dumps(PARAMS | {"dim": "64"}), "`dim` or `hidden_size` is '64'; expected a whole number above 0."),
        (
            json.dumps(PARAMS | {"n_heads": 0}),
            "`n_heads` or `num_attention_heads` is 0; expected a whole number above 0.",
        ),
    ],
)
def test_an_incomplete_configuration_is_an_error(tmp_path: Path, text: str, cause: str):
    path = tmp_path / "params.json"
    path.write_text(text)
    assert error(tmp_path) == (
        f"{path} is not a usable model configuration.\n"
        f"Cause: {cause}\n"
        "Now:   Download the file again, or give the name of a known model."
    )


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"moe": {"num_experts": 8}}, "It is a mixture of experts"),
        ({"num_local_experts": 8}, "It is a mixture of experts"),
        ({"kv_lora_rank": 512}, "It uses latent attention"),
        ({"sliding_window": 4096}, "Not all of its layers attend to the whole context"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "Not all of its layers attend to the whole context"),
    ],
)
def test_a_model_that_would_be_planned_wrongly_is_refused(tmp_path: Path, more: dict[str, object], cause: str):
    path = folder(tmp_path / "other", PARAMS | more)
    assert error(path) == (
        f"{path / 'params.json'} describes a model that cannot be planned.\n"
        f"Cause: {cause}; a plan covers only dense models with full attention and would be wrong for it.\n"
        "Now:   Start the engine without a plan; it prints how many tokens its KV cache holds."
    )


def test_a_sliding_window_that_is_switched_off_is_ignored(tmp_path: Path):
    path = folder(tmp_path / "off", CONFIG | {"sliding_window": 4096, "use_sliding_window": False}, "config.json")
    assert read_model(path).num_layers == 2


def test_weights_of_an_unknown_type_are_an_error(tmp_path: Path):
    path = folder(tmp_path / "odd", PARAMS)
    write_tensors(path / "consolidated.safetensors", {"layers.0.attention.wq.weight": ("I64", [64, 64])})
    assert error(path) == (
        f"The weights in {str(path)!r} are stored as I64.\n"
        "Cause: A plan covers FP8, BF16, NVFP4 and what AWQ, GPTQ and compressed-tensors pack into integers.\n"
        "Now:   Start the engine without a plan; it prints how many tokens its KV cache holds."
    )


def packed(kind: str, layers: int = 2) -> dict[str, tuple[str, list[int]]]:
    """Return the tensors of a checkpoint with the shape of CONFIG, as the tools that pack it name and shape them."""
    found: dict[str, tuple[str, list[int]]] = {
        "model.embed_tokens.weight": ("BF16", [1000, 64]),
        "lm_head.weight": ("BF16", [1000, 64]),
        "model.norm.weight": ("BF16", [64]),
    }
    shapes = {"q_proj": (64, 64), "k_proj": (32, 64), "v_proj": (32, 64), "o_proj": (64, 64)}
    shapes |= {"gate_proj": (128, 64), "up_proj": (128, 64), "down_proj": (64, 128)}
    for layer in range(layers):
        for name, (rows, columns) in shapes.items():
            full = f"model.layers.{layer}.x.{name}"
            if kind == "nvfp4":
                found[f"{full}.weight_packed"] = ("U8", [rows, columns // 2])
                found[f"{full}.weight_scale"] = ("F8_E4M3", [rows, columns // 16])
                found[f"{full}.weight_global_scale"] = ("F32", [1])
            elif kind == "gptq":
                found[f"{full}.qweight"] = ("I32", [columns // 8, rows])
                found[f"{full}.scales"] = ("F16", [1, rows])
                found[f"{full}.g_idx"] = ("I32", [columns])
            elif kind == "awq":
                found[f"{full}.qweight"] = ("I32", [columns, rows // 8])
                found[f"{full}.qzeros"] = ("I32", [1, rows // 8])
                found[f"{full}.scales"] = ("F16", [1, rows])
            elif kind == "gptq-8":
                found[f"{full}.qweight"] = ("I32", [columns // 4, rows])
                found[f"{full}.scales"] = ("F16", [1, rows])
            else:
                found[f"{full}.weight"] = ("I8", [rows, columns])
                found[f"{full}.weight_scale"] = ("F32", [rows, 1])
    return found


@pytest.mark.parametrize(
    ("kind", "weight_format"),
    [("nvfp4", "fp4"), ("gptq", "int4"), ("awq", "int4"), ("gptq-8", "int8"), ("w8a8", "int8")],
)
def test_a_packed_checkpoint_is_planned_by_the_bytes_of_its_files(tmp_path: Path, kind: str, weight_format: str):
    """It was refused, though its files say how large it is."""
    more = {"quantization_config": {"quant_method": kind}}
    path = folder(tmp_path / kind, CONFIG | more, "config.json")
    tensors = packed(kind)
    write_tensors(path / "model.safetensors", tensors)
    found = read_model(path)
    assert list(found.weights) == [weight_format]
    (weights,) = found.weights.values()
    loaded = sum(SIZES[dtype] * math.prod(shape) for dtype, shape in tensors.values())
    assert weights.total() == loaded
    halves = plan(PlanOptions(model=found, gpus="rtx-pro-6000:2", max_model_len=1024))
    assert halves.weights_bytes < loaded
    assert halves.starts == "yes"
    assert any(note.startswith("The bytes of packed weights are those of their files") for note in halves.notes)


def test_packed_weights_without_files_are_still_refused(tmp_path: Path):
    path = folder(tmp_path / "empty", CONFIG | {"quantization_config": {"quant_method": "awq"}}, "config.json")
    assert "quantised to another format than plain FP8, and there are no weight files" in error(path)


def test_a_missing_file_of_the_index_is_an_error(tmp_path: Path):
    path = folder(tmp_path / "part", CONFIG, "config.json")
    (path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
    )
    write_tensors(path / "model-00001-of-00002.safetensors", {"a.weight": ("BF16", [4, 4])})
    assert error(path) == (
        f"The weights in {str(path)!r} are incomplete.\n"
        "Cause: model-00002-of-00002.safetensors is missing, but the index lists it.\n"
        "Now:   Download the folder again; files that are already there are kept."
    )


def test_an_invalid_index_is_an_error(tmp_path: Path):
    path = folder(tmp_path / "part", CONFIG, "config.json")
    (path / "model.safetensors.index.json").write_text("{}")
    assert error(path) == (
        f"{path / 'model.safetensors.index.json'} is not a valid weight index.\n"
        "Cause: KeyError: 'weight_map'.\n"
        "Now:   Download it again."
    )


def test_a_truncated_file_is_an_error(tmp_path: Path):
    path = folder(tmp_path / "cut", PARAMS)
    file = path / "consolidated.safetensors"
    write_tensors(file, {"output.weight": ("BF16", [1000, 64])}, missing_bytes=5)
    size = file.stat().st_size
    assert error(path) == (
        f"{file} is not a complete safetensors file.\n"
        f"Cause: it has {size:,} of {size + 5:,} bytes.\n"
        "Now:   Download it again; interrupted downloads and Git LFS pointers look like this."
    )


def test_a_git_lfs_pointer_instead_of_weights_is_an_error(tmp_path: Path):
    path = folder(tmp_path / "lfs", PARAMS)
    file = path / "consolidated.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert error(path) == (
        f"{file} is not a complete safetensors file.\n"
        f"Cause: it has {file.stat().st_size} bytes, but it gives the header length as 2,336,927,755,350,992,246.\n"
        "Now:   Download it again; interrupted downloads and Git LFS pointers look like this."
    )


def test_an_invalid_header_is_an_error(tmp_path: Path):
    path = folder(tmp_path / "bad", PARAMS)
    file = path / "consolidated.safetensors"
    file.write_bytes(struct.pack("<Q", 9) + b'{"a": {}}')
    assert error(path) == (
        f"{file} is not a complete safetensors file.\n"
        "Cause: its header is invalid (KeyError).\n"
        "Now:   Download it again; interrupted downloads and Git LFS pointers look like this."
    )


@pytest.mark.parametrize(
    ("header", "error_name"),
    [
        (b'{"a": {"dtype": "BF16", "shape": [4], "data_offsets": [100, 0]}}', "ValueError"),
        (b'{"a": {"dtype": "BF16", "shape": [4], "data_offsets": [-8, 0]}}', "ValueError"),
        (b'{"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, Infinity]}}', "ValueError"),
        (b'{"a": {"dtype": "F32", "shape": ["4", "4"], "data_offsets": [0, 0]}}', "ValueError"),
        (b'{"a": {"dtype": "F32", "shape": [-4, 4], "data_offsets": [0, 0]}}', "ValueError"),
        (b'{"a":' * 100_000, "RecursionError"),
    ],
    ids=lambda value: "",
)
def test_a_header_with_impossible_numbers_is_an_error(tmp_path: Path, header: bytes, error_name: str):
    path = folder(tmp_path / "bad", PARAMS)
    file = path / "consolidated.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    assert error(path) == (
        f"{file} is not a complete safetensors file.\n"
        f"Cause: its header is invalid ({error_name}).\n"
        "Now:   Download it again; interrupted downloads and Git LFS pointers look like this."
    )


def test_a_broken_symlink_of_the_cache_is_an_error(tmp_path: Path):
    path = folder(tmp_path / "snapshot", PARAMS)
    file = path / "consolidated.safetensors"
    file.symlink_to(tmp_path / "blobs" / "0123")
    assert error(path) == (
        f"{file} is not a complete safetensors file.\n"
        "Cause: it cannot be read: No such file or directory.\n"
        "Now:   Download it again; interrupted downloads and Git LFS pointers look like this."
    )


def test_a_missing_file_of_the_numbering_is_an_error(tmp_path: Path):
    path = folder(tmp_path / "part", CONFIG, "config.json")
    write_tensors(path / "model-00001-of-00002.safetensors", {"a.weight": ("BF16", [4, 4])})
    assert error(path) == (
        f"The weights in {str(path)!r} are incomplete.\n"
        "Cause: model-00002-of-00002.safetensors is missing, but the numbering of the other files includes it.\n"
        "Now:   Download the folder again; files that are already there are kept."
    )


def test_an_adapter_outside_the_index_is_not_counted(tmp_path: Path):
    path = folder(tmp_path / "tuned", CONFIG, "config.json")
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a.weight": "model.safetensors"}}))
    write_tensors(path / "model.safetensors", {"a.weight": ("BF16", [4, 4])})
    write_tensors(path / "adapter_model.safetensors", {"b.weight": ("BF16", [4, 4])})
    assert read_model(path).weights == {"bf16": WeightBytes(sharded=32, replicated=0)}


@pytest.mark.parametrize("key", ["text_config", "vision_config", "quantization_config", "multimodal"])
def test_a_configuration_value_that_should_be_an_object_is_an_error(tmp_path: Path, key: str):
    path = folder(tmp_path / "odd", CONFIG | {key: "fp8"}, "config.json")
    assert error(path) == (
        f"{path / 'config.json'} is not a usable model configuration.\n"
        f"Cause: `{key}` is 'fp8'; expected an object.\n"
        "Now:   Download the file again, or give the name of a known model."
    )


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"num_experts": "8"}, "It is a mixture of experts"),
        ({"layer_types": 5}, "Not all of its layers attend to the whole context"),
        # Nemotron-H and Falcon-H1: most layers keep a state instead of keys and values.
        ({"hybrid_override_pattern": "M-M*"}, "Not all of its layers attend to the whole context"),
        ({"mamba_d_ssm": 3072}, "Not all of its layers attend to the whole context"),
        # Kimi Linear and Qwen3-Next, whose configurations may lack `layer_types`: they were planned as full attention.
        ({"linear_attn_config": {"kda_layers": [1]}}, "Not all of its layers attend to the whole context"),
        ({"full_attention_interval": 4}, "Not all of its layers attend to the whole context"),
        ({"linear_num_key_heads": 16}, "Not all of its layers attend to the whole context"),
    ],
)
def test_layers_that_are_not_full_attention_are_not_counted_as_such(
    tmp_path: Path, more: dict[str, object], cause: str
):
    path = folder(tmp_path / "other", CONFIG | more, "config.json")
    assert error(path).splitlines()[1] == (
        f"Cause: {cause}; a plan covers only dense models with full attention and would be wrong for it."
    )


def test_embeddings_that_text_config_ties_are_counted_once(tmp_path: Path):
    tied = folder(tmp_path / "tied", {"text_config": CONFIG | {"tie_word_embeddings": True}}, "config.json")
    whole = folder(tmp_path / "whole", {"text_config": CONFIG}, "config.json")
    embedding = 2 * 1000 * 64
    assert read_model(whole).weights["bf16"].total() - read_model(tied).weights["bf16"].total() == embedding


def test_other_quantisations_are_not_counted_as_bf16_if_there_are_no_weight_files(tmp_path: Path):
    path = folder(tmp_path / "awq", CONFIG | {"quantization_config": {"quant_method": "awq"}}, "config.json")
    assert error(path) == (
        f"The size of the weights that {path / 'config.json'} describes is not known.\n"
        "Cause: They are quantised to another format than plain FP8, and there are no weight files to read.\n"
        "Now:   Download the weights; a plan reads their bytes from the files' headers."
    )


def test_a_vision_tower_with_other_keys_is_counted_from_its_weights(tmp_path: Path):
    # As in Qwen2.5-VL, where `depth` is the number of layers.
    path = folder(tmp_path / "vl", CONFIG | {"vision_config": {"depth": 32, "hidden_size": 8}}, "config.json")
    write_tensors(
        path / "model.safetensors",
        {"model.norm.weight": ("BF16", [64]), "visual.blocks.0.attn.qkv.weight": ("BF16", [24, 8])},
    )
    found = read_model(path)
    assert found.sees_images
    assert found.weights == {"bf16": WeightBytes(sharded=0, replicated=128, vision_sharded=384)}


def test_only_params_json_may_omit_the_longest_context(tmp_path: Path):
    without = {key: value for key, value in CONFIG.items() if key != "max_position_embeddings"}
    mistral = {key: value for key, value in PARAMS.items() if key != "max_position_embeddings"}
    assert read_model(folder(tmp_path / "mistral", mistral)).max_position == 128_000
    assert error(folder(tmp_path / "hf", without, "config.json")).splitlines()[1] == (
        "Cause: `max_position_embeddings` or `max_seq_len` is missing; expected a whole number above 0."
    )


def test_a_draft_whose_kv_heads_differ_from_the_models_is_an_error(tmp_path: Path):
    path = folder(tmp_path / "draft", PARAMS | {"n_kv_heads": 4})
    with pytest.raises(EngineError) as caught:
        read_draft(path, MODEL)
    assert str(caught.value) == (
        f"The draft {str(path)!r} cannot be planned for pocket.\n"
        "Cause: It has 4 KV heads of size 16, the model has 2 of size 16; a plan covers only drafts whose keys and "
        "values are as large as the model's.\n"
        "Now:   Give a draft that was made for this model, or omit --draft."
    )


def test_a_model_in_a_folder_is_named_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder(tmp_path / "pocket", PARAMS)
    monkeypatch.chdir(tmp_path)
    assert read_model(Path("pocket")).name == str(tmp_path / "pocket")
    assert read_draft(Path("pocket"), MODEL).name == str(tmp_path / "pocket")


def test_scales_of_fp8_blocks_stay_in_fp32(tmp_path: Path):
    path = folder(tmp_path / "blocks", CONFIG | {"quantization_config": {"quant_method": "fp8"}}, "config.json")
    write_tensors(
        path / "model.safetensors",
        {
            "model.layers.0.mlp.up_proj.weight": ("F8_E4M3", [256, 256]),
            "model.layers.0.mlp.up_proj.weight_scale_inv": ("F32", [2, 2]),
        },
    )
    assert read_model(path).weights == {"fp8": WeightBytes(sharded=256 * 256 + 16, replicated=0)}
