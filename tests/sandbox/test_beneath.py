"""Paths below a folder that the model can change: where they end, and that what is outside is never opened."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.sandbox.beneath import LeadsOut, find_inside, open_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "ws" / "docs").mkdir(parents=True)
    (tmp_path / "away").mkdir()
    return tmp_path / "ws"


@pytest.mark.parametrize("spelling", ["docs/a.md", "./docs//a.md", "../ws/docs/a.md", "docs/../docs/a.md"])
def test_a_path_without_symlinks_ends_where_it_says(root: Path, spelling: str):
    assert find_inside(Path(f"{root}/{spelling}"), root) == "docs/a.md"


@pytest.mark.parametrize("target", ["docs", "docs/../docs", "../ws/docs", "{root}/docs"])
def test_a_symlink_that_stays_inside_is_followed(root: Path, target: str):
    (root / "out").symlink_to(target.format(root=root))
    assert find_inside(root / "out" / "a.md", root) == "docs/a.md"


@pytest.mark.parametrize("target", ["{away}", "../away", "docs/../../away", "hop"])
def test_a_symlink_that_leads_out_is_refused(root: Path, target: str):
    (root / "out").symlink_to(target.format(away=root.parent / "away"))
    (root / "hop").symlink_to(root.parent / "away")
    with pytest.raises(LeadsOut):
        find_inside(root / "out" / "a.md", root)


def test_a_symlink_outside_to_a_folder_inside_that_became_a_symlink_is_refused(root: Path):
    """The user's own `answers -> ws/out` passes through the folder that the model replaced."""
    (root.parent / "answers").symlink_to(root / "out")
    assert find_inside(root.parent / "answers" / "a.md", root) == "out/a.md"
    (root / "out").symlink_to(root.parent / "away")
    with pytest.raises(LeadsOut):
        find_inside(root.parent / "answers" / "a.md", root)


def test_a_path_beside_the_folder_is_outside_even_if_spelled_through_it(root: Path):
    assert find_inside(root.parent / "away" / "a.md", root) is None
    assert find_inside(root / "docs" / ".." / ".." / "away" / "a.md", root) is None
    assert find_inside(root.parent / "ws-2" / "a.md", root) is None


def test_a_root_reached_through_a_symlink_is_the_same_root(root: Path):
    (root.parent / "alias").symlink_to(root)
    alias = root.parent / "alias"
    assert find_inside(alias / "docs" / "a.md", alias) == "docs/a.md"
    assert find_inside(alias / "docs" / "a.md", root) == "docs/a.md"


def test_symlinks_in_a_cycle_end(root: Path):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links") as refused:
        find_inside(root / "a", root)
    assert refused.value.errno == errno.ELOOP


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "folder"])
def test_only_a_regular_file_without_symlinks_on_the_way_is_opened(root: Path, kind: str):
    (root.parent / "away" / "a.md").write_text("SECRET")
    match kind:
        case "link":
            (root / "docs" / "a.md").symlink_to(root.parent / "away" / "a.md")
        case "folder link":
            (root / "docs").rmdir()
            (root / "docs").symlink_to(root.parent / "away")
        case "pipe":
            os.mkfifo(root / "docs" / "a.md")
        case _:
            (root / "docs" / "a.md").mkdir()
    with pytest.raises(OSError, match=r"symbolic links|[Nn]ot a"):
        open_file(root, "docs/a.md")
