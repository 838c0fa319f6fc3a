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


def test_a_pattern_about_a_folder_of_the_system_is_looked_for_there(tmp_path: Path):
    found = hidden_paths(["/etc/pass?d"], tmp_path, Sandbox())
    assert found == (Path("/etc/passwd"),)
