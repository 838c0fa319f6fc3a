"""Snapshots of a workspace: what they contain, how they are restored, how they are compared."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.workspace.diff import Change
from agent.workspace.tree import scan
from agent.workspace.workspace import EXCLUDED, NoSnapshot, Restored, Snapshot, Workspace


def tree(root: Path) -> dict[str, object]:
    return {
        path: (
            entry.kind,
            entry.mode,
            entry.mtime_ns if entry.kind == "file" else 0,
            entry.target,
            (root / path).read_bytes() if entry.kind == "file" else b"",
        )
        for path, entry in scan(root, protected=frozenset()).items()
    }


def taken(workspace: Workspace, into: Path) -> Snapshot:
    snapshot = workspace.snapshot(into)
    assert isinstance(snapshot, Snapshot)
    return snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("one\ntwo\nthree\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/a.py")
    (folder / "empty").mkdir()
    return folder


def test_restore_removes_added_paths_and_restores_changed_and_removed_ones(folder: Path, tmp_path: Path):
    workspace, before = Workspace(folder), tree(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "src" / "a.py").write_text("other\n")
    (folder / "run.sh").unlink()
    (folder / "new" / "deep").mkdir(parents=True)
    (folder / "new" / "deep" / "file").write_text("x")
    (folder / "empty").rmdir()
    (folder / "link").unlink()
    (folder / "link").symlink_to("/etc/passwd")

    restored = workspace.restore(snapshot)

    assert tree(folder) == before
    assert restored == Restored(
        changed=("empty", "link", "new", "new/deep", "new/deep/file", "run.sh", "src/a.py"), kept=()
    )


def test_restore_leaves_unchanged_files_alone(folder: Path, tmp_path: Path):
    workspace = Workspace(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    before = (folder / "src" / "a.py").stat()

    assert workspace.restore(snapshot) == Restored(changed=(), kept=())

    after = (folder / "src" / "a.py").stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_a_change_that_keeps_size_and_time_is_found(folder: Path, tmp_path: Path):
    workspace, file = Workspace(folder), folder / "src" / "a.py"
    snapshot, facts = taken(workspace, tmp_path / "snap"), file.stat()
    file.write_text("eno\nowt\neerht\n")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    workspace.restore(snapshot)

    assert file.read_text() == "one\ntwo\nthree\n"


def test_mode_and_time_alone_are_restored_without_writing_the_file(folder: Path, tmp_path: Path):
    workspace, before = Workspace(folder), tree(folder)
    snapshot, inode = taken(workspace, tmp_path / "snap"), (folder / "run.sh").stat().st_ino
    (folder / "run.sh").chmod(0o600)
    os.utime(folder / "run.sh", (1, 1))

    assert workspace.restore(snapshot).changed == ("run.sh",)
    assert tree(folder) == before
    assert (folder / "run.sh").stat().st_ino == inode


def test_excluded_names_are_neither_copied_nor_changed(folder: Path, tmp_path: Path):
    for name in (".git", "src/node_modules"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("before")
    workspace = Workspace(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    for name in (".git", "src/node_modules"):
        (folder / name / "x").write_text("after")

    assert workspace.restore(snapshot) == Restored(changed=(), kept=())
    assert (folder / ".git" / "x").read_text() == "after"
    assert (folder / "src" / "node_modules" / "x").read_text() == "after"
    assert sorted(scan(snapshot.tree, protected=frozenset())) == ["empty", "link", "run.sh", "src", "src/a.py"]


def test_folders_ignored_by_gitignore_are_neither_copied_nor_changed(folder: Path, tmp_path: Path):
    (folder / ".gitignore").write_text("target/\n*.log\n")
    (folder / "src" / "target").mkdir()
    (folder / "src" / "target" / "huge.o").write_bytes(bytes(2_000))
    (folder / "a.log").write_text("before")
    workspace = Workspace(folder)
    snapshot = workspace.snapshot(tmp_path / "snapshot", max_bytes=1_000)
    assert isinstance(snapshot, Snapshot)
    assert not (snapshot.tree / "src" / "target").exists()

    (folder / "src" / "target" / "huge.o").write_bytes(b"built anew")
    (folder / "a.log").write_text("after")
    (folder / ".gitignore").write_text("target/\nsrc/\nadded/\n")
    (folder / "src" / "a.py").write_text("hidden?\n")
    (folder / "added").mkdir()
    (folder / "added" / "target").mkdir()

    assert [change.path for change in workspace.diff(snapshot)] == [".gitignore", "a.log", "src/a.py"]
    workspace.restore(snapshot)
    assert (folder / "src" / "a.py").read_text() == "one\ntwo\nthree\n"
    assert (folder / "a.log").read_text() == "before"
    assert not (folder / "added").exists()
    assert (folder / "src" / "target" / "huge.o").read_bytes() == b"built anew"
    assert (workspace.copy(tmp_path / "copy").path / "src" / "target" / "huge.o").exists(), "a copy is complete"


def test_large_files_are_left_alone_and_their_changes_are_reported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("agent.workspace.tree.MAX_FILE_BYTES", 1_000)
    for name in ("same", "changed", "removed", "small"):
        (folder / name).write_bytes(b"x" * (100 if name == "small" else 5_000))
    workspace = Workspace(folder)
    snapshot = workspace.snapshot(tmp_path / "snapshot", max_bytes=2_000)
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.tree / "same").stat().st_size == 5_000
    assert (snapshot.tree / "same").stat().st_blocks == 0

    (folder / "changed").write_bytes(b"y" * 5_000)
    (folder / "removed").unlink()
    (folder / "small").write_bytes(b"x" * 5_000)
    (folder / "added").write_bytes(b"x" * 5_000)

    assert [(change.path, change.kind) for change in workspace.diff(snapshot)] == [
        ("added", "added"), ("changed", "changed"), ("removed", "removed"), ("small", "changed"),
    ]  # fmt: skip
    assert workspace.restore(snapshot) == Restored(changed=("added", "small"), kept=("changed", "removed"))
    assert (folder / "same").read_bytes() == b"x" * 5_000
    assert (folder / "changed").read_bytes() == b"y" * 5_000, "the snapshot does not have its content"
    assert (folder / "small").stat().st_size == 100
    assert [change.path for change in workspace.diff(snapshot)] == ["changed", "removed"]
    assert (workspace.copy(tmp_path / "copy").path / "same").read_bytes() == b"x" * 5_000, "a copy is complete"


def test_unchanged_files_are_shared_with_an_earlier_snapshot_and_changed_ones_are_not(folder: Path, tmp_path: Path):
    workspace = Workspace(folder)
    first = taken(workspace, tmp_path / "first")
    (folder / "run.sh").write_text("#!/bin/sh\nexit 1\n")
    sneaky = folder / "src" / "a.py"
    facts = sneaky.stat()
    sneaky.write_text("ONE\ntwo\nthree\n")
    os.utime(sneaky, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (folder / "same").write_text("same")
    second = workspace.snapshot(tmp_path / "second", like=first.tree)
    assert isinstance(second, Snapshot)
    third = workspace.snapshot(tmp_path / "third", like=second.tree)
    assert isinstance(third, Snapshot)

    def number(snapshot: Snapshot, name: str) -> int:
        return (snapshot.tree / name).stat().st_ino

    for name in ("run.sh", "src/a.py", "same"):
        assert number(second, name) == number(third, name)
    assert number(first, "run.sh") != number(second, "run.sh")
    assert number(first, "src/a.py") != number(second, "src/a.py"), "the same size and time, but not the same content"
    assert tree(second.tree) == tree(third.tree) == tree(folder)
    workspace.restore(first)
    (folder / "run.sh").write_text("changed in place\n")
    assert (first.tree / "run.sh").read_text() == "#!/bin/sh\n"
    assert (third.tree / "run.sh").read_text() == "#!/bin/sh\nexit 1\n", "a restored file is not hard-linked"


def test_a_moved_repository_is_kept_and_reported(folder: Path, tmp_path: Path):
    """Removing the added folder would remove a .git that existed before the run."""
    (folder / "src" / ".git").mkdir()
    (folder / "src" / ".git" / "HEAD").write_text("ref")
    workspace = Workspace(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "src").rename(folder / "moved")

    restored = workspace.restore(snapshot)

    assert restored.kept == ("moved",)
    assert (folder / "moved" / ".git" / "HEAD").read_text() == "ref"
    assert not (folder / "moved" / "a.py").exists()
    assert (folder / "src" / "a.py").read_text() == "one\ntwo\nthree\n"


def test_a_repository_in_the_place_of_a_file_is_kept_and_the_rest_restored(folder: Path, tmp_path: Path):
    workspace = Workspace(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "run.sh").unlink()
    (folder / "run.sh" / ".git").mkdir(parents=True)
    (folder / "src" / "a.py").unlink()

    restored = workspace.restore(snapshot)

    assert restored == Restored(changed=("run.sh", "src/a.py"), kept=("run.sh",))


def test_an_added_folder_is_removed_with_the_caches_in_it(folder: Path, tmp_path: Path):
    workspace, before = Workspace(folder), tree(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "new" / "__pycache__").mkdir(parents=True)
    (folder / "new" / "__pycache__" / "x.pyc").write_text("")

    workspace.restore(snapshot)

    assert tree(folder) == before


def test_restore_does_not_write_through_a_symlink_that_replaced_a_folder(folder: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("outside")
    workspace, before = Workspace(folder), tree(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "src" / "a.py").unlink()
    (folder / "src").rmdir()
    (folder / "src").symlink_to(outside)

    workspace.restore(snapshot)

    assert tree(folder) == before
    assert (outside / "a.py").read_text() == "outside"


def test_a_pipe_in_the_place_of_a_file_or_folder_is_replaced(folder: Path, tmp_path: Path):
    workspace, before = Workspace(folder), tree(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "run.sh").unlink()
    os.mkfifo(folder / "run.sh")
    (folder / "empty").rmdir()
    os.mkfifo(folder / "empty")

    workspace.restore(snapshot)

    assert tree(folder) == before


def test_inaccessible_folders_are_restored_and_get_their_mode_back(folder: Path, tmp_path: Path):
    (folder / "src").chmod(0o555)
    workspace, before = Workspace(folder), tree(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    assert workspace.restore(snapshot) == Restored(changed=(), kept=())
    (folder / "src").chmod(0o755)
    (folder / "src" / "a.py").unlink()
    (folder / "src").chmod(0)

    assert workspace.restore(snapshot).changed == ("src", "src/a.py")
    assert tree(folder) == before


def test_an_inaccessible_folder_in_the_place_of_a_link_is_restored(folder: Path, tmp_path: Path):
    """The restore ended with an OSError because its path then led through the link."""
    (folder / "way").symlink_to("there")
    workspace = Workspace(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "way").unlink()
    (folder / "there").mkdir()
    (folder / "way" / "in" / "it").mkdir(parents=True)
    (folder / "way" / "in" / "it").chmod(0o555)

    workspace.restore(snapshot)

    assert (folder / "way").readlink() == Path("there")
    assert not (folder / "there").exists()


def test_the_mode_of_an_inaccessible_folder_is_not_set_on_the_target_of_a_restored_link(folder: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir(mode=0o755)
    (folder / "out").symlink_to(tmp_path / "outside")
    snapshot = taken(workspace := Workspace(folder), tmp_path / "snap")
    (folder / "out").unlink()
    (folder / "out").mkdir(mode=0o555)

    workspace.restore(snapshot)

    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o755


def test_a_snapshot_can_be_opened_again_by_its_folder(folder: Path, tmp_path: Path):
    before = tree(folder)
    taken(Workspace(folder), tmp_path / "snap")
    (folder / "run.sh").unlink()

    Workspace(folder).restore(Snapshot(tree=tmp_path / "snap"))

    assert tree(folder) == before


def test_a_workspace_that_is_too_large_is_not_copied(folder: Path, tmp_path: Path):
    reason = f"{folder} has more than 3 files or 536870912 bytes"
    assert Workspace(folder).snapshot(tmp_path / "snap", max_files=3) == NoSnapshot(reason=reason)
    reason = f"{folder} has more than 20000 files or 12 bytes"
    assert Workspace(folder).snapshot(tmp_path / "snap", max_bytes=12) == NoSnapshot(reason=reason)
    assert not (tmp_path / "snap").exists()


def test_a_snapshot_inside_the_workspace_is_refused_except_under_an_excluded_name(folder: Path):
    names = ", ".join(sorted(EXCLUDED))
    assert Workspace(folder).snapshot(folder / "snap") == NoSnapshot(
        reason=f"{folder}/snap is inside the workspace; put it elsewhere, or under one of {names}"
    )
    assert isinstance(Workspace(folder).snapshot(folder / ".agent" / "snap"), Snapshot)


def test_an_existing_snapshot_is_not_overwritten(folder: Path, tmp_path: Path):
    assert Workspace(folder).snapshot(tmp_path) == NoSnapshot(reason=f"File exists: {tmp_path}")


def test_diff_lists_what_was_added_changed_and_removed(folder: Path, tmp_path: Path):
    workspace = Workspace(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "src" / "a.py").write_text("one\n2\nthree\n")
    (folder / "src" / "b.bin").write_bytes(b"\0\1")
    (folder / "link").unlink()
    (folder / "link").symlink_to("run.sh")
    (folder / "run.sh").chmod(0o644)
    (folder / "new.txt").write_text("hello\n")
    (folder / "other").mkdir()

    assert workspace.diff(snapshot) == (
        Change(path="link", kind="changed", diff="[link to src/a.py became link to run.sh]"),
        Change(path="new.txt", kind="added", diff="--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+hello"),
        Change(path="run.sh", kind="changed", diff="[mode 755 became 644]"),
        Change(
            path="src/a.py",
            kind="changed",
            diff="--- a/src/a.py\n+++ b/src/a.py\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three",
        ),
        Change(path="src/b.bin", kind="added", diff="[not text, 2 bytes]"),
    )


def test_diff_of_a_removed_file_and_of_large_files(folder: Path, tmp_path: Path):
    workspace = Workspace(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "run.sh").unlink()
    with (folder / "big").open("wb") as file:
        file.truncate(20_000_001)
    long = "--- /dev/null\n+++ b/long\n@@ -0,0 +1,5000 @@" + "\n+" * 5_000
    (folder / "long").write_text("\n" * 5_000)

    assert workspace.diff(snapshot) == (
        Change(path="big", kind="added", diff="[file of 20000001 bytes]"),
        Change(path="long", kind="added", diff=long),
        Change(path="run.sh", kind="removed", diff="--- a/run.sh\n+++ /dev/null\n@@ -1 +0,0 @@\n-#!/bin/sh"),
    )


def test_a_long_diff_is_cut_but_every_change_is_listed(folder: Path, tmp_path: Path):
    workspace = Workspace(folder)
    snapshot = taken(workspace, tmp_path / "snap")
    (folder / "a").write_text("x" * 100)
    (folder / "b").write_text("y")

    first, second = workspace.diff(snapshot, max_chars=20)

    assert first == Change(path="a", kind="added", diff="--- /dev/null\n+++ b/\n[145 more characters]")
    assert second == Change(path="b", kind="added", diff="[diff left out]")


def test_the_root_folder_is_not_a_workspace(tmp_path: Path):
    (tmp_path / "link").symlink_to("/")
    for path in ("/", tmp_path / "link"):
        with pytest.raises(ConfigError) as caught:
            Workspace(path)
        assert str(caught.value) == (
            "The workspace is '/', the whole machine. Give the one folder that the run may change."
        )


def test_a_missing_workspace_is_refused_or_created(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        Workspace(tmp_path / "a" / "b")
    assert str(caught.value) == (
        f"The workspace '{tmp_path}/a/b' cannot be used: No such file or directory. Create it, or use another folder."
    )
    assert Workspace(tmp_path / "a" / "b", create=True).path.is_dir()


def test_a_file_is_not_a_workspace(folder: Path):
    with pytest.raises(ConfigError) as caught:
        Workspace(folder / "run.sh")
    assert str(caught.value) == (
        f"The workspace '{folder}/run.sh' is not a folder. Give the folder that the run may change."
    )


NAMES = st.sampled_from(["a", "b", "c/d", "c", "e/f/g", "e", "e/f", "h\udcff"])
STATE = st.dictionaries(
    NAMES,
    st.one_of(
        st.tuples(st.just("file"), st.binary(max_size=3), st.sampled_from([0o600, 0o644, 0o755])),
        st.tuples(st.just("folder"), st.just(b""), st.sampled_from([0o700, 0o755, 0o555])),
        st.tuples(st.just("link"), st.sampled_from([b"a", b"c/d", b"/etc"]), st.just(0)),
    ),
    max_size=6,
)


def build(root: Path, state: dict[str, tuple[str, bytes, int]]) -> None:
    for name, (kind, content, mode) in sorted(state.items()):
        path = root / name
        if os.path.lexists(path) or any(
            os.path.lexists(up) and (up.is_symlink() or not up.is_dir())
            for up in path.parents
            if up.is_relative_to(root)
        ):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "file":
            path.write_bytes(content)
            path.chmod(mode)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(content.decode())
    for name, (kind, _, mode) in sorted(state.items(), reverse=True):
        if kind == "folder" and (root / name).is_dir() and not (root / name).is_symlink():
            (root / name).chmod(mode)


@settings(max_examples=50, deadline=None)
@given(before=STATE, after=STATE)
def test_restore_restores_any_tree(before: dict, after: dict):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name) / "ws"
        folder.mkdir()
        build(folder, before)
        workspace, was = Workspace(folder), tree(folder)
        snapshot = taken(workspace, Path(name) / "snap")
        folder.rename(Path(name) / "old")
        folder.mkdir()
        build(folder, after)
        changes = workspace.diff(snapshot)

        restored = workspace.restore(snapshot)

        assert tree(folder) == was
        assert restored.kept == ()
        assert {change.path for change in changes} <= set(restored.changed)
        assert workspace.diff(snapshot) == ()
        assert workspace.restore(snapshot).changed == ()
        for path in Path(name).rglob("*"):  # or inaccessible folders could not be removed
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
