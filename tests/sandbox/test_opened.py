"""What `beneath` opens is asked about by the path that it really has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent import open_beneath, open_regular, opened_parent
from agent.sandbox.opened import check_opened, checking_opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "real/in").mkdir(parents=True)
    (tmp_path / "real/a").write_text("a")
    (tmp_path / "link").symlink_to("real")
    return tmp_path.resolve()


def test_a_path_is_asked_about_without_its_symlinks(root: Path):
    asked: list[str] = []
    with checking_opened(asked.append):
        open_regular(root, "link/a", follow=True).close()
        os.close(open_beneath(root, "link", os.O_RDONLY, follow=True))
        for path in ("link/new", "link/made/deep/new", "link/../link/in/."):
            with opened_parent(root, path, follow=True, create=True):
                pass
        with opened_parent(root, "real/a"):
            pass
    names = ("a", "", "new", "made/deep/new", "made/deep/new", "made/deep/new", "in", "a")
    assert asked == [os.path.normpath(root / "real" / name) for name in names]


def test_a_refused_path_is_not_opened_and_no_folder_is_made_for_it(root: Path):
    def refuse(path: str) -> None:
        raise PermissionError(path)

    before = len(list(Path("/proc/self/fd").iterdir()))
    with checking_opened(refuse):
        with pytest.raises(PermissionError):
            open_regular(root, "real/a")
        with pytest.raises(PermissionError), opened_parent(root, "real/made/new", follow=True, create=True):
            pass
        with pytest.raises(PermissionError), opened_parent(root, "real/a"):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not (root / "real/made").exists()
    open_regular(root, "real/a").close()


@pytest.mark.parametrize("decoy", [False, True])
def test_a_file_that_was_removed_meanwhile_is_asked_about_by_the_name_that_it_had(root: Path, *, decoy: bool):
    """A pattern such as `*.pem` would not match what Linux adds to the name."""
    asked: list[str] = []
    with open_regular(root, "real/a") as file:
        (root / "real/a").unlink()
        if decoy:
            (root / "real/a (deleted)").touch()
        with checking_opened(asked.append):
            check_opened(file.fileno())
    assert asked == [f"{root}/real/a"]


def test_a_file_whose_name_ends_like_that_of_a_removed_one_keeps_it(root: Path):
    (root / "real/a (deleted)").touch()
    asked: list[str] = []
    with checking_opened(asked.append):
        open_regular(root, "real/a (deleted)").close()
    assert asked == [f"{root}/real/a (deleted)"]
