"""Test key files: only the owner may have access, and no error quotes the key."""

import os
from pathlib import Path

import pytest

from serving import EngineError
from serving.key_file import read_key


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    return file


def message(file: Path) -> str:
    with pytest.raises(EngineError) as caught:
        read_key(file)
    return str(caught.value)


@pytest.mark.parametrize("text", ["sk-abc_123", "sk-abc_123\n", "  sk-abc_123\r\n\n"])
def test_the_key_is_the_only_line_without_surrounding_whitespace(key_file: Path, text: str):
    key_file.write_text(text, newline="")

    assert read_key(key_file) == "sk-abc_123"


@pytest.mark.parametrize(("mode", "shown"), [(0o640, "0640"), (0o604, "0604"), (0o666, "0666")])
def test_a_file_that_others_can_access_is_refused_with_the_command_that_fixes_it(key_file: Path, mode: int, shown: str):
    key_file.write_text("sk-abc")
    key_file.chmod(mode)

    assert message(key_file) == (
        f"Cannot use the key file '{key_file}': other users on this machine can access it (mode {shown}).\n"
        f"Now:   Remove their access: chmod 600 {key_file}"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b" \n\n", "it is empty"),
        (b"one two", "it contains more than one word"),
        (b"one\ntwo\n", "it contains more than one word"),
        (b"one\x00", "it contains more than one word"),
        (b"schl\xc3\xbcssel", "it contains characters that are not allowed in a key"),
    ],
)
def test_a_file_without_a_usable_key_is_refused_and_not_quoted(key_file: Path, content: bytes, why: str):
    key_file.write_bytes(content)

    assert message(key_file) == (
        f"Cannot use the key file '{key_file}': {why}.\n"
        "Now:   Write the key to it as the only line, without whitespace."
    )


def test_a_missing_file_and_a_folder_are_reported_with_the_reason(tmp_path: Path):
    assert message(tmp_path / "none") == (
        f"Cannot read the key file '{tmp_path}/none'.\n"
        "Cause: No such file or directory\n"
        "Now:   Give a file that contains the key and that you can read."
    )
    assert message(tmp_path) == (
        f"Cannot read the key file '{tmp_path}'.\n"
        "Cause: Is a directory\n"
        "Now:   Give a file that contains the key and that you can read."
    )


def test_a_pipe_is_refused_before_it_is_read(tmp_path: Path):
    os.mkfifo(tmp_path / "key", mode=0o600)

    assert message(tmp_path / "key") == (
        f"Cannot use the key file '{tmp_path}/key': it is a pipe, which can be read only once.\n"
        "Now:   Write the key to it as the only line, without whitespace."
    )


def test_the_error_for_undecodable_content_does_not_quote_it(key_file: Path):
    key_file.write_bytes(b"geheim\xff")
    with pytest.raises(EngineError) as caught:
        read_key(key_file)

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
