"""Restoring goes by descriptors: a symlink in the place of a folder leads nowhere, however late it is put there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from agent.workspace import placing
from agent.workspace.own_changes import restore_own, signatures
from agent.workspace.tree import Entry, entry_below
from agent.workspace.workspace import Snapshot, Workspace

FILE = Entry(kind="file", mode=0o600, mtime_ns=1, size_bytes=4)
FOLDER = Entry(kind="folder", mode=0o700, mtime_ns=1, size_bytes=0)
NONE: frozenset[str] = frozenset()

CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "place_file": lambda root, good: placing.place_file("d/f", good, root),
    "place_file of a new one": lambda root, good: placing.place_file("d/new", good, root),
    "unlink": lambda root, _: placing.unlink(root, "d/f"),
    "remove": lambda root, _: placing.remove(root, "d/f", protected=NONE),
    "remove of a folder": lambda root, _: placing.remove(root, "d/sub", protected=NONE),
    "remove_folder": lambda root, _: placing.remove_folder(root, "d/sub"),
    "set_metadata": lambda root, _: placing.set_metadata(root, "d/f", FILE),
    "set_folder_mode": lambda root, _: placing.set_folder_mode(root, "d/sub", 0),
    "make_accessible": lambda root, _: placing.make_accessible(root, "d/closed"),
    "folders_in": lambda root, _: placing.folders_in(root, "d", protected=NONE),
    "restore_path of a file": lambda root, good: placing.restore_path(root, "d/f", FILE, None, good),
    "restore_path of a folder": lambda root, good: placing.restore_path(root, "d/made", FOLDER, None, good),
    "restore_path of equal kinds": lambda root, good: placing.restore_path(root, "d/f", FILE, FILE, good),
}


def facts(folder: Path) -> dict[str, tuple[object, ...]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    for name in ("sub", "closed"):
        (folder / name).mkdir(parents=True)
    (folder / "f").write_text("mine")
    (folder / "closed").chmod(0)
    return folder


@pytest.mark.parametrize("name", list(CHANGES))
def test_no_change_goes_through_a_folder_that_became_a_link(name: str, tmp_path: Path, outside: Path):
    root, good = tmp_path / "root", tmp_path / "good"
    root.mkdir()
    (good / "d").mkdir(parents=True)
    for file in ("f", "new"):
        (good / "d" / file).write_text("good")
    (root / "d").symlink_to(outside)
    before = facts(outside)
    with suppress(OSError):
        CHANGES[name](root, good)
    assert facts(outside) == before


@pytest.mark.parametrize("name", ["set_metadata", "set_folder_mode", "make_accessible"])
def test_no_mode_or_time_is_set_through_a_link(name: str, tmp_path: Path, outside: Path):
    root = tmp_path / "root"
    root.mkdir()
    for name_of_link, target in (("d", "closed"), ("f", "f")):
        (root / name_of_link).symlink_to(outside / target)
    before = facts(outside)
    for path in ("d", "f"):
        match name:
            case "set_metadata":
                placing.set_metadata(root, path, FOLDER if path == "d" else FILE)
            case "set_folder_mode":
                placing.set_folder_mode(root, path, 0o777)
            case _:
                assert placing.make_accessible(root, path) is None
    assert facts(outside) == before


def test_a_file_is_not_copied_from_a_pipe_or_through_a_link(tmp_path: Path, outside: Path):
    root, copy = tmp_path / "root", tmp_path / "copy"
    for folder in (root, copy):
        folder.mkdir()
    os.mkfifo(root / "pipe")
    (root / "d").symlink_to(outside)
    (copy / "d").mkdir()
    for path in ("pipe", "d/f"):
        with pytest.raises(OSError, match=r"not a regular file|through a symlink"):
            placing.place_file(path, root, copy)
    assert facts(copy).keys() == {"d"}


def test_what_is_behind_a_link_is_not_there(tmp_path: Path, outside: Path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/d").symlink_to(outside)
    assert entry_below(tmp_path / "root", "d/f") is None
    assert entry_below(tmp_path / "root", "none/f") is None


@pytest.mark.parametrize("only_own", [True, False])
def test_folders_that_a_program_swaps_for_links_lead_no_restore_outside(tmp_path: Path, only_own: bool):
    """As a command does that left its session under Landlock, and so was not stopped."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    for number in range(12):
        (root / f"d{number}").mkdir(parents=True)
        for name in range(6):
            (root / f"d{number}/f{name}").write_text("mine")
            (outside / f"f{name}").write_text("precious")
    workspace = Workspace(root)
    snapshot = workspace.snapshot(tmp_path / "snapshot")
    assert isinstance(snapshot, Snapshot)
    done, opened = threading.Event(), os.open(root, os.O_RDONLY)
    precious = {f"f{name}": "precious" for name in range(6)}

    def swap() -> None:
        while not done.is_set():
            for number in range(12):
                with suppress(OSError):
                    (root / f"d{number}").rename(root / f"k{number}")
                    (root / f"d{number}").symlink_to(outside)
                    (root / f"d{number}").unlink()
                    (root / f"k{number}").rename(root / f"d{number}")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(20):
            for number in range(12):
                with suppress(OSError), os.fdopen(
                    os.open(f"d{number}/f1", os.O_WRONLY | os.O_NOFOLLOW, dir_fd=opened), "w"
                ) as file:  # fmt: skip
                    file.write(
                        "more" if Path(f"/proc/self/fd/{file.fileno()}").readlink().is_relative_to(root) else "precious"
                    )
            with suppress(OSError):
                if only_own:
                    restore_own(workspace, snapshot, signatures(workspace, snapshot))
                else:
                    workspace.restore(snapshot)
            assert {path.name: path.read_text() for path in outside.iterdir()} == precious
    finally:
        done.set()
        swapping.join()
        os.close(opened)
