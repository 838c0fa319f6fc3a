"""Changes of a run itself, in a folder where others work too: told apart, and restored alone."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from agent.workspace.own_changes import (
    changed_by_others,
    named,
    restore_own,
    signature_at_start,
    signatures,
    signatures_at_start,
)
from agent.workspace.workspace import Restored, Snapshot, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "ws"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("one\n")
    (folder / "src" / "b.py").write_text("two\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "link").symlink_to("src")
    return Workspace(folder)


@pytest.fixture
def snapshot(workspace: Workspace, tmp_path: Path) -> Snapshot:
    taken = workspace.snapshot(tmp_path / "snap")
    assert isinstance(taken, Snapshot)
    return taken


def peak_of(call: Callable[[], set[str]]) -> tuple[tuple[int, int], set[str]]:
    """Return the memory that a call needed, now and at most, in bytes, and what it returned."""
    tracemalloc.start()
    try:
        found = call()
        return tracemalloc.get_traced_memory(), found
    finally:
        tracemalloc.stop()


def now(workspace: Workspace, snapshot: Snapshot, paths: Collection[str]) -> dict[str, str]:
    """Return the signatures of paths, as they are recorded after the run has changed them."""
    found = signatures(workspace, snapshot)
    return {path: found.get(path, "") for path in paths}


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_a_snapshot_has_the_signatures_of_its_start(workspace: Workspace, snapshot: Snapshot):
    start = signatures(workspace, snapshot)
    assert start.keys() == {"src", "src/a.py", "src/b.py", "run.sh", "link"}
    assert signatures_at_start(workspace, snapshot) == start
    assert {path: signature_at_start(snapshot, path) for path in start} == start
    assert [signature_at_start(snapshot, path) for path in ("new", "link/a.py", "run.sh/x")] == [""] * 3


def test_only_what_the_run_changed_is_restored(workspace: Workspace, snapshot: Snapshot):
    root = workspace.path
    (root / "src" / "a.py").write_text("changed by the run\n")
    (root / "run.sh").unlink()
    (root / "new").mkdir()
    (root / "new" / "run.txt").write_text("new\n")
    own = now(workspace, snapshot, ["src/a.py", "run.sh", "new", "new/run.txt"])
    (root / "src" / "b.py").write_text("changed by the user\n")
    (root / "mine.txt").write_text("typed by the user\n")

    restored = restore_own(workspace, snapshot, own)

    assert restored == Restored(changed=("new", "new/run.txt", "run.sh", "src/a.py"), kept=())
    assert contents(root) == {
        "src/a.py": "one\n", "src/b.py": "changed by the user\n", "run.sh": "#!/bin/sh\n",
        "mine.txt": "typed by the user\n",
    }  # fmt: skip
    assert signatures(workspace, snapshot)["src/a.py"] == signature_at_start(snapshot, "src/a.py")


def test_what_the_user_changed_after_the_run_is_a_conflict_and_left_alone(workspace: Workspace, snapshot: Snapshot):
    root = workspace.path
    (root / "src" / "a.py").write_text("changed by the run\n")
    (root / "new.txt").write_text("new\n")
    (root / "run.sh").unlink()
    own = now(workspace, snapshot, ["src/a.py", "new.txt", "run.sh"])
    (root / "src" / "a.py").write_text("and by the user\n")
    (root / "new.txt").unlink()
    (root / "run.sh").write_text("another one\n")

    assert changed_by_others(workspace, own) == {"src/a.py", "new.txt", "run.sh"}
    restored = restore_own(workspace, snapshot, own)

    assert restored == Restored(changed=(), kept=(), conflicts=("new.txt", "run.sh", "src/a.py"))
    assert contents(root) == {"src/a.py": "and by the user\n", "src/b.py": "two\n", "run.sh": "another one\n"}


def test_a_new_folder_that_the_user_put_a_file_into_stays(workspace: Workspace, snapshot: Snapshot):
    (workspace.path / "new").mkdir()
    own = now(workspace, snapshot, ["new"])
    (workspace.path / "new" / "mine.txt").write_text("typed by the user\n")

    assert restore_own(workspace, snapshot, own) == Restored(changed=(), kept=("new",))
    assert (workspace.path / "new" / "mine.txt").exists()


def test_a_folder_that_the_run_replaced_by_a_file_is_restored(workspace: Workspace, snapshot: Snapshot):
    root = workspace.path
    for name in ("a.py", "b.py"):
        (root / "src" / name).unlink()
    (root / "src").rmdir()
    (root / "src").write_text("a file now\n")
    own = now(workspace, snapshot, ["src", "src/a.py", "src/b.py"])

    assert restore_own(workspace, snapshot, own).changed == ("src", "src/a.py", "src/b.py")
    assert contents(root / "src") == {"a.py": "one\n", "b.py": "two\n"}


def test_nothing_is_restored_through_a_symlink(workspace: Workspace, snapshot: Snapshot, tmp_path: Path):
    root, outside = workspace.path, tmp_path / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("of somebody else\n")
    for name in ("a.py", "b.py"):
        (root / "src" / name).unlink()
    (root / "src").rmdir()
    (root / "src").symlink_to(outside)
    own = now(workspace, snapshot, ["src", "src/a.py", "src/b.py"])

    assert own["src/a.py"] == ""
    assert restore_own(workspace, snapshot, own).changed == ("src", "src/a.py", "src/b.py")
    assert contents(outside) == {"a.py": "of somebody else\n"}
    assert contents(root / "src") == {"a.py": "one\n", "b.py": "two\n"}


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_what_cannot_be_written_is_a_conflict(workspace: Workspace, snapshot: Snapshot):
    (workspace.path / "src" / "a.py").write_text("changed\n")
    own = now(workspace, snapshot, ["src/a.py"])
    (workspace.path / "src").chmod(0o500)
    assert restore_own(workspace, snapshot, own).conflicts == ("src/a.py",)
    (workspace.path / "src").chmod(0o700)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["src/a.py"], {"src/a.py"}),
        (["sed -i s/one/two/ a.py && echo 'ok'."], {"src/a.py"}),
        (["Look at a.py. It is wrong."], {"src/a.py"}),
        (["cat > 'my file.txt'"], {"my file.txt"}),
        (["/home/me/project/src/a.py:12"], {"src/a.py"}),
        (["./src/a.py", "other/src"], {"src/a.py"}),
        (["other/a.py"], set()),
        (["rm -r build/"], {"build", "build/x", "build/x/a.py"}),
        (["xa.py a.pyc a.py.orig a-b"], set()),
        (["sleep 1"], set()),
        ([], set()),
    ],
)
def test_a_change_is_the_runs_if_its_calls_name_it(texts: list[str], found: set[str]):
    changed = {"src/a.py", "my file.txt", "a", "build", "build/x", "build/x/a.py", ".env"}
    if "build" not in "".join(texts):
        changed = {path for path in changed if not path.startswith("build")}
    assert named(changed, texts) == found


def test_a_folder_that_did_not_change_itself_names_nothing():
    assert named({"src/a.py"}, ["pytest src"]) == set()


def test_deep_paths_are_compared_without_a_text_for_each_of_their_ends():
    deep = ["/".join(["d"] * depth) for depth in range(1_890, 1_900)]
    (_, peak), found = peak_of(lambda: named(deep, ["mkdir d"]))
    assert found == set(deep)
    assert peak < 1_000_000


def test_a_long_word_of_slashes_does_not_fill_memory():
    texts = ["touch new", "a/" * 30_000, *(f"{number}/" + "a/" * 2_000 for number in range(20))]
    (_, peak), found = peak_of(lambda: named({"new", "a"}, texts))
    assert found == {"new", "a"}
    assert peak < 20_000_000


def test_a_folder_names_its_contents_but_not_what_sorts_beside_them():
    changed = {"build", "build-x", "build/x", "build/x/y", "build.py", "other/build/x"}
    assert named(changed, ["rm -r build"]) == {"build", "build/x", "build/x/y"}
