"""Paths below a folder that the model can change: where they end, and that what is outside is never opened."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from agent.sandbox.beneath import Protected, open_beneath, open_regular, opened_parent
from agent.sandbox.inside import LeadsOut, find_inside
from agent.sandbox.removal import remove_tree


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
    with pytest.raises(OSError, match=r"through a symlink|[Nn]ot a|Is a directory"):
        open_regular(root, "docs/a.md")


# The kernel resolves paths (openat2) where it can, else our own walk does; both must refuse the same.
both_resolvers = pytest.mark.parametrize("platform", ["linux", "darwin"])


@both_resolvers
@pytest.mark.parametrize("path", ["../away/a.md", "docs/../../away/a.md", "out/a.md", "docs/../out/a.md"])
@pytest.mark.parametrize("follow", [False, True])
def test_what_is_outside_is_never_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch, platform: str, path: str, *, follow: bool
):
    monkeypatch.setattr(sys, "platform", platform)
    (root.parent / "away" / "a.md").write_text("SECRET")
    (root / "out").symlink_to(root.parent / "away")
    with pytest.raises(OSError, match=r"leads out of it|through a symlink") as refused:
        open_regular(root, path, follow=follow)
    assert refused.value.errno == (errno.ELOOP if "out" in path and not follow else errno.EXDEV)
    with pytest.raises(OSError, match=r"leads out of it|through a symlink"), opened_parent(root, path, follow=follow):
        pass


@both_resolvers
def test_a_symlink_that_stays_inside_is_opened_only_if_that_is_wanted(
    root: Path, monkeypatch: pytest.MonkeyPatch, platform: str
):
    monkeypatch.setattr(sys, "platform", platform)
    (root / "docs" / "a.md").write_text("text")
    (root / "alias.md").symlink_to(root / "docs" / ".." / "docs" / "a.md")
    with open_regular(root, "alias.md", follow=True) as file:
        assert file.read() == b"text"
    for flags in (os.O_RDONLY, os.O_PATH, os.O_PATH | os.O_NOFOLLOW):
        with pytest.raises(OSError, match="through a symlink"):
            open_beneath(root, "alias.md", flags)


@both_resolvers
def test_a_path_of_2000_folders_is_opened_with_few_descriptors(
    root: Path, monkeypatch: pytest.MonkeyPatch, platform: str
):
    """The walk once held every folder open, so that 1,024 descriptors were not enough."""
    monkeypatch.setattr(sys, "platform", platform)
    deep = "/".join(["d"] * 2_000)
    with opened_parent(root, f"{deep}/a.md", create=True) as (folder, name):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=folder))
    with open_regular(root, f"{deep}/a.md") as file:
        assert file.read() == b""
    with open_regular(root, f"{deep}/../d/a.md", follow=True) as file:
        assert file.read() == b""
    assert remove_tree(root / "d")  # pytest's own cleanup is recursive


def test_a_protected_name_is_refused_also_through_a_symlink(root: Path):
    (root / ".git").mkdir()
    (root / "alias").symlink_to(".git")
    for path in (".git/config", ".GIT/config", "alias/config", "docs/../.git/hooks/x"):
        with (
            pytest.raises(Protected),
            opened_parent(root, path, follow=True, create=True, protected=frozenset({".git"})),
        ):
            pass
    assert sorted(item.name for item in (root / ".git").iterdir()) == []
