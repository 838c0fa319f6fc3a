"""Paths that a sandbox lists stay what they were when a command replaces them, or a folder above, by a symlink."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent import Agent, ConfigError, Rules, find_sandbox
from agent.sandbox import IsolationChoice
from agent.task.environment import task_sandbox
from agent.task.parts import TaskSandbox, TaskWorkspace
from agent.task.task import Task
from agent.testing import ScriptedModel, says
from tools.shell import run_shell

PLACES = {
    "work/.cache/pip": "mv .cache old; ln -s ../outside .cache",
    "work/pip": "mv pip old; ln -s ../outside/pip pip",
    "link/pip": "mv pip old; ln -s ../outside/pip pip",
    "shared/pip": "cd ../shared; mv pip old; ln -s ../outside/pip pip",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("work/.cache/pip", "work/pip", "shared/pip", "outside/pip"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "outside/pip/key").write_text("SECRET")
    (tmp_path / "link").symlink_to("work")
    return tmp_path


@pytest.mark.parametrize("use", ["bubblewrap", "landlock"])
@pytest.mark.parametrize("place", PLACES)
def test_a_listed_path_that_a_command_replaced_by_a_symlink_opens_nothing_to_the_next_one(
    project: Path, place: str, use: IsolationChoice
):
    sandbox = find_sandbox(use, Rules(write=(project / "shared", project / place)))
    outputs: list[str] = []
    for command in (PLACES[place], f"cd ../{place} && cat key; echo x > ../{place}/new; echo x > made"):
        with sandbox.launch(
            ["/bin/sh", "-c", command], workspace=project / "work", env={"PATH": "/usr/bin:/bin"}
        ) as it:
            ran = subprocess.run(
                it.argv, env=dict(it.env), pass_fds=it.pass_fds, cwd=project / "work", check=False, capture_output=True
            )
        outputs.append(ran.stdout.decode())
    assert (project / place).resolve() == project / "outside/pip", "the first command worked"
    assert "SECRET" not in outputs[1]
    assert [path.name for path in (project / "outside/pip").iterdir()] == ["key"]


@pytest.mark.parametrize("key", ["read", "write"])
def test_a_listed_path_that_a_symlink_in_the_workspace_leads_out_of_it_is_refused(project: Path, key: str):
    (project / "work/.cache/pip").rmdir()
    (project / "work/.cache").rmdir()
    (project / "work/.cache").symlink_to("../outside")
    listed = project / "work" / ".cache" / "pip"
    lists = TaskSandbox(**{key: (".cache/pip",)})
    task = Task(prompt="a", directory=project / "work", workspace=TaskWorkspace(path="."), sandbox=lists)
    with pytest.raises(ConfigError) as refused:
        task_sandbox(task)
    assert str(refused.value) == (
        f"`sandbox` lists '{listed}', which a symlink in the workspace leads out of it, and a run may "
        "have made that symlink. Remove it, or list the path that it leads to."
    )


def test_a_workspace_in_a_folder_that_commands_may_change_is_refused(project: Path):
    """A command moved the folder above its workspace away, and the next one worked where a symlink there led."""
    sandbox = find_sandbox("auto", Rules(write=(project,)))
    model = ScriptedModel([says("Done.")])
    agent = Agent(model, tools=[run_shell], workspace=project / "work/pip", sandbox=sandbox)
    with pytest.raises(ConfigError, match=r"lies in it: a command could put a symlink in the workspace's place\."):
        agent.run_sync("Go.")
