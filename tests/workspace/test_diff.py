"""Diffs of two texts of any length, judged by `git apply`, and what stands in the place of a diff."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import changes_since
from agent.sandbox.beneath import open_regular
from agent.workspace.diff import Change
from agent.workspace.unified import unified_diff
from agent.workspace.workspace import Snapshot, Workspace


def diff(old: str, new: str) -> str:
    return unified_diff(old, new, old_path="a.txt", new_path="a.txt")


def applied(folder: Path, old: str, patch: str, *, name: str = "a.txt") -> str:
    """Return what git makes of the old text and the patch."""
    (folder / name).write_bytes(old.encode())
    subprocess.run(
        ["git", "apply", "--unidiff-zero", "--whitespace=nowarn", "-"],
        cwd=folder, input=f"{patch}\n".encode(), check=True, capture_output=True,
    )  # fmt: skip
    return (folder / name).read_bytes().decode()


def test_two_changes_far_apart_in_a_long_file_are_two_hunks():
    lines = [f"def test_{number}(): ..." for number in range(7_043)]
    changed = ["import pytest", *lines[:-1], "def test_last(): ..."]

    assert diff("\n".join([*lines, ""]), "\n".join([*changed, ""])) == (
        "--- a/a.txt\n+++ b/a.txt\n"
        "@@ -1,3 +1,4 @@\n+import pytest\n def test_0(): ...\n def test_1(): ...\n def test_2(): ...\n"
        "@@ -7040,4 +7041,4 @@\n def test_7039(): ...\n def test_7040(): ...\n def test_7041(): ...\n"
        "-def test_7042(): ...\n+def test_last(): ..."
    )


def test_a_long_file_without_a_unique_line_gets_a_shortest_edit(tmp_path: Path):
    lines = ["{", '  "a": 1', "},"] * 4_000
    changed = [*lines]
    changed[1], changed[6_001], changed[-2] = '  "a": 2', '  "b": 1', '  "c": 1'
    patch = diff("\n".join(lines), "\n".join(changed))

    assert (patch.count("\n-"), patch.count("\n+")) == (3, 4), "with the +++ of the header"
    assert applied(tmp_path, "\n".join(lines), patch) == "\n".join(changed)


def test_texts_with_too_many_differences_are_removed_and_added_as_a_whole(tmp_path: Path):
    random = Random(0)
    old, new = ("\n".join(str(random.randrange(500)) for _ in range(9_000)) for _ in range(2))
    patch = diff(f"head\n{old}\ntail\n", f"head\n{new}\ntail\n")

    assert patch.startswith("--- a/a.txt\n+++ b/a.txt\n@@ -1,9002 +1,9002 @@\n head\n-")
    assert applied(tmp_path, f"head\n{old}\ntail\n", patch) == f"head\n{new}\ntail\n"


LINES = st.lists(st.sampled_from(["a", "b", "c", "", " ", "-- x", "++ y", "\r", "\\ No"]), max_size=14)
TEXT = st.tuples(LINES, st.sampled_from(["", "\n"])).map(lambda parts: "\n".join(parts[0]) + parts[1])


@settings(max_examples=60)
@given(old=TEXT, new=TEXT)
def test_git_applies_every_diff(tmp_path_factory: pytest.TempPathFactory, old: str, new: str):
    if diff(old, new):
        assert applied(tmp_path_factory.mktemp("git"), old, diff(old, new)) == new
    else:
        assert old == new


@pytest.mark.parametrize("name", ["a b.txt", 'a"b\\c', "ü.txt", "a\tb", "a\nb", "a\r b", "a\u202eb", "a\x85b"])
def test_git_reads_every_file_name(tmp_path: Path, name: str):
    patch = unified_diff("one\n", "two\n", old_path=name, new_path=name)
    assert applied(tmp_path, "one\n", patch, name=name) == "two\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "ws" / "src").mkdir(parents=True)
    (tmp_path / "ws" / "src" / "a.py").write_text("one\n")
    (tmp_path / "ws" / "b.py").write_text("two\n")
    return Workspace(tmp_path / "ws")


def taken(workspace: Workspace) -> Snapshot:
    snapshot = workspace.snapshot(workspace.path.parent / "snapshot")
    assert isinstance(snapshot, Snapshot)
    return snapshot


def test_an_empty_file_is_added_and_removed_by_a_diff_too(workspace: Workspace):
    (workspace.path / "gone").touch()
    snapshot = taken(workspace)
    (workspace.path / "gone").unlink()
    (workspace.path / "src" / "__init__.py").touch()

    gone, added = workspace.diff(snapshot)

    assert gone == Change(path="gone", kind="removed", diff="diff --git a/gone b/gone\ndeleted file mode 100644")
    name = "src/__init__.py"
    assert added == Change(path=name, kind="added", diff=f"diff --git a/{name} b/{name}\nnew file mode 100644")
    assert gone.has_text
    subprocess.run(
        ["git", "apply", "-"], cwd=snapshot.tree, input=f"{gone.diff}\n{added.diff}\n".encode(), check=True
    )  # fmt: skip
    assert sorted(path.name for path in snapshot.tree.rglob("*")) == ["__init__.py", "a.py", "b.py", "src"]


def test_a_text_in_latin_1_has_a_diff_and_other_bytes_do_not(workspace: Workspace):
    (workspace.path / "b.py").write_bytes("fünf\n".encode("latin-1"))
    (workspace.path / "c.bin").write_bytes(b"\xff\x01")
    snapshot = taken(workspace)
    (workspace.path / "b.py").write_bytes("zwölf\n".encode("latin-1"))
    (workspace.path / "c.bin").write_bytes(b"\xff\x02\x03")

    assert [change.diff for change in workspace.diff(snapshot)] == [
        "--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-fünf\n+zwölf",
        "[not text, 3 bytes]",
    ]


def test_only_the_changes_below_a_path_are_returned(workspace: Workspace):
    snapshot = taken(workspace)
    for name in ("b.py", "src/a.py", "src/new.py", "src2"):
        (workspace.path / name).write_text("2\n")

    def paths(below: str) -> list[str]:
        return [change.path for change in changes_since(snapshot.tree, workspace.path, below=below)]

    assert paths("") == ["b.py", "src/a.py", "src/new.py", "src2"]
    assert paths("src") == ["src/a.py", "src/new.py"]
    assert paths("src/a.py") == ["src/a.py"]
    assert paths("src/a") == []


def test_diffs_that_nobody_asked_for_are_not_computed(workspace: Workspace):
    snapshot = taken(workspace)
    (workspace.path / "b.py").write_text("2\n")
    assert workspace.diff(snapshot, max_chars=0) == (Change(path="b.py", kind="changed", diff="[diff left out]"),)


def test_a_symlink_in_the_place_of_a_folder_or_file_is_not_followed(workspace: Workspace, tmp_path: Path):
    """A running command may put it there after the folder was listed."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.py").write_text("SECRET")
    (workspace.path / "link").symlink_to(tmp_path / "secret")
    (workspace.path / "file").symlink_to(tmp_path / "secret" / "a.py")
    os.mkfifo(workspace.path / "pipe")
    for path in ("link/a.py", "file", "pipe", "src"):
        with pytest.raises(OSError):  # which one depends on the system
            open_regular(workspace.path, path)
    with open_regular(workspace.path, "src/a.py") as file:
        assert file.read() == b"one\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_listed_with_the_reason(workspace: Workspace):
    snapshot = taken(workspace)
    (workspace.path / "b.py").chmod(0)
    assert workspace.diff(snapshot) == (
        Change(path="b.py", kind="changed", diff="[cannot be read: Permission denied]"),
    )
