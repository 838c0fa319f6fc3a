"""What commands can leave in a workspace: folders of any depth, pipes, sockets, sparse files, names of any bytes."""

from __future__ import annotations

import inspect
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import Sandbox
from agent.journal.runs import run_folder
from agent.loop.hidden_paths import hidden_paths
from agent.sandbox.removal import remove_tree
from agent.workspace.attempts import save_attempt
from agent.workspace.git_history import copy_history
from agent.workspace.own_changes import restore_own, signature_at_start, signatures
from agent.workspace.workspace import Restored, Snapshot, Workspace

if TYPE_CHECKING:
    from conftest import Nest

DEEP = 200
"""More than the recursion that these tests allow; Python allows 1,000 levels, and a path can have 2,000."""
LONG_NAME = "d" * 199
MANY_LONG_NAMES = 25
"""More than fit into a path: the kernel takes 4,095 bytes."""


@pytest.fixture
def base(tmp_path: Path) -> Generator[Path]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 150)
    yield tmp_path
    sys.setrecursionlimit(before)
    for path in tmp_path.iterdir():  # pytest's own cleanup fails where paths are too long
        assert remove_tree(path)


@pytest.fixture
def folder(base: Path) -> Path:
    (base / "ws").mkdir()
    (base / "ws" / "a.txt").write_text("one\n")
    return base / "ws"


@pytest.mark.parametrize(("depth", "name", "seen"), [(DEEP, "d", DEEP), (MANY_LONG_NAMES, LONG_NAME, 20)])
def test_folders_of_any_depth_that_a_run_made_are_compared_saved_and_removed(
    folder: Path, base: Path, depth: int, name: str, seen: int, nest: Nest
):
    workspace = Workspace(folder)
    snapshot = workspace.snapshot(base / "snap")
    assert isinstance(snapshot, Snapshot)
    (folder / "new").mkdir()
    nest(folder / "new", depth, name)
    found = workspace.diff(snapshot)
    assert {change.kind for change in found} == {"added"}
    assert len(found) == seen
    assert save_attempt(workspace, snapshot) == ".agent/attempts/1/changes.diff"
    assert workspace.restore(snapshot).kept == ()
    assert sorted(item.name for item in folder.iterdir()) == [".agent", "a.txt"]


@pytest.mark.parametrize(("depth", "name"), [(DEEP, "d"), (MANY_LONG_NAMES, LONG_NAME)])
def test_deep_folders_that_a_run_removed_are_restored(folder: Path, base: Path, depth: int, name: str, nest: Nest):
    nest(folder, depth, name)
    workspace = Workspace(folder)
    first = workspace.snapshot(base / "first")
    snapshot = workspace.snapshot(base / "snap", like=base / "first")
    assert isinstance(first, Snapshot)
    assert isinstance(snapshot, Snapshot)
    assert workspace.restore(snapshot) == Restored(changed=(), kept=())
    remove_tree(folder / name)
    assert {change.kind for change in workspace.diff(snapshot)} == {"removed"}
    workspace.restore(snapshot)
    assert workspace.diff(snapshot) == ()
    assert (workspace.copy(base / "copy").path / name / name / "leaf.txt").read_text() == "deep\n"


@pytest.mark.parametrize(("depth", "name"), [(DEEP, "d"), (MANY_LONG_NAMES, LONG_NAME)])
def test_only_the_runs_own_deep_folders_are_removed_where_others_write(
    folder: Path, base: Path, depth: int, name: str, nest: Nest
):
    workspace = Workspace(folder)
    snapshot = workspace.snapshot(base / "snap")
    assert isinstance(snapshot, Snapshot)
    nest(folder, depth, name)
    own = {path: text for path, text in signatures(workspace, snapshot).items() if path != "a.txt"}
    assert signature_at_start(snapshot, max(own)) == ""
    restored = restore_own(workspace, snapshot, own)
    assert restored.conflicts == ()
    assert (folder / name).exists() == bool(restored.kept) == (name == LONG_NAME)  # what has no path is kept, and told


def test_what_is_protected_deep_in_a_folder_stays_and_nothing_else(folder: Path, base: Path, nest: Nest):
    workspace = Workspace(folder)
    snapshot = workspace.snapshot(base / "snap")
    assert isinstance(snapshot, Snapshot)
    (folder / "new").mkdir()
    nest(folder / "new")
    kept = Path("new", *["d"] * 100, ".venv")
    (folder / kept).mkdir()
    assert workspace.restore(snapshot).kept == ("new", *(f"new{'/d' * level}" for level in range(1, 101)))
    assert (folder / kept).is_dir()
    assert list((folder / kept.parent).iterdir()) == [folder / kept]


def test_a_history_with_deep_folders_is_copied(folder: Path, base: Path, nest: Nest):
    (folder / ".git" / "objects").mkdir(parents=True)
    nest(folder / ".git" / "objects")
    (base / "copy").mkdir()
    assert copy_history(folder, base / "copy") == ""
    assert (base / "copy" / ".git" / "objects" / "d" / "leaf.txt").read_text() == "deep\n"


def test_a_pattern_of_a_rule_is_matched_in_deep_folders(folder: Path, nest: Nest):
    nest(folder)
    assert folder / "d" / "leaf.txt" in hidden_paths(["*/leaf.txt"], folder, Sandbox())


def test_the_folder_of_a_run_without_a_journal_is_removed_at_any_depth(base: Path, nest: Nest):
    with run_folder(None, "run") as folder:
        nest(folder)
    assert not folder.exists()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"new\nline", b"tab\t", b"esc\x1b[31m", b" ", b"-rf", b"*", b'"'])
def test_a_file_of_any_name_is_compared_saved_and_restored(folder: Path, base: Path, name: bytes):
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    path.write_text("one\n")
    workspace = Workspace(folder)
    snapshot = workspace.snapshot(base / "snap")
    assert isinstance(snapshot, Snapshot)
    path.write_text("two\n")
    assert [(change.path, change.kind) for change in workspace.diff(snapshot)] == [(path.name, "changed")]
    patch = folder / save_attempt(workspace, snapshot)
    assert "\x1b" not in patch.read_text()
    assert workspace.restore(snapshot) == Restored(changed=(path.name,), kept=())
    assert path.read_text() == "one\n"


def test_pipes_sockets_and_huge_sparse_files_block_nothing_and_fill_nothing(
    folder: Path, base: Path, monkeypatch: pytest.MonkeyPatch
):
    workspace = Workspace(folder)
    snapshot = workspace.snapshot(base / "snap")
    assert isinstance(snapshot, Snapshot)
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / ".gitignore")
    monkeypatch.chdir(folder)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
    (folder / "huge").touch()
    os.truncate(folder / "huge", 10_000_000_000)
    assert [(one.path, one.diff) for one in workspace.diff(snapshot)] == [("huge", "[file of 10000000000 bytes]")]
    later = workspace.snapshot(base / "later")
    assert isinstance(later, Snapshot)
    used = subprocess.run(["du", "-sk", base / "later"], capture_output=True, text=True, check=True).stdout
    assert int(used.split()[0]) < 100
    save_attempt(workspace, snapshot)
    workspace.restore(snapshot)
    assert not (folder / "huge").exists()
