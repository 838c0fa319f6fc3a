"""Removing a folder that sandboxed commands could write: nothing in it is trusted, and nothing of it is left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from agent.sandbox.removal import remove_tree

NOBODY = 65534


def as_nobody(action: Callable[[], bool]) -> bool:
    """Return what the action returns; root, whom no mode stops, has it run by another user."""
    if os.geteuid():
        return action()
    child = os.fork()
    if not child:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os._exit(0 if action() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_symlink_is_removed_and_not_followed(tmp_path: Path):
    (outside := tmp_path / "outside").mkdir()
    (outside / "file").write_text("as it was")
    (tmp_path / "tree" / "below").mkdir(parents=True)
    for link, target in {"folder": outside, "file": outside / "file", "gone": tmp_path / "gone"}.items():
        (tmp_path / "tree" / "below" / link).symlink_to(target)
    assert remove_tree(tmp_path / "tree")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "outside"]

    (tmp_path / "link").symlink_to(outside)
    assert not remove_tree(tmp_path / "link")
    assert (outside / "file").read_text() == "as it was"


def test_folders_that_deny_all_access_are_removed():
    def made_and_removed() -> bool:
        deep = Path(name, "tree", "a", "b", "c")
        deep.mkdir(parents=True)
        (deep / "file").write_text("x")
        for path in (deep, *deep.parents[:3]):
            path.chmod(0)
        return remove_tree(Path(name, "tree"))

    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # pytest's folder is closed to other users
        Path(name).chmod(0o777)
        assert as_nobody(made_and_removed)
        assert list(Path(name).iterdir()) == []


def test_a_folder_of_any_depth_is_removed(tmp_path: Path):
    """Deeper than a path can be long, than Python recurses, and than a process may open files."""
    code = "import os\nfor _ in range(3_000):\n    os.mkdir('deeper'); open('file', 'w').close(); os.chdir('deeper')"
    (tmp_path / "tree").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "tree", check=True)
    assert remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_removed_too(tmp_path: Path):
    (tmp_path / "tree").mkdir()
    os.mkfifo(tmp_path / "tree" / "pipe")
    (tmp_path / "tree" / "-rf *\n").write_text("x")
    assert remove_tree(tmp_path / "tree")
    assert remove_tree(tmp_path / "tree"), "it is not there, so nothing is left"


def test_a_program_that_keeps_writing_does_not_hold_the_removal_up(tmp_path: Path):
    code = (
        "import itertools, os\nos.mkdir('busy')\nprint(flush=True)\nfor number in itertools.count():\n"
        "    os.makedirs(f'busy/{number}/below', exist_ok=True); open(f'busy/{number}/below/file', 'w').close()"
    )
    (tmp_path / "tree").mkdir()
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path / "tree", stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as writer:  # fmt: skip
        assert writer.stdout is not None
        writer.stdout.readline()
        # It writes about as fast as we remove: who wins is chance, so nothing is said of what is left.
        remove_tree(tmp_path / "tree", seconds=1.0)
        writer.kill()
    assert remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
