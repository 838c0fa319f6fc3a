"""Files that Python runs without being told to, beside the pinned ones."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.sandbox.pinned import Pinned, command_files

_SITE = ".venv/lib/python3.11/site-packages"


def _add(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_text("import os")
        return path

    return write


def _replace_configuration(folder: Path) -> Path:
    path = folder / ".venv/pyvenv.cfg"
    path.write_text("home = /tmp")
    return path


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder with a server and its virtual environment."""
    (tmp_path / _SITE).mkdir(parents=True)
    (tmp_path / ".venv/bin").mkdir()
    (tmp_path / ".venv/bin/python").write_text("#!/bin/sh\n")
    (tmp_path / ".venv/pyvenv.cfg").write_text("home = /usr/bin")
    (tmp_path / "server.py").write_text("import json\n")
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        _add(f"{_SITE}/new.pth"), _add(f"{_SITE}/sitecustomize.py"), _add(f"{_SITE}/usercustomize.py"),
        _replace_configuration, _add("json.py"),
    ],
)  # fmt: skip
def test_what_an_interpreter_runs_at_its_start_is_pinned_with_a_server(
    environment: Path, change: Callable[[Path], Path]
):
    pinned = Pinned(command_files((".venv/bin/python", "server.py"), environment))
    assert pinned.changed() == []

    added = change(environment)

    assert pinned.changed() == [added]


def test_what_was_there_before_and_other_files_are_no_change(environment: Path):
    (environment / _SITE / "old.pth").write_text("import os")
    pinned = Pinned(command_files((".venv/bin/python", "server.py"), environment))

    (environment / _SITE / "package.py").write_text("")
    (environment / "notes.txt").write_text("")

    assert pinned.changed() == []


@pytest.mark.parametrize(
    ("command", "known"),
    [
        ("node server.js", ["server.js"]),
        ("env node --import ./lib.js server.js", ["lib.js", "server.js"]),
        ("sh start.sh", ["start.sh"]),
        ("uv run server.py", ["library.py", "server.py"]),
        ("node .", []),
        ("npx -y server", []),
        ("sh -c 'node server.js'", []),
    ],
)
def test_of_other_starters_than_python_the_files_that_are_words_are_pinned_as_the_readme_says(
    command: str, known: list[str], tmp_path: Path
):
    for name in ("server.js", "lib.js", "start.sh", "library.py", "package.json", "node_modules/server/package.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "server.py").write_text("import library")
    found = command_files(shlex.split(command), tmp_path)
    assert sorted(path.name for path in found if path.is_relative_to(tmp_path)) == known
