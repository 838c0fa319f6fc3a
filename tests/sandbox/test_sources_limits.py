"""What a run leaves beside a server does not keep the next run from starting."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

import agent.task.own_files
from agent import load_task
from agent.sandbox import command_sources, sources
from agent.sandbox.pinned import Pinned, imported_names
from agent.task.own_files import own_files


def test_what_a_server_imports_beyond_the_limit_is_pinned_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """300 modules of 1 MB each, which a run made, kept the next run from starting for minutes."""
    monkeypatch.setattr(command_sources, "_MAX_PARSED_BYTES", 100)
    read: list[bytes] = []

    def parse(text: bytes) -> ast.Module:
        read.append(text)
        return ast.Module([], [])

    monkeypatch.setattr(command_sources.ast, "parse", parse)
    (tmp_path / "server.py").write_text(f"import large\n{'#' * 200}")
    large = tmp_path / "large.py"
    large.write_text("")
    found = command_sources.command_sources(("python3", "server.py"), tmp_path, [tmp_path])
    pinned = Pinned(found, tmp_path, [tmp_path])
    assert [text for text in read if len(text) > 100] == []
    assert "more Python files" in pinned.notes()[0], "what lies beyond was not said"
    large.write_text("x = 1")
    assert pinned.changed() == [large]
    monkeypatch.undo()
    assert (
        Pinned(command_sources.command_sources(("python3", "server.py"), tmp_path, [tmp_path]), tmp_path, []).notes()
        == []
    )


def test_many_names_beside_a_server_are_listed_once_and_not_looked_for(tmp_path: Path):
    """30,000 files beside a server took over a minute: each was looked for in each installed file."""
    (tmp_path / "acme.py").write_text("x = 1\n")
    names = {f"name{number}" for number in range(501)}
    assert imported_names([tmp_path], names) == names
    (tmp_path / "acme.py").write_text("import" * 100_000 + "\nimport name7 as a, name8\n")
    began = time.process_time()
    assert imported_names([tmp_path], {"name7", "name8", "name9"}) == {"name7", "name8"}
    assert time.process_time() - began < 1


def test_modules_are_found_by_listing_their_folder_once(tmp_path: Path):
    made = ("a.py", "b.pyc", "c/__init__.py", "d/x.py", "e.txt", "f.g.py")
    for name in made:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = sources.Sources(modules={tmp_path: frozenset({"b"})})
    assert found.existing() == {tmp_path / "b.pyc"}
    assert found.unlisted() == {tmp_path / "a.py", tmp_path / "c/__init__.py"}


def test_imports_of_many_other_tasks_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run that left other tasks with large modules beside its own kept it from starting for minutes."""
    monkeypatch.setattr(agent.task.own_files, "_MAX_PARSED_BYTES", 5)
    for name in ("a", "bb"):
        (tmp_path / f"{name}.py").write_text("x = 12345\n")
        (tmp_path / f"{name}.yaml").write_text(f"prompt: Go.\ntools: [./{name}.py]\n")
    (tmp_path / "task.yaml").write_text("prompt: Go.\nworkspace: .\ntools: []\n")
    found = own_files(load_task(tmp_path / "task.yaml")).files
    assert {tmp_path / "a.py", tmp_path / "bb.yaml"} <= found
    assert tmp_path / "bb.py" not in found


def test_of_many_modules_beside_a_server_only_some_are_named(tmp_path: Path):
    (tmp_path / "server.py").write_text("import json\n")
    found = command_sources.command_sources(("python3", "server.py"), tmp_path, [tmp_path])
    pinned = Pinned(found, tmp_path, [tmp_path])
    for number in range(501):
        (tmp_path / f"name{number}.py").touch()
    assert len(pinned.changed()) == 5
