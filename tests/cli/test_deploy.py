"""Test `agent deploy`: the files and output, existing files, and refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import get_args

import pytest

from agent.cli import main
from serving.deploy import Policy

FITS = ("--gpus", "h100:8", "--tensor-parallel-size", "4", "--context", "32k")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Keep this user's measurements out of the plans.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_files_are_written_and_the_next_commands_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["deploy", "systemd", *FITS]) == 0
    folder = tmp_path / "deploy-systemd"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("engine-8000.env", "engine-8001.env", "tramontane-engine@.service", "tramontane-router.service")
    ]
    assert capsys.readouterr().out == (
        "Wrote deploy-systemd/tramontane-engine@.service\n"
        "Wrote deploy-systemd/tramontane-router.service\n"
        "Wrote deploy-systemd/engine-8000.env\n"
        "Wrote deploy-systemd/engine-8001.env\n"
        "Note: vllm-router 0.1.17 drops `strict: true` from tools: behind it, vLLM constrains a call to valid JSON but "
        "not to the tool's schema. The agent still validates and repairs arguments.\n"
        "Note: Anyone who can reach the router can add and remove engines, with or without a key: keep it on "
        "127.0.0.1, or put a proxy in front of it that forwards only /v1.\n"
        "Next, in deploy-systemd:\n"
        "  sudo install -D -m 644 -t /etc/tramontane engine-*.env\n"
        "  sudo install -m 644 -t /etc/systemd/system tramontane-engine@.service\n"
        "  sudo systemctl enable --now tramontane-engine@8000 tramontane-engine@8001\n"
        "  sudo install -m 644 -t /etc/systemd/system tramontane-router.service\n"
        "  sudo systemctl enable --now tramontane-router\n"
        "  agent run task.yaml --base-url http://127.0.0.1:30000/v1\n"
    )


def test_as_json_the_files_notes_and_commands_are_data(capsys: pytest.CaptureFixture[str]):
    assert main(["deploy", "ray", *FITS, "-o", "out/ray", "--json", "--port", "1234"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "files": ["out/ray/serve.yaml"],
        "commands": [
            *("ray start --head", "serve deploy serve.yaml", "serve status"),
            "agent run task.yaml --base-url http://127.0.0.1:1234/v1",
        ],
        "notes": [
            "Ray Serve LLM requires no key: it listens on 127.0.0.1, and a proxy in front of it must require one.",
            "Ray routes requests by their prompt prefix, not by X-Session-ID.",
            "ray[llm] 2.60.0 includes vLLM 0.29.0, an older version than the other targets use.",
        ],
    }


def test_options_reach_the_files_and_the_path_of_a_key_file_is_made_absolute(tmp_path: Path):
    (tmp_path / "key").write_text("the-key\n")
    options = ["--node", "n1", "--node", "n2", "--node", "n3", "--policy", "consistent_hash", "--port", "4000"]
    options += ["--api-key-file", "key", "--served-model-name", "medium", "-o", "out"]
    assert main(["deploy", "router", *FITS, *options]) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["n1.sh", "n2.sh", "n3.sh", "router.sh"]
    engine, router = (out / "n2.sh").read_text(), (out / "router.sh").read_text()
    assert f'VLLM_API_KEY="$(cat {tmp_path}/key)"' in engine
    assert 'set -- "$@" --served-model-name medium' in engine
    assert 'set -- "$@" --worker-urls http://n1:8000 http://n2:8000 http://n3:8000' in router
    assert 'set -- "$@" --policy consistent_hash' in router
    assert 'set -- "$@" --port 4000' in router
    assert os.access(out / "router.sh", os.X_OK)


def test_a_file_edited_by_hand_is_not_overwritten_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["deploy", "systemd", *FITS, "--replicas", "1"]
    assert main(command) == 0
    unit = tmp_path / "deploy-systemd" / "tramontane-router.service"
    rendered = unit.read_text()
    assert main(command) == 0, "the same files may be written again"
    unit.write_text("mine\n")
    environment = tmp_path / "deploy-systemd" / "engine-8000.env"
    environment.unlink()
    capsys.readouterr()
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "agent: Cannot write to 'deploy-systemd': existing files differ: tramontane-router.service.\n"
        "Now:   Choose another folder with -o, or use --force to overwrite these files.\n"
    )
    assert (unit.read_text(), environment.exists()) == ("mine\n", False), "all files or none"
    assert main([*command, "--force"]) == 0
    assert (unit.read_text(), environment.read_text()) == (rendered, "CUDA_VISIBLE_DEVICES=0,1,2,3\n")


def test_a_refused_deployment_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["deploy", "compose", *FITS]) == 2
    assert capsys.readouterr().err == (
        "agent: Cannot deploy to compose without a key: engines that the router reaches over a network are reachable "
        "by others too.\nNow:   Write a key to a file that only you can read, and pass it: --api-key-file FILE.\n"
    )
    assert main(["deploy", "systemd", *FITS, "--replicas", "0"]) == 2
    assert capsys.readouterr().err == "agent: Cannot deploy 0 replicas.\nNow:   Set --replicas to 1 or more.\n"
    assert main(["deploy", "systemd", "--gpus", "h100:1", "--context", "32k", "--replicas", "1"]) == 2
    assert capsys.readouterr().err.startswith("agent: Cannot deploy Mistral Medium 3.5 128B on 1 x ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "out").write_text("a file\n")
    assert main(["deploy", "systemd", *FITS, "-o", "out"]) == 2
    assert capsys.readouterr().err == "agent: Not a directory: out/tramontane-engine@.service\n"


def test_the_help_lists_the_targets_and_the_router_policies(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(["deploy", "--help"])
    assert left.value.code == 0
    output = capsys.readouterr().out
    assert f"{{{','.join(get_args(Policy))}}}" in output
    assert output.endswith(
        "Targets:\n"
        "  compose     Docker Compose: engines and router on one machine\n"
        "  systemd     systemd units, for this machine or one engine on each --node\n"
        "  kubernetes  plain Kubernetes manifests\n"
        "  router      plain shell scripts, for this machine or one engine on each --node\n"
        "  ray         a Ray Serve LLM application\n"
    )
