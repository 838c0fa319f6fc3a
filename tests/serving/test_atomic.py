"""Test atomic file writes: the whole file or nothing, and no temporary file left behind."""

from pathlib import Path

import pytest

from serving.atomic import write_atomically


def test_a_file_is_created_with_its_folders_and_its_mode(tmp_path: Path):
    path = tmp_path / "new" / "key"
    write_atomically(path, "secret\n", mode=0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("secret\n", 0o600)
    assert [item.name for item in path.parent.iterdir()] == ["key"]


def test_a_target_that_cannot_be_replaced_is_unchanged_and_no_temporary_file_is_left(tmp_path: Path):
    taken = tmp_path / "answer"
    taken.mkdir()
    (taken / "inside").touch()
    with pytest.raises(OSError, match="answer"):
        write_atomically(taken, "text")
    assert [item.name for item in tmp_path.iterdir()] == ["answer"]


def test_text_that_cannot_be_encoded_leaves_the_old_file_unchanged(tmp_path: Path):
    path = tmp_path / "answer"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\udc80")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("answer", "old")]
