"""`agent diff` and `agent undo`: what a run changed, and restoring it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent import Agent
from agent.cli import main
from agent.testing import ScriptedModel, calls, says
from tools.files import list_files, write_file


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("one\ntwo\n")
    (folder / "sub/b.txt").write_text("same\n")
    return folder


@pytest.fixture
def changed(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a run that changed one file and created another; return the folder of all runs."""
    runs = tmp_path / "runs"
    monkeypatch.setenv("AGENT_RUNS_DIR", str(runs))
    edit = ("write_file", {"path": "a.txt", "content": "one\nTWO\n"})
    model = ScriptedModel([calls(edit, ("write_file", {"path": "n", "content": "x\n"})), says("Done.")])
    Agent(model, tools=[write_file], workspace=workspace, runs=runs).run_sync("Change it.")
    return runs


def test_diff_shows_each_change(changed: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["diff", "last"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("--- a/a.txt\n+++ b/a.txt\n")
    assert "-two\n+TWO\n" in printed
    assert "+++ b/n" in printed
    assert "b.txt" not in printed

    assert main(["diff", "last", "--names"]) == 0
    assert capsys.readouterr().out == "changed  a.txt\nadded    n\n"


def test_undo_restores_everything_and_keeps_the_state_before_it(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["undo", "last", "--yes"]) == 0
    assert (workspace / "a.txt").read_text() == "one\ntwo\n"
    assert not (workspace / "n").exists()
    (backup,) = changed.glob("*/before-undo-*")
    assert capsys.readouterr().out == (
        f"These paths in {workspace} will be restored, including changes made after the run:\n"
        f"  changed  a.txt\n  added    n\nRestored: 2. The state before this undo is in {backup}.\n"
    )
    assert (backup / "a.txt").read_text() == "one\nTWO\n"
    assert main(["diff", "last"]) == 0
    assert capsys.readouterr().out == f"The workspace is the same as before run {backup.parent.name}.\n"


def test_snapshots_of_the_same_folder_share_unchanged_files(workspace: Path, changed: Path):
    def snapshot_of_a_run(folder: Path) -> Path:
        model = ScriptedModel([says("Done.")])
        outcome = Agent(model, tools=[write_file], workspace=folder, runs=changed).run_sync("Again.")
        assert outcome.journal is not None
        return outcome.journal.parent / "snapshot"

    (first,) = changed.glob("*/snapshot")
    second = snapshot_of_a_run(workspace)
    assert (first / "sub/b.txt").stat().st_ino == (second / "sub/b.txt").stat().st_ino
    assert (first / "a.txt").read_text() == "one\ntwo\n"
    assert (second / "a.txt").read_text() == "one\nTWO\n"
    other = workspace.with_name("other")
    other.mkdir()
    (other / "b.txt").write_text("same\n")
    assert (snapshot_of_a_run(other) / "b.txt").stat().st_nlink == 1


def test_without_a_terminal_undo_needs_yes(workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["undo", "last"]) == 2
    assert capsys.readouterr().err == (
        "agent: Nothing was restored: there is no terminal to ask for confirmation. Use --yes.\n"
    )
    assert (workspace / "n").exists()


def test_a_run_that_changes_nothing_has_nothing_to_undo(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    runs = tmp_path / "runs"
    monkeypatch.setenv("AGENT_RUNS_DIR", str(runs))
    model = ScriptedModel([calls(("list_files", {})), says("Done.")])
    Agent(model, tools=[list_files], workspace=workspace, runs=runs).run_sync("Look.")
    for command in (["diff", "last"], ["undo", "last", "--yes"]):
        assert main(command) == 2
        assert re.fullmatch(
            r"agent: Run '\S+' has no snapshot of its workspace: its tools change no files, or it worked in the "
            r"current folder without naming it\.\n",
            capsys.readouterr().err,
        )
