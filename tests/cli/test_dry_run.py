"""The tokens of a first prompt in `agent run --dry-run`: who counted them, and what an estimate is called."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.model.local_tokens import count_locally
from agent.model.wire import Request
from agent.testing import ScriptedServer
from serving.pocket import model_dir

pytestmark = pytest.mark.usefixtures("own_machine")


def tokens_line(capsys: pytest.CaptureFixture[str], *arguments: str, model: str = "") -> str:
    """Return what a dry run prints of the tokens."""
    named = f"model: {{name: {json.dumps(model)}}}\n" if model else ""
    Path("task.yaml").write_text(f"prompt: Read a.txt.\ntools: [read_file]\n{named}")
    assert main(["run", "task.yaml", "--dry-run", *arguments]) == 0
    found = re.search(r"^tokens: (.*)$", capsys.readouterr().out, re.M)
    assert found is not None
    return found[1]


def test_without_a_server_the_tokens_are_estimated(capsys: pytest.CaptureFixture[str]):
    line = tokens_line(capsys)
    assert re.fullmatch(r"about [\d,]+, estimated by 3 bytes per token: there is no server", line), line


def test_with_a_server_that_cannot_count_the_tokens_are_estimated(capsys: pytest.CaptureFixture[str]):
    with ScriptedServer([], tokenize=False, window_tokens=9_000) as server:
        line = tokens_line(capsys, "--base-url", server.url)
    why = re.escape(f"{server.url} has no /tokenize (vLLM has it)")
    assert re.fullmatch(rf"about [\d,]+ of 9,000, estimated by 3 bytes per token: {why}", line), line


def test_with_a_server_that_does_not_answer_the_tokens_are_estimated(capsys: pytest.CaptureFixture[str]):
    with ScriptedServer([]) as server:
        gone = server.url
    line = tokens_line(capsys, "--base-url", gone)
    assert re.match(r"about [\d,]+, estimated by 3 bytes per token: No answer from", line), line


@pytest.fixture
def in_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a model whose tokenizer is in the cache of the Hub."""
    snapshot = tmp_path / "hub" / "models--mistralai--Tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "tekken.json").symlink_to(model_dir() / "tekken.json")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return "mistralai/Tiny"


def test_the_models_tokenizer_on_this_machine_counts_without_a_server(
    in_cache: str, capsys: pytest.CaptureFixture[str]
):
    lines = [tokens_line(capsys, model=model) for model in (in_cache, str(model_dir()), "pocket")]
    for line in lines:
        assert re.fullmatch(r"[\d,]+, counted by the model's tokenizer on this machine: there is no server", line), line


def test_without_the_package_the_tokens_are_estimated(
    in_cache: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "mistral_common.protocol.instruct.request", None)
    assert tokens_line(capsys, model=in_cache).startswith("about ")


def test_a_prompt_that_the_tokenizer_refuses_is_estimated():
    def counted(role: str) -> int | None:
        message = json.dumps({"role": role, "content": "Hello"}).encode()
        return count_locally(Request(model="m", messages=[message], tools=b"[]", max_tokens=1), str(model_dir()), {})

    assert counted("user")
    assert counted("nobody") is None
