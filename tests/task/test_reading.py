"""The files that a task refers to: what a run left in their place is not followed out of the workspace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.task.environment import task_secrets
from agent.task.load import load_task
from agent.task.parts import TaskInputs, TaskOutput, TaskWorkspace
from agent.task.reading import MAX_IMAGE_BYTES
from agent.task.task import Task


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "id_rsa").write_text("PRIVATE=key-of-the-user")
    return tmp_path / "project"


def read(folder: Path, key: str, name: str = "notes.png") -> None:
    """Read a file of a task by the key that refers to it."""
    match key:
        case "prompt_file":
            Task(prompt_file=name, directory=folder).rendered_prompt()
        case "inputs.files[0]":
            Task(prompt="a", inputs=TaskInputs(files=(name,)), directory=folder).rendered_prompt()
        case "secret_files[0]":
            task_secrets(Task(prompt="a", secret_files=(name,), directory=folder))
        case "task":
            load_task(folder / name)
        case "inputs.images[0]":
            Task(prompt="a", inputs=TaskInputs(images=(name,)), directory=folder).images()
        case _:
            Task(prompt="a", output=TaskOutput(schema=name), directory=folder).output_schema()


KEYS = ["prompt_file", "inputs.files[0]", "inputs.images[0]", "output.schema"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("target", ["../id_rsa", "{away}/id_rsa", "hop/id_rsa"])
def test_a_file_of_the_task_that_a_run_replaced_by_a_symlink_out_of_the_workspace_is_not_read(
    project: Path, key: str, target: str
):
    """The next run sent a key of the user to the model, as one of its input files."""
    (project / "hop").symlink_to("..")
    (project / "notes.png").symlink_to(target.format(away=project.parent))
    with pytest.raises(ConfigError) as refused:
        read(project, key)
    assert str(refused.value) == (
        f"Cannot read '{project}/notes.png': a symlink in the workspace leads out of it, and a run may have made it. "
        f"Remove the symlink, or give the path of the file it leads to in `{key}`."
    )


@pytest.mark.parametrize("key", KEYS)
def test_a_pipe_in_place_of_a_file_of_the_task_is_not_waited_for(project: Path, key: str):
    os.mkfifo(project / "notes.png")
    with pytest.raises(ConfigError, match="not a regular file"):
        read(project, key)


def test_an_image_that_would_fill_the_memory_is_refused(project: Path):
    with (project / "notes.png").open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(ConfigError) as refused:
        read(project, "inputs.images[0]")
    assert str(refused.value) == (
        f"The image '{project}/notes.png' is larger than 20,000,000 bytes. Make a smaller copy of it."
    )


def test_symlinks_inside_the_workspace_and_outside_of_it_are_followed(project: Path):
    (project / "real.md").write_text("inside")
    (project / "a.md").symlink_to("real.md")
    (project.parent / "b.md").symlink_to("id_rsa")
    inputs = TaskInputs(files=("project/a.md", "b.md"))
    task = Task(prompt="x", inputs=inputs, workspace=TaskWorkspace(path="project"), directory=project.parent)
    assert task.rendered_prompt() == (
        "x\n\nFile project/a.md:\n```\ninside\n```\n\nFile b.md:\n```\nPRIVATE=key-of-the-user\n```"
    )


def test_a_secret_file_may_be_a_symlink_to_a_shared_one_but_no_pipe(project: Path):
    (project / ".env").symlink_to("../id_rsa")
    assert "key-of-the-user" in task_secrets(Task(prompt="a", secret_files=(".env",), directory=project)).values()
    (project / ".env").unlink()
    os.mkfifo(project / ".env")
    with pytest.raises(ConfigError, match="not a regular file"):
        task_secrets(Task(prompt="a", secret_files=(".env",), directory=project))


@pytest.mark.parametrize("key", [*KEYS, "secret_files[0]", "task"])
def test_a_pipe_outside_of_the_workspace_is_not_waited_for(project: Path, key: str):
    """A killed run left a symlink to a pipe in its own temporary folder, and the next run never began."""
    os.mkfifo(project.parent / "pipe.png")
    with pytest.raises(ConfigError, match="not a regular file"):
        read(project, key, "../pipe.png")
