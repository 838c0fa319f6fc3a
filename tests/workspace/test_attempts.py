"""Saved attempts: whatever a restore takes away can be made again from the patch and the files beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agent.workspace import attempts
from agent.workspace.attempts import save_attempt
from agent.workspace.workspace import Snapshot, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "ws"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("one\ntwo\nthree\n")
    (folder / "gone.txt").write_text("to be removed\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "photo").write_bytes(b"\x00\x01")
    return Workspace(folder)


@pytest.fixture
def snapshot(workspace: Workspace, tmp_path: Path) -> Snapshot:
    taken = workspace.snapshot(tmp_path / "snap")
    assert isinstance(taken, Snapshot)
    return taken


def saved(workspace: Workspace, path: str) -> bytes:
    return (workspace.path / path).read_bytes()


def test_nothing_is_saved_if_nothing_has_changed(workspace: Workspace, snapshot: Snapshot):
    assert save_attempt(workspace, snapshot) == ""
    assert not (workspace.path / ".agent").exists()


def test_text_is_saved_as_a_patch_that_can_be_applied_again(workspace: Workspace, snapshot: Snapshot):
    root = workspace.path
    (root / "src" / "a.py").write_text("one\n2\nthree\n")
    (root / "gone.txt").unlink()
    (root / "new").mkdir()
    (root / "new" / "b.txt").write_text("no newline at the end")
    (root / "empty.txt").touch()

    patch = save_attempt(workspace, snapshot)
    after = {path: (root / path).read_bytes() for path in ("src/a.py", "new/b.txt", "empty.txt")}
    workspace.restore(snapshot)

    assert patch == ".agent/attempts/1/changes.diff"
    assert saved(workspace, patch).decode() == (
        "--- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-to be removed\n"
        "--- /dev/null\n+++ b/new/b.txt\n@@ -0,0 +1 @@\n+no newline at the end\n\\ No newline at end of file\n"
        "--- a/src/a.py\n+++ b/src/a.py\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
        "diff --git a/empty.txt b/empty.txt\nnew file mode 100644\n"
    )
    subprocess.run(["git", "apply", patch], cwd=root, check=True)
    assert {path: (root / path).read_bytes() for path in after} == after
    assert not (root / "gone.txt").exists()


def test_what_has_no_text_diff_is_copied_beside_the_patch(workspace: Workspace, snapshot: Snapshot):
    root = workspace.path
    (root / "photo").write_bytes(b"\x00\x02")
    (root / "tool").write_bytes(b"\x7fELF\x00")
    (root / "tool").chmod(0o755)
    (root / "latin").write_bytes("naïve\n".encode("latin-1"))
    (root / "run.sh").chmod(0o755)
    (root / "script.sh").write_text("#!/bin/sh\n")
    (root / "script.sh").chmod(0o755)
    (root / "link").symlink_to("src/a.py")
    (root / "line\nbreak").write_text("odd name\n")

    patch = save_attempt(workspace, snapshot)

    files = ".agent/attempts/1/files"
    assert saved(workspace, patch).decode() == (
        f"# added latin: saved as {files}/latin\n"
        f'# added "line\\nbreak": saved as "{files}/line\\nbreak"\n'
        "# added link: a symlink to src/a.py\n"
        f"# changed photo: saved as {files}/photo\n"
        f"# changed run.sh: saved as {files}/run.sh, mode 755\n"
        "# script.sh is executable\n"
        f"# added tool: saved as {files}/tool, mode 755\n"
        "--- /dev/null\n+++ b/script.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\n"
    )
    for name in ("photo", "tool", "latin", "run.sh", "line\nbreak"):
        assert saved(workspace, f"{files}/{name}") == (root / name).read_bytes()


def test_diffs_that_are_too_long_together_are_saved_as_files(
    workspace: Workspace, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(attempts, "_MAX_DIFF_CHARS", 120)
    for name in "xyz":
        (workspace.path / name).write_text(f"{name * 60}\n")

    patch = save_attempt(workspace, snapshot)

    text = saved(workspace, patch).decode()
    assert f"+{'x' * 60}\n" in text
    for name in "yz":
        assert f"# added {name}: saved as .agent/attempts/1/files/{name}\n" in text
        assert saved(workspace, f".agent/attempts/1/files/{name}") == f"{name * 60}\n".encode()


def test_a_file_too_large_to_copy_is_kept_by_a_link(
    workspace: Workspace, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(attempts, "_MAX_COPY_BYTES", 10)
    (workspace.path / "photo").write_bytes(bytes(range(20)))

    save_attempt(workspace, snapshot)
    workspace.restore(snapshot)

    assert saved(workspace, "photo") == b"\x00\x01"
    assert saved(workspace, ".agent/attempts/1/files/photo") == bytes(range(20))


def test_each_attempt_has_a_folder_of_its_own(workspace: Workspace, snapshot: Snapshot):
    for number in (1, 2):
        (workspace.path / "new").write_text(f"{number}\n")
        assert save_attempt(workspace, snapshot) == f".agent/attempts/{number}/changes.diff"
    assert "+1\n" in saved(workspace, ".agent/attempts/1/changes.diff").decode()


def test_only_the_wanted_paths_are_saved(workspace: Workspace, snapshot: Snapshot):
    for name in ("mine", "yours"):
        (workspace.path / name).write_text(f"{name}\n")
    patch = save_attempt(workspace, snapshot, only={"mine", "no longer there"})
    assert saved(workspace, patch).decode() == "--- /dev/null\n+++ b/mine\n@@ -0,0 +1 @@\n+mine\n"
    assert save_attempt(workspace, snapshot, only=()) == ""


def test_the_folder_is_named_by_the_number_of_the_attempt_or_the_next_free_one(
    workspace: Workspace, snapshot: Snapshot
):
    """After the second attempt, the changes were in `attempts/1`."""
    (workspace.path / "new").write_text("x\n")
    folders = [save_attempt(workspace, snapshot, number=number).split("/")[2] for number in (2, 2, 0)]
    assert folders == ["2", "3", "1"]


@pytest.mark.parametrize("planted", [".agent", ".agent/attempts", ".agent/attempts/1"])
def test_a_planted_symlink_is_not_followed(workspace: Workspace, snapshot: Snapshot, tmp_path: Path, planted: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    place = workspace.path / planted
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside)
    (workspace.path / "new").write_text("x\n")

    if planted == ".agent/attempts/1":
        assert save_attempt(workspace, snapshot) == ".agent/attempts/2/changes.diff"
    else:
        with pytest.raises(OSError, match="through a symlink"):
            save_attempt(workspace, snapshot)
    assert list(outside.iterdir()) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_cannot_be_saved(workspace: Workspace, snapshot: Snapshot):
    (workspace.path / "photo").chmod(0o000)
    with pytest.raises(PermissionError):
        save_attempt(workspace, snapshot)


def test_git_does_not_see_saved_attempts(workspace: Workspace, snapshot: Snapshot):
    subprocess.run(["git", "init", "-q"], cwd=workspace.path, check=True)
    (workspace.path / "new").write_text("x\n")
    save_attempt(workspace, snapshot)
    seen = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=workspace.path, check=True, capture_output=True, text=True
    )
    assert ".agent" not in seen.stdout
