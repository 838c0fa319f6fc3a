"""What a rule about a path hides from commands is found by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.loop.call_paths import hidden_paths
from agent.sandbox import beneath


def test_too_many_files_to_hide_close_the_workspace(tmp_path: Path):
    for number in range(250):
        (tmp_path / f"{number}.env").touch()
    assert hidden_paths(["*.env"], tmp_path) == (tmp_path,)


def test_a_folder_that_cannot_be_listed_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One command took away the permission to read the folder, the next gave it back and read the file."""
    (tmp_path / "src").mkdir()
    opened = beneath.open_beneath

    def refusing(root: Path, path: str, flags: int, **more: Any) -> int:
        if path == "src":
            raise PermissionError(path)
        return opened(root, path, flags, **more)

    monkeypatch.setattr("agent.workspace.tree.open_beneath", refusing)
    assert hidden_paths(["*.env"], tmp_path) == (tmp_path / "src",)
