"""Any dense model read from its own folder: exact bytes where files are there, and an error for each broken folder."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from serving import EngineError
from serving.capacity.model_folder import read_draft, read_model
from serving.capacity.models import DraftShape, ModelShape, WeightBytes
from serving.capacity.planner import find_model
from serving.pocket import model_dir

SIZES = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "F32": 4, "U8": 1, "I32": 4}

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
"""For which a draft of the shape above could propose."""


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


def test_without_weights_the_bytes_are_counted_and_the_source_says_so(tmp_path: Path):
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
    assert found.source == f"{path}; no weights are there, so their bytes are counted from the dimensions"


def test_an_fp8_checkpoint_with_images_is_parted_as_the_engine_parts_it(tmp_path: Path):
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


def test_the_layout_of_hugging_face_with_text_and_vision_parts(tmp_path: Path):
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


def test_what_is_stored_in_fp32_is_loaded_in_two_bytes(tmp_path: Path):
    path = folder(tmp_path / "wide", CONFIG, "config.json")
    write_tensors(path / "model.safetensors", {"model.embed_tokens.weight": ("F32", [1000, 64])})
    assert read_model(path).weights == {"bf16": WeightBytes(sharded=128_000, replicated=0)}


def test_a_draft_takes_no_embedding_of_its_own(tmp_path: Path):
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


def test_a_draft_without_weights_is_counted_with_its_joining_matrix(tmp_path: Path):
    attention = 64 * (64 + 64) + 2 * 64 * 32
    assert read_draft(folder(tmp_path / "draft", PARAMS), MODEL).weights == WeightBytes(
        sharded=2 * (2 * (attention + 3 * 64 * 128) + 2 * 64 * 64),
        replicated=2 * 5 * 64,
        kv_projections=2 * 2 * 2 * 64 * 32,
    )


def test_a_draft_that_is_not_there():
    with pytest.raises(EngineError) as caught:
        read_draft(Path("eagel"), MODEL)
    assert str(caught.value) == (
        "There is no draft 'eagel'.\n"
        "Now:   Give `eagle` for the published draft of the model, or the folder of a draft."
    )


def test_a_folder_without_a_configuration(tmp_path: Path):
    assert error(tmp_path) == (
        f"The folder {str(tmp_path)!r} holds no model.\n"
        "Cause: It has neither params.json nor config.json.\n"
        "Now:   Give the folder that the model was downloaded to, or its name on the Hugging Face Hub."
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."),
        ("[1]", "it holds a list, not an object."),
        ("{}", "`dim` or `hidden_size` is missing; a positive number is needed."),
        (json.dumps(PARAMS | {"dim": "64"}), "`dim` or `hidden_size` is '64'; a positive number is needed."),
        (json.dumps(PARAMS | {"n_heads": 0}), "`n_heads` or `num_attention_heads` is 0; a positive number is needed."),
    ],
)
def test_a_configuration_that_says_too_little(tmp_path: Path, text: str, cause: str):
    path = tmp_path / "params.json"
    path.write_text(text)
    assert error(tmp_path) == (
        f"{path} does not describe a model that can be planned.\n"
        f"Cause: {cause}\n"
        "Now:   Download the file again, or give the name of a known model."
    )


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"moe": {"num_experts": 8}}, "It has experts"),
        ({"num_local_experts": 8}, "It has experts"),
        ({"kv_lora_rank": 512}, "Its attention keeps latent vectors"),
        ({"sliding_window": 4096}, "Not all of its layers attend to the whole context"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "Not all of its layers attend to the whole context"),
    ],
)
def test_a_model_that_would_be_planned_wrongly_is_refused(tmp_path: Path, more: dict[str, object], cause: str):
    path = folder(tmp_path / "other", PARAMS | more)
    assert error(path) == (
        f"{path / 'params.json'} describes a model that is not planned.\n"
        f"Cause: {cause}; a plan counts dense models with full attention only, and would be wrong here.\n"
        "Now:   Start the engine without a plan: it says itself how many tokens its KV cache holds."
    )


def test_a_sliding_window_that_is_switched_off_is_none(tmp_path: Path):
    path = folder(tmp_path / "off", CONFIG | {"sliding_window": 4096, "use_sliding_window": False}, "config.json")
    assert read_model(path).num_layers == 2


def test_weights_that_are_packed(tmp_path: Path):
    path = folder(tmp_path / "packed", PARAMS)
    write_tensors(path / "consolidated.safetensors", {"layers.0.attention.wq.weight": ("U8", [64, 32])})
    assert error(path) == (
        f"The weights in {str(path)!r} are U8.\n"
        "Cause: A plan knows FP8 and BF16.\n"
        "Now:   Start the engine without a plan: it says itself how many tokens its KV cache holds."
    )


def test_a_file_that_the_index_names_is_missing(tmp_path: Path):
    path = folder(tmp_path / "part", CONFIG, "config.json")
    (path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
    )
    write_tensors(path / "model-00001-of-00002.safetensors", {"a.weight": ("BF16", [4, 4])})
    assert error(path) == (
        f"The weights in {str(path)!r} are not complete.\n"
        "Cause: model-00002-of-00002.safetensors is not there, though the index names it.\n"
        "Now:   Download the folder again; what is there already is kept."
    )


def test_an_index_that_is_none(tmp_path: Path):
    path = folder(tmp_path / "part", CONFIG, "config.json")
    (path / "model.safetensors.index.json").write_text("{}")
    assert error(path) == (
        f"{path / 'model.safetensors.index.json'} is no index of weights.\n"
        "Cause: KeyError: 'weight_map'.\n"
        "Now:   Download it again."
    )


def test_a_file_of_which_the_end_is_missing(tmp_path: Path):
    path = folder(tmp_path / "cut", PARAMS)
    file = path / "consolidated.safetensors"
    write_tensors(file, {"output.weight": ("BF16", [1000, 64])}, missing_bytes=5)
    size = file.stat().st_size
    assert error(path) == (
        f"{file} is not a whole safetensors file.\n"
        f"Cause: it has {size:,} of {size + 5:,} bytes.\n"
        "Now:   Download it again; an interrupted download and a Git LFS pointer look like this."
    )


def test_a_pointer_of_git_lfs_in_place_of_the_weights(tmp_path: Path):
    path = folder(tmp_path / "lfs", PARAMS)
    file = path / "consolidated.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert error(path) == (
        f"{file} is not a whole safetensors file.\n"
        f"Cause: it has {file.stat().st_size} bytes, and its header should have 2,336,927,755,350,992,246.\n"
        "Now:   Download it again; an interrupted download and a Git LFS pointer look like this."
    )


def test_a_header_that_is_no_header(tmp_path: Path):
    path = folder(tmp_path / "bad", PARAMS)
    file = path / "consolidated.safetensors"
    file.write_bytes(struct.pack("<Q", 9) + b'{"a": {}}')
    assert error(path) == (
        f"{file} is not a whole safetensors file.\n"
        "Cause: its header cannot be read (KeyError).\n"
        "Now:   Download it again; an interrupted download and a Git LFS pointer look like this."
    )


@pytest.mark.parametrize(
    ("header", "said"),
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
def test_a_header_whose_numbers_cannot_be_is_not_counted(tmp_path: Path, header: bytes, said: str):
    path = folder(tmp_path / "bad", PARAMS)
    file = path / "consolidated.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    assert error(path) == (
        f"{file} is not a whole safetensors file.\n"
        f"Cause: its header cannot be read ({said}).\n"
        "Now:   Download it again; an interrupted download and a Git LFS pointer look like this."
    )


def test_a_link_of_the_cache_whose_content_was_deleted(tmp_path: Path):
    path = folder(tmp_path / "snapshot", PARAMS)
    file = path / "consolidated.safetensors"
    file.symlink_to(tmp_path / "blobs" / "0123")
    assert error(path) == (
        f"{file} is not a whole safetensors file.\n"
        "Cause: it cannot be read: No such file or directory.\n"
        "Now:   Download it again; an interrupted download and a Git LFS pointer look like this."
    )


def test_a_part_without_the_others_is_not_taken_for_the_whole(tmp_path: Path):
    path = folder(tmp_path / "part", CONFIG, "config.json")
    write_tensors(path / "model-00001-of-00002.safetensors", {"a.weight": ("BF16", [4, 4])})
    assert error(path) == (
        f"The weights in {str(path)!r} are not complete.\n"
        "Cause: model-00002-of-00002.safetensors is not there, though the others count it.\n"
        "Now:   Download the folder again; what is there already is kept."
    )


def test_an_adapter_beside_what_the_index_names_is_not_counted(tmp_path: Path):
    path = folder(tmp_path / "tuned", CONFIG, "config.json")
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a.weight": "model.safetensors"}}))
    write_tensors(path / "model.safetensors", {"a.weight": ("BF16", [4, 4])})
    write_tensors(path / "adapter_model.safetensors", {"b.weight": ("BF16", [4, 4])})
    assert read_model(path).weights == {"bf16": WeightBytes(sharded=32, replicated=0)}


@pytest.mark.parametrize("key", ["text_config", "vision_config", "quantization_config", "multimodal"])
def test_a_part_of_a_configuration_that_is_no_object(tmp_path: Path, key: str):
    path = folder(tmp_path / "odd", CONFIG | {key: "fp8"}, "config.json")
    assert error(path) == (
        f"{path / 'config.json'} does not describe a model that can be planned.\n"
        f"Cause: `{key}` is 'fp8'; an object is needed.\n"
        "Now:   Download the file again, or give the name of a known model."
    )


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"num_experts": "8"}, "It has experts"),
        ({"layer_types": 5}, "Not all of its layers attend to the whole context"),
        # Nemotron-H and Falcon-H1: most layers keep a state in place of keys and values.
        ({"hybrid_override_pattern": "M-M*"}, "Not all of its layers attend to the whole context"),
        ({"mamba_d_ssm": 3072}, "Not all of its layers attend to the whole context"),
    ],
)
def test_layers_that_keep_a_state_are_not_counted_as_attention(tmp_path: Path, more: dict[str, object], cause: str):
    path = folder(tmp_path / "other", CONFIG | more, "config.json")
    assert error(path).splitlines()[1] == (
        f"Cause: {cause}; a plan counts dense models with full attention only, and would be wrong here."
    )


def test_embeddings_that_the_language_part_says_are_tied_are_counted_once(tmp_path: Path):
    tied = folder(tmp_path / "tied", {"text_config": CONFIG | {"tie_word_embeddings": True}}, "config.json")
    whole = folder(tmp_path / "whole", {"text_config": CONFIG}, "config.json")
    embedding = 2 * 1000 * 64
    assert read_model(whole).weights["bf16"].total() - read_model(tied).weights["bf16"].total() == embedding


def test_weights_quantised_otherwise_are_not_counted_as_bf16_where_none_are_there(tmp_path: Path):
    path = folder(tmp_path / "awq", CONFIG | {"quantization_config": {"quant_method": "awq"}}, "config.json")
    assert error(path) == (
        f"The weights that {path / 'config.json'} describes cannot be counted.\n"
        "Cause: They are quantised, not to plain FP8, and none are there whose bytes could be read.\n"
        "Now:   Download the weights: a plan reads their bytes from the headers."
    )


def test_a_vision_tower_spelt_otherwise_is_counted_from_its_weights(tmp_path: Path):
    # As Qwen2.5-VL has it, which says `depth` for the number of layers.
    path = folder(tmp_path / "vl", CONFIG | {"vision_config": {"depth": 32, "hidden_size": 8}}, "config.json")
    write_tensors(
        path / "model.safetensors",
        {"model.norm.weight": ("BF16", [64]), "visual.blocks.0.attn.qkv.weight": ("BF16", [24, 8])},
    )
    found = read_model(path)
    assert found.sees_images
    assert found.weights == {"bf16": WeightBytes(sharded=0, replicated=128, vision_sharded=384)}


def test_only_a_params_json_may_leave_the_longest_context_out(tmp_path: Path):
    without = {key: value for key, value in CONFIG.items() if key != "max_position_embeddings"}
    mistral = {key: value for key, value in PARAMS.items() if key != "max_position_embeddings"}
    assert read_model(folder(tmp_path / "mistral", mistral)).max_position == 128_000
    assert error(folder(tmp_path / "hf", without, "config.json")).splitlines()[1] == (
        "Cause: `max_position_embeddings` or `max_seq_len` is missing; a positive number is needed."
    )


def test_a_draft_with_other_keys_and_values_than_the_model_is_not_counted_as_if_it_had_them(tmp_path: Path):
    path = folder(tmp_path / "draft", PARAMS | {"n_kv_heads": 4})
    with pytest.raises(EngineError) as caught:
        read_draft(path, MODEL)
    assert str(caught.value) == (
        f"The draft {str(path)!r} is not planned beside pocket.\n"
        "Cause: Its layers keep 4 KV heads of 16, the model's 2 of 16; a plan counts drafts whose keys and values are "
        "as large as the model's.\n"
        "Now:   Give a draft that was made for this model, or leave --draft out."
    )


def test_a_folder_is_named_by_its_whole_path_so_that_another_of_that_name_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
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
