"""What a rule about a path hides from commands is found by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent import Rules, Sandbox
from agent.loop.hidden_paths import hidden_paths
from agent.sandbox import beneath


def test_too_many_files_to_hide_close_the_workspace(tmp_path: Path):
    for number in range(250):
        (tmp_path / f"{number}.env").touch()
    assert hidden_paths(["*.env"], tmp_path, Sandbox()) == (tmp_path,)


def test_a_folder_that_cannot_be_listed_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One command took away the permission to read the folder, the next gave it back and read the file."""
    (tmp_path / "src").mkdir()
    opened = beneath.open_beneath

    def refusing(root: Path, path: str, flags: int, **more: Any) -> int:
        if path == "src":
            raise PermissionError(path)
        return opened(root, path, flags, **more)

    monkeypatch.setattr("agent.workspace.tree.open_beneath", refusing)
    assert hidden_paths(["*.env"], tmp_path, Sandbox()) == (tmp_path / "src",)


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("pattern", ["data/*.key", "data/in*", "*/x.key"])
def test_a_pattern_about_a_folder_beside_the_workspace_hides_what_commands_see_of_it(
    tmp_path: Path, kind: str, pattern: str
):
    """Only a pattern without wildcards, or for all of a folder, was looked for outside."""
    (tmp_path / "data/in").mkdir(parents=True)
    (tmp_path / "data/in/x.key").touch()
    (tmp_path / "unseen").mkdir()
    (tmp_path / "unseen/x.key").touch()
    given: dict[str, tuple[Path, ...]] = {kind: (tmp_path / "data",)}
    box, rule = Sandbox(rules=Rules(**given)), f"{tmp_path}/{pattern}"
    (tmp_path / "w").mkdir()
    found = hidden_paths([rule], tmp_path / "w", box)
    assert found == (tmp_path / ("data/in" if pattern == "data/in*" else "data/in/x.key"),)


@pytest.mark.parametrize("pattern", ["/etc/passwd", "/etc/pass?d"])
def test_a_file_of_the_system_is_hidden_where_commands_see_it(tmp_path: Path, pattern: str):
    """In a container, the file that was hidden was another one: that of the image."""
    assert hidden_paths([pattern], tmp_path, Sandbox(isolation="bubblewrap")) == (Path("/etc/passwd"),)
    assert hidden_paths([pattern], tmp_path, Sandbox(isolation="container")) == ()


@pytest.mark.parametrize("pattern", ["*", "in/*", "in?"])
def test_a_rule_about_the_folder_above_hides_what_is_around_the_workspace(tmp_path: Path, pattern: str):
    """It hid the workspace with the rest, and every command failed with a message of bubblewrap."""
    workspace = tmp_path / "in1/in2/w"
    workspace.mkdir(parents=True)
    for name in ("x", "in1/y", "in1/in2/z"):
        (tmp_path / name).touch()
    (tmp_path / "in1/link").symlink_to(workspace)
    rule = f"{tmp_path}/in1/{pattern.replace('in?', 'in?/*').replace('in/', 'in2/')}"
    found = hidden_paths([rule], workspace, Sandbox(rules=Rules(read=(tmp_path,))))
    assert {str(path.relative_to(tmp_path)) for path in found} == {"in1/in2/z", *(["in1/y"] if pattern == "*" else [])}
