"""The docker command line, and that no container outlives its call; test_sandbox tests what a container prevents."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import Agent, ConfigError, Rules, Sandbox, ToolContext, find_sandbox, load_task
from agent.sandbox import Shared, container
from agent.sandbox.protected import protected_paths
from agent.sandbox.rules import Temporary
from agent.testing import ScriptedModel, says
from agent.tooling.not_started import not_started
from tools.processes import start_process, stop_process
from tools.shell import run_shell

if TYPE_CHECKING:
    from conftest import Called


async def test_a_container_ends_with_its_call(docker_image: str, tmp_path: Path, called: Called):
    sandbox = find_sandbox("container", Rules(), image=docker_image)
    context = ToolContext(workspace=tmp_path, env={"PATH": os.defpath, "WORD": "x, y"}, sandbox=sandbox)
    assert await called(run_shell, context, command="echo $WORD; read line || exit 3") == "x, y\nexit code 3"
    asked = "trap 'echo asked; exit 5' TERM; echo ready; while true; do sleep 0.1; done"
    assert "ready" in await called(start_process, context, command=asked, wait_s=5)
    assert "exit code 5" in await called(stop_process, context, process=1)
    beats = "while true; do touch beat; sleep 0.1; done & sleep 60"
    for timeout_s in (2, 8, 32):  # the start of a container counts, which takes seconds on a busy machine
        assert f"{timeout_s} s" in await called(run_shell, context, command=beats, timeout_s=timeout_s)
        if (tmp_path / "beat").exists():
            break
    assert (tmp_path / "beat").stat().st_uid == os.getuid()
    assert _within(15, lambda: not _running(docker_image)), "the container outlived the call that was killed"


_ENDLESS = """
import asyncio, sys
from pathlib import Path
from agent import Rules, ToolContext, find_sandbox

context = ToolContext(workspace=Path.cwd(), env={}, sandbox=find_sandbox("container", Rules(), image=sys.argv[1]))
asyncio.run(context.run(["sh", "-c", "touch beat; sleep 600"], timeout_s=600))
"""


def test_a_container_ends_with_an_agent_that_is_killed(docker_image: str, tmp_path: Path):
    """The docker client, and with it the container, lived on: the commands went on changing the workspace."""
    agent = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, docker_image], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    assert _within(60, (tmp_path / "beat").exists)
    agent.kill()
    agent.wait()
    assert _within(30, lambda: not _running(docker_image)), "the container outlived the agent"


async def test_the_containers_of_a_run_share_tmp(docker_image: str, tmp_path: Path):
    sandbox = find_sandbox("container", Rules(), image=docker_image)
    shared = Shared()
    context = ToolContext(workspace=tmp_path, env={"PATH": os.defpath}, sandbox=sandbox, shared=shared)
    await context.run(["sh", "-c", "echo kept > /tmp/a; ls -A > ~/b"], timeout_s=60)
    assert (await context.run(["sh", "-c", "cat ~/a; echo x > made; ls /tmp"], timeout_s=60)).output.startswith(
        "kept\n"
    )
    assert (tmp_path / "made").exists(), "the workspace is mounted, although it may lie in this machine's /tmp"
    await shared.aclose()


def test_the_tmp_of_a_run_is_mounted_and_covered_where_other_mounts_are_below_it(tmp_path: Path):
    temporary = Temporary(folder=Path("/var/tmp/run/tmp"), covered=frozenset({"projects"}))
    line = container.command_line(
        ["true"], image="i", workspace=Path("/tmp/projects/one"), env={}, rules=Rules(temporary_bytes=7), stdin_fd=7,
        temporary=temporary,
    )  # fmt: skip
    assert [word for word in line if word.startswith("--tmpfs")] == [
        "--tmpfs=/tmp/projects:rw,exec,nosuid,nodev,mode=1777,size=7"
    ]
    assert [line[at + 1] for at, word in enumerate(line) if word == "--mount"] == [
        "type=bind,source=/tmp/projects/one,target=/tmp/projects/one,readonly=false",
        "type=bind,source=/var/tmp/run/tmp,target=/tmp,readonly=false",
    ]


def _running(image: str) -> str:
    asked = ["docker", "ps", "--quiet", f"--filter=ancestor={image}"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def test_a_program_of_this_machine_is_looked_up_by_its_name(tmp_path: Path):
    def started(*argv: str) -> list[str]:
        line = container.command_line(argv, image="i", workspace=tmp_path, env={}, rules=Rules(), stdin_fd=7)
        return line[line.index("sh") + 2 :]

    assert started("/home/me/.venv/bin/python", "-m", "pytest") == ["python", "-m", "pytest"]
    assert started(str(tmp_path / "run.sh"), "x") == [str(tmp_path / "run.sh"), "x"]


def test_no_path_is_mounted_twice_and_a_writable_one_is_mounted_writable(tmp_path: Path):
    (tmp_path / ".git").mkdir()
    both = tmp_path / "a, b"
    both.mkdir()
    # The folder of a task is often its workspace, and the verification may read it.
    rules = Rules(read=(tmp_path, both, tmp_path / "gone"), write=(both,))
    line = container.command_line(
        ["true"], image="i", workspace=tmp_path, env={}, rules=rules, stdin_fd=7,
        protected=protected_paths(tmp_path, rules, [tmp_path / ".git"]),
    )  # fmt: skip
    mounts = [next(csv.reader([line[at + 1]])) for at, word in enumerate(line) if word == "--mount"]
    assert {(mount[2].removeprefix("target="), mount[3]) for mount in mounts} == {
        (str(tmp_path), "readonly=false"), (str(both), "readonly=false"), (str(tmp_path / ".git"), "readonly"),
    }  # fmt: skip
    assert len(mounts) == 3


async def test_a_task_whose_folder_is_its_workspace_is_verified_in_a_container(docker_image: str, tmp_path: Path):
    (tmp_path / "task.yaml").write_text(
        f"prompt: Hi.\nsandbox: {{use: container, image: '{docker_image}'}}\n"
        'verify: touch made && test -f "$AGENT_TASK_DIR/task.yaml"\n'
    )
    task = load_task(tmp_path / "task.yaml")
    agent = Agent.from_task(task, ScriptedModel([says("Done.")]), environ={"PATH": os.defpath})
    outcome = await agent.run("Hi.")
    assert outcome.status == "verified", outcome.reason
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["rule", "repository"])
def test_what_the_engine_mounts_by_name_is_not_mounted_while_a_background_command_runs(tmp_path: Path, kind: str):
    """It could put a symlink there meanwhile: the engine, which is root, then mounted a folder outside."""
    (work := tmp_path / "work").mkdir()
    rules = Rules(hidden=(work / "a/b.pem",) if kind == "rule" else ())
    nested = protected_paths(work, rules, [work / "sub/.git"] if kind == "repository" else [])
    plain = protected_paths(work, Rules(hidden=(work / "b.pem",)), [work / ".git"])
    other = protected_paths(tmp_path / "other", Rules(hidden=(tmp_path / "other/a/b.pem",)))
    with container.held_input(plain) as ends:
        held = os.dup(ends[1])  # by the client of a command in the background
    with container.held_input(plain), container.held_input(other):
        pass
    with pytest.raises(OSError, match="no command starts while another one runs") as refused:
        container.held_input(nested).__enter__()
    assert str(not_started(refused.value, ["true"], {})).endswith("needs as it is. Stop the other command first.")
    os.close(held)
    with container.held_input(nested):
        pass


def test_no_value_of_the_environment_is_on_the_command_line(tmp_path: Path):
    env = {"TOKEN": "canary", "PATH": "/bin", "HOME": "/root"}
    line = container.command_line(["true"], image="i", workspace=tmp_path, env=env, rules=Rules(), stdin_fd=7)
    assert "--env=TOKEN" in line
    assert "canary" not in " ".join(line)
    assert container.client_env(env)["TOKEN"] == "canary"


def test_the_error_explains_why_there_is_no_container_and_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def refused(image: str) -> str:
        with pytest.raises(ConfigError) as caught:
            find_sandbox("container", Rules(), image=image)
        return str(caught.value)

    assert refused("") == (
        "Commands cannot run in a container: `container` needs an image. Write, for example, "
        "sandbox: {use: container, image: python:3.12}, or find_sandbox('container', Rules(), image='python:3.12') for "
        "an Agent."
    )
    for number, (answer, message) in enumerate((
        ("Error: No such image: nope", "the image nope is not on this machine; get it with `docker pull nope`"),
        ("Cannot connect to the Docker daemon.", "docker says: Cannot connect to the Docker daemon."),
    )):  # fmt: skip
        program = tmp_path / str(number) / "docker"
        program.parent.mkdir()
        monkeypatch.setenv("PATH", str(program.parent))  # without the system's folders, which are searched first
        program.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit 1\n")
        program.chmod(0o755)
        assert message in refused("nope")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert refused("nope") == "Commands cannot run in a container: docker is not installed."


def test_a_container_describes_itself():
    assert str(Sandbox(isolation="container", image="python:3.12")) == (
        "a container of python:3.12: commands can change only the workspace, homes are hidden, no network"
    )
    assert "network allowed" in str(Sandbox(isolation="container", image="x", rules=Rules(network=True)))
