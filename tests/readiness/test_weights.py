"""Weights on the disk: what is present, what is missing, and how to download one of the two layouts."""

import json
from pathlib import Path

from serving.readiness.weights import FoundWeights, find_weights, has_token, hub_cache, layout_for

REPO = "mistralai/Mistral-Medium-3.5-128B"


def a_snapshot(home: Path, *files: str) -> Path:
    """Create files as the Hugging Face client does: a snapshot's symlinks into a folder of blobs."""
    repository = home / ".cache" / "huggingface" / "hub" / "models--mistralai--Mistral-Medium-3.5-128B"
    snapshot = repository / "snapshots" / "abc123"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    (repository / "blobs").mkdir()
    snapshot.mkdir(parents=True)
    for file in files:
        (repository / "blobs" / file).write_bytes(b"0123456789")
        (snapshot / file).symlink_to(repository / "blobs" / file)
    return snapshot


def found_in(home: Path, **changes: object) -> FoundWeights:
    given = {"layout": "mistral", "total_bytes": 100, "environ": {"HOME": str(home)}, **changes}
    return find_weights(REPO, **given)


def test_a_model_that_was_never_downloaded_is_not_found(tmp_path: Path):
    found = found_in(tmp_path)
    assert found == FoundWeights(name=REPO, layout="mistral", folder=None, missing=(), present_bytes=0, total_bytes=100)
    assert (found.complete, found.download_bytes) == (False, 100)


def test_a_complete_layout_needs_no_download(tmp_path: Path):
    shards = [f"consolidated-0000{n}-of-00002.safetensors" for n in (1, 2)]
    folder = a_snapshot(tmp_path, "params.json", "tekken.json", *shards)
    found = found_in(tmp_path)
    assert (found.folder, found.missing, found.complete, found.download_bytes) == (folder, (), True, 0)


def test_missing_shards_are_found_from_the_index(tmp_path: Path):
    folder = a_snapshot(tmp_path, "params.json", "tekken.json", "consolidated-1.safetensors")
    index = {"weight_map": {"a": "consolidated-1.safetensors", "b": "consolidated-2.safetensors"}}
    (folder / "consolidated.safetensors.index.json").write_text(json.dumps(index))
    found = found_in(tmp_path)
    assert (found.missing, found.present_bytes, found.download_bytes) == (("consolidated-2.safetensors",), 10, 90)


def test_an_invalid_index_falls_back_to_the_numbering_of_the_shards(tmp_path: Path):
    folder = a_snapshot(tmp_path, "params.json", "tekken.json", "consolidated-00001-of-00002.safetensors")
    for text in ('{"weight_map": {"a"', "version https://git-lfs.github.com/spec/v1", '["a"]', '{"weight_map": 1}'):
        (folder / "consolidated.safetensors.index.json").write_text(text)
        assert found_in(tmp_path).missing == ("consolidated-00002-of-00002.safetensors",)


def test_missing_shards_are_found_from_the_numbering_and_a_broken_symlink_is_missing(tmp_path: Path):
    folder = a_snapshot(tmp_path, "params.json", "tekken.json", "consolidated-00001-of-00003.safetensors")
    (folder / "consolidated-00002-of-00003.safetensors").symlink_to(tmp_path / "nowhere")
    assert found_in(tmp_path).missing == (
        "consolidated-00002-of-00003.safetensors",
        "consolidated-00003-of-00003.safetensors",
    )


def test_the_other_layout_does_not_count(tmp_path: Path):
    a_snapshot(tmp_path, "config.json", "model-00001-of-00001.safetensors")
    assert found_in(tmp_path).missing == ("consolidated.safetensors", "params.json", "tekken.json")
    assert found_in(tmp_path, layout="hf").complete


def test_a_draft_has_no_tokenizer(tmp_path: Path):
    a_snapshot(tmp_path, "params.json", "consolidated.safetensors")
    assert found_in(tmp_path, is_draft=True).complete
    assert found_in(tmp_path).missing == ("tekken.json",)


def test_a_folder_is_searched_itself(tmp_path: Path):
    (tmp_path / "params.json").touch()
    found = find_weights(str(tmp_path), layout="mistral", total_bytes=1, environ={})
    assert (found.folder, found.missing) == (tmp_path, ("consolidated.safetensors", "tekken.json"))


def test_the_command_downloads_only_one_layout(tmp_path: Path):
    assert found_in(tmp_path).download_command == f"hf download {REPO} --exclude 'model*'"
    assert found_in(tmp_path, layout="hf").download_command == f"hf download {REPO} --exclude 'consolidated*'"


def test_each_engine_loads_its_own_layout(tmp_path: Path):
    assert (layout_for(REPO, "vllm"), layout_for(REPO, "sglang")) == ("mistral", "hf")
    assert layout_for(str(tmp_path), "vllm") == "hf"
    (tmp_path / "params.json").touch()
    assert layout_for(str(tmp_path), "sglang") == "mistral"


def test_the_cache_is_located_as_by_the_client():
    assert hub_cache({"HOME": "/home/me"}) == Path("/home/me/.cache/huggingface/hub")
    assert hub_cache({"HOME": "/home/me", "XDG_CACHE_HOME": "/big"}) == Path("/big/huggingface/hub")
    assert hub_cache({"HF_HOME": "/hf", "XDG_CACHE_HOME": "/big"}) == Path("/hf/hub")
    assert hub_cache({"HF_HUB_CACHE": "/hub", "HF_HOME": "/hf"}) == Path("/hub")


def test_a_token_comes_from_a_variable_or_a_file(tmp_path: Path):
    assert not has_token({"HOME": str(tmp_path)})
    assert has_token({"HF_TOKEN": "hf_x"})
    (tmp_path / "token").touch()
    assert has_token({"HF_HOME": str(tmp_path)})
