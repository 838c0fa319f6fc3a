"""What a branch changed in its copy is brought into the workspace, whole, and again if it was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.workspace.taking import Taken, copy_of_start, left_out, take_changes
from agent.workspace.workspace import Snapshot, Workspace


class Place:
    """A workspace with its snapshot, and a branch's copy with that of its own."""

    def __init__(self, folder: Path) -> None:
        root = folder / "work"
        for path in ("kept.txt", "changed.txt", "gone.txt", "gone/a.txt", "turns/a.txt", "script.sh"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(f"{path}\n")
        self.workspace = Workspace(root)
        self.start = _snapshot(self.workspace, folder / "start")
        (root / "changed.txt").write_text("by the run\n")  # is not in the copy
        self.branch = Workspace(copy_of_start(self.workspace, self.start, folder / "copy"))
        self.branch_start = _snapshot(self.branch, folder / "branch-start")
        (root / "changed.txt").write_text("changed.txt\n")  # is put back before a branch is taken

    def work(self) -> None:
        """Change something of every kind in the copy."""
        root = self.branch.path
        (root / "changed.txt").write_text("by the branch\n")
        (root / "gone.txt").unlink()
        (root / "gone/a.txt").unlink()
        (root / "gone").rmdir()
        (root / "turns/a.txt").unlink()
        (root / "turns").rmdir()
        (root / "turns").write_text("a file now\n")
        (root / "script.sh").chmod(0o755)
        (root / "new/deep").mkdir(parents=True)
        (root / "new/deep/b.txt").write_text("b\n")
        (root / "link").symlink_to("kept.txt")

    def take(self) -> Taken:
        return take_changes(self.workspace, self.start, self.branch, self.branch_start)


def _snapshot(workspace: Workspace, into: Path) -> Snapshot:
    taken = workspace.snapshot(into)
    assert isinstance(taken, Snapshot)
    return taken


def tree(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = (
            path.readlink() if path.is_symlink() else (path.stat().st_mode, path.is_file() and path.read_text())
        )
    return found


def test_a_copy_has_the_files_as_they_were_at_the_start(tmp_path: Path):
    place = Place(tmp_path)
    assert tree(place.branch.path) == tree(place.start.tree)


def test_everything_that_a_branch_changed_is_in_the_workspace_and_taking_it_again_changes_nothing(tmp_path: Path):
    place = Place(tmp_path)
    place.work()
    taken = place.take()
    assert tree(place.workspace.path) == tree(place.branch.path)
    assert taken.conflicts == ()
    assert {"changed.txt", "gone.txt", "gone", "turns", "script.sh", "new/deep/b.txt", "link"} <= set(taken.changed)
    again = place.take()
    assert (again.conflicts, tree(place.workspace.path)) == ((), tree(place.branch.path))


@pytest.mark.parametrize("done", ["changed.txt", "gone.txt", "new"])
def test_what_was_taken_in_part_is_completed(tmp_path: Path, done: str):
    place = Place(tmp_path)
    place.work()
    root = place.workspace.path
    if done == "new":
        (root / "new").mkdir()
    elif done == "gone.txt":
        (root / done).unlink()
    else:
        (root / done).write_text("by the branch\n")
    assert place.take().conflicts == ()
    assert tree(root) == tree(place.branch.path)


def test_what_something_else_changed_is_left_alone_and_named(tmp_path: Path):
    place = Place(tmp_path)
    place.work()
    root = place.workspace.path
    (root / "changed.txt").write_text("somebody else's\n")
    (root / "gone.txt").write_text("somebody else's\n")
    (root / "kept.txt").write_text("somebody else's\n")
    (root / "gone/b.txt").write_text("somebody else's\n")
    taken = place.take()
    assert taken.conflicts == ("changed.txt", "gone", "gone.txt")
    assert {(root / name).read_text() for name in ("changed.txt", "gone.txt", "kept.txt", "gone/b.txt")} == {
        "somebody else's\n"
    }


def test_installed_packages_are_named_as_left_out(tmp_path: Path):
    for name in (".venv", "node_modules", "__pycache__", ".git", "src"):
        (tmp_path / name).mkdir()
    assert left_out(Workspace(tmp_path)) == [".venv", "node_modules"]
