"""`agent diff` and `agent undo`: what a run changed, and restoring it."""

from __future__ import annotations

import io
import os
import re
import subprocess
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


def run_name(runs: Path) -> str:
    (journal,) = runs.glob("*/journal.jsonl")
    return journal.parent.name


def test_diff_shows_each_change(changed: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["diff", "last"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("--- a/a.txt\n+++ b/a.txt\n")
    assert "-two\n+TWO\n" in printed
    assert "+++ b/n" in printed
    assert "b.txt" not in printed

    assert main(["diff", "last", "--names"]) == 0
    assert capsys.readouterr().out == "changed  a.txt\nadded    n\n"


def test_diff_prints_the_note_of_a_change_that_has_no_text_diff(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]
):
    """A changed mode or binary file was once only a path."""
    (workspace / "n").unlink()
    (workspace / "binary").write_bytes(b"\x00\x01")
    (workspace / "empty").touch()
    (workspace / "sub/b.txt").chmod(0o600)
    (workspace / "a.txt").unlink()
    (workspace / "a.txt").symlink_to("sub/b.txt")
    assert main(["diff", "last"]) == 0
    size = len("one\ntwo\n")
    assert capsys.readouterr().out == (
        f"changed  a.txt  [file of {size} bytes became link to sub/b.txt]\n"
        "added    binary  [not text, 2 bytes]\n"
        "changed  sub/b.txt  [mode 644 became 600]\n"
        "diff --git a/empty b/empty\nnew file mode 100644\n"
    )


def test_git_applies_what_diff_prints_with_empty_files_too(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]
):
    """The header of an empty file swallowed the diff of the next one."""
    (workspace / "empty").touch()
    (workspace / "sub" / "b.txt").write_text("other\n")
    assert main(["diff", "last"]) == 0
    patch = capsys.readouterr().out
    (snapshot,) = changed.glob("*/snapshot")
    subprocess.run(["git", "apply", "-"], cwd=snapshot, input=patch.encode(), check=True)
    files = ["a.txt", "empty", "n", "sub/b.txt"]
    assert [(snapshot / name).read_text() for name in files] == [(workspace / name).read_text() for name in files]


def test_diff_leaves_nothing_out_of_a_long_diff(workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]):
    """Everything after the first million characters was once left out."""
    for number in range(6):
        (workspace / f"long{number}").write_text(f"{number}{'x' * 99}\n" * 2_000)
    assert main(["diff", "last"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.endswith("x" * 99)]) == 12_000
    assert lines[-1] == "+x"


def test_the_text_of_a_file_cannot_control_the_terminal(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (workspace / "a.txt").write_text("one\ntwo\n")
    (workspace / "n").write_text("\x1b[2Jx\n")
    (workspace / "crlf").write_bytes(b"a\r\nb\rc\n")
    (workspace / "\x1b[2J").touch()
    assert main(["diff", "last"]) == 0  # what reads a pipe may show it on a terminal
    printed = capsys.readouterr()
    assert "+\ufffd[2Jx\n" in printed.out
    assert "+a\r\n+b\ufffdc\n" in printed.out
    assert "\x1b" not in printed.out
    assert printed.err == (
        "Secrets are shown as [secret NAME], and characters that could control a terminal as \ufffd. For a patch: "
        "agent "
        "diff last --raw\n"
    )
    assert main(["diff", "last", "--raw"]) == 0
    assert "+\x1b[2Jx\n" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["diff", "last"]) == 0
    assert "+a\ufffd\n" in capsys.readouterr().out


def test_undo_restores_everything_and_keeps_the_state_before_it(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]
):
    name = run_name(changed)
    (workspace / "sub/b.txt").unlink()
    assert main(["undo", "last", "--yes"]) == 0
    assert (workspace / "a.txt").read_text() == "one\ntwo\n"
    assert (workspace / "sub/b.txt").read_text() == "same\n"
    assert not (workspace / "n").exists()
    (backup,) = changed.glob("*/before-undo-*")
    assert capsys.readouterr().out == (
        f"Restoring {workspace} to its state before run {name}, including changes made after the run:\n"
        f"  restore   a.txt\n  remove    n\n  recreate  sub/b.txt\n"
        f"Restored: 3. The state before this undo is in {backup}.\n"
    )
    assert (backup / "a.txt").read_text() == "one\nTWO\n"
    assert main(["diff", "last"]) == 0
    assert capsys.readouterr().out == f"The workspace is the same as before run {name}.\n"


def test_undo_names_what_the_run_left_beside_the_snapshot(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]
):
    """A `.git` that the run made, and `.agent`, once stayed without a word."""
    old = workspace / "node_modules"
    old.mkdir()
    (old / "old.js").touch()
    os.utime(old / "old.js", (1, 1))
    subprocess.run(["git", "init", "-q", str(workspace)], check=True)
    (workspace / ".agent/outputs").mkdir(parents=True)
    left = (
        "Not in the snapshot, so left as it is: .agent (tool outputs and saved attempts), .git (made since the run "
        "began)."
    )
    assert main(["undo", "last", "--yes"]) == 0
    assert capsys.readouterr().out.splitlines()[3] == left
    assert main(["undo", "last", "--yes"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"The workspace is the same as before run {run_name(changed)}.",
        left,
    ]


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


def test_without_a_terminal_undo_says_what_it_would_do_and_how_to_do_it(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]
):
    """It once said that the paths will be restored, and then that nothing was."""
    name = run_name(changed)
    assert main(["undo", "last"]) == 2
    printed = capsys.readouterr()
    assert printed.out == (
        f"Would restore {workspace} to its state before run {name}, including changes made after the run:\n"
        f"  restore   a.txt\n  remove    n\n"
    )
    assert printed.err == (
        "agent: Nothing was restored: there is no terminal to ask for confirmation. To restore it, run: "
        f"agent undo {name} --yes\n"
    )
    assert (workspace / "n").exists()


@pytest.mark.parametrize(("reply", "code", "exists"), [("y", 0, False), ("", 1, True)])
def test_on_a_terminal_undo_asks(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    reply: str, code: int, exists: bool,
):  # fmt: skip
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Keyboard(f"{reply}\n"))
    assert main(["undo", "last"]) == code
    assert (workspace / "n").exists() == exists
    printed = capsys.readouterr().out
    assert printed.startswith(f"This would restore {workspace} to its state before run {run_name(changed)}, ")
    assert "Restore it? [y/N] " in printed
    assert ("Nothing was restored.\n" in printed) == exists


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


@pytest.mark.parametrize("flags", [[], ["--raw"], ["--names"]])
def test_a_file_name_does_not_forge_lines_of_diff(
    flags: list[str], workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]
):
    forged = "z\n+FORGED\nchanged  x"
    for name, content in {f"binary{forged}": b"\0", f"text{forged}": b"x\n", f"empty{forged}": b""}.items():
        (workspace / name).write_bytes(content)
    (workspace / "link").symlink_to(forged)
    assert main(["diff", "last", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not {"+FORGED", "changed  x"} & {*lines}
    assert len([line for line in lines if "FORGED" in line]) == (3 if flags == ["--names"] else 4)


def test_git_applies_the_diff_of_a_file_whose_name_looks_like_another_patch(
    workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]
):
    """A binary file was listed by its bare name, which git took for the diff of another file."""
    folder = workspace / "z\n--- a/a.txt\n+++ b"
    folder.mkdir(parents=True)
    hunk = "a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+FORGED\n"
    (folder / hunk).write_bytes(b"\0\1")
    (folder / f"{hunk}text").write_text("x\n")
    (folder / f"{hunk}empty").touch()
    assert main(["diff", "last"]) == 0
    patch = capsys.readouterr().out
    (snapshot,) = changed.glob("*/snapshot")
    subprocess.run(["git", "apply", "-"], cwd=snapshot, input=patch.encode(), check=True)
    (folder / hunk).unlink()
    assert _texts(snapshot) == _texts(workspace)


def _texts(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_a_file_name_does_not_forge_lines_of_undo(workspace: Path, changed: Path, capsys: pytest.CaptureFixture[str]):
    (workspace / "z\nRestored: 9. The state\r").touch()
    assert main(["undo", "last", "--yes"]) == 0
    printed = capsys.readouterr().out
    assert '  remove    "z\\nRestored: 9. The state\\r"\n' in printed
    assert printed.count("\nRestored: ") == 1
