"""The search tool: what it finds, how it reports what it leaves out, and that no pattern can block it."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tools.search as search_module
from agent import ToolContext, ToolError
from tools._prefilter import required_text
from tools.search import search


async def found(workspace: Path, **arguments: object) -> str:
    """Return what search returns, or the text of its ToolError after `!`."""
    try:
        value = search.arguments.check(json.dumps(arguments))
        return str(await search.body(value, ToolContext(workspace=workspace)))
    except ToolError as error:
        return f"!{error}"


async def test_matches_are_lines_with_file_and_number_in_order(tmp_path: Path) -> None:
    for name, text in {"b.py": "def f():\n    pass\n\ndef g():", "a/x.txt": "undef\r\nDef\r\n", "a-b": "def"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    assert await found(tmp_path, pattern="def") == "a-b:1: def\nb.py:1: def f():\nb.py:4: def g():\na/x.txt:1: undef"
    assert await found(tmp_path, pattern="(?i)^def$", path="a") == "a/x.txt:2: Def"
    assert await found(tmp_path, pattern=r"\bg\(", path="b.py") == "b.py:4: def g():"
    assert await found(tmp_path, pattern="^$", path="b.py") == "b.py:3: "


async def test_no_match_reports_how_many_files_were_searched(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    assert await found(tmp_path, pattern="-rf") == 'No match for "-rf" in 1 file.'
    (tmp_path / "b").write_text("x")
    assert await found(tmp_path, pattern="y") == 'No match for "y" in 2 files.'
    assert await found(tmp_path, pattern="y", path="b") == 'No match for "y" in 1 file.'


async def test_git_binaries_links_and_large_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("word")
    (tmp_path / "image").write_bytes(b"word\0")
    (tmp_path / "paper").write_bytes(b"%PDF-1.7\nword\n")
    (tmp_path / "link").symlink_to("a.txt")
    (tmp_path / "a.txt").write_text("word")
    (tmp_path / "large").write_text("word" * 500_001)
    (tmp_path / "larger").write_text("word" * 500_001)
    assert await found(tmp_path, pattern="word") == (
        "a.txt:1: word\n[left out: 2 files over 2,000,000 bytes: large, larger; give one as path to search it]"
    )
    assert await found(tmp_path, pattern="^(word){9}", path="large") == f"large:1: {'word' * 75}..."
    assert await found(tmp_path, pattern="word", path="link") == "link:1: word"


async def test_the_number_of_matches_and_the_length_of_lines_are_limited(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n" * 101)
    lines = "\n".join(f"a:{number}: x" for number in range(1, 101))
    assert await found(tmp_path, pattern="x") == (
        f"{lines}\n[only the first 100 matches; narrow the pattern or the path]"
    )
    (tmp_path / "a").write_text("y" * 1_000 + "x" + "z" * 1_000)
    assert await found(tmp_path, pattern="x") == f"a:1: ...{'y' * 100}x{'z' * 199}..."
    assert await found(tmp_path, pattern="^y") == f"a:1: {'y' * 300}..."
    assert await found(tmp_path, pattern="z$") == f"a:1: ...{'z' * 300}"


async def test_text_in_other_encodings_is_found(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("fünf Wörter".encode("latin-1"))
    (tmp_path / "wide").write_text("two Wörter", encoding="utf-16")
    for pattern in ("Wörter", "Wi?ö", "ter"):
        assert await found(tmp_path, pattern=pattern) == "latin:1: fünf Wörter\nwide:1: two Wörter"


async def test_a_bad_pattern_is_refused_with_the_reason(tmp_path: Path) -> None:
    assert await found(tmp_path, pattern="f(") == (
        '!The pattern "f(" is not a regular expression: missing ), unterminated subpattern at position 1. '
        "Escape special characters with \\."
    )
    assert await found(tmp_path, pattern="x{99999999999}") == (
        '!The pattern "x{99999999999}" is not a regular expression: the repetition number is too large. '
        "Escape special characters with \\."
    )
    assert await found(tmp_path, pattern="") == "!The pattern is empty. Give a regular expression."
    with pytest.raises(ToolError) as caught:
        await search.body(
            search.arguments.check('{"pattern":"x"}').model_copy(update={"pattern": "\udfff"}),  # type: ignore[attr-defined]
            ToolContext(workspace=tmp_path),
        )
    assert str(caught.value) == "The pattern holds half a character (a lone surrogate) at position 1. Send it whole."


async def test_a_search_that_times_out_shows_its_earlier_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "TIMEOUT_S", 1.5)
    (tmp_path / "a").write_text("aaa\n")
    (tmp_path / "b").write_text("a" * 60 + "!\n")
    assert await found(tmp_path, pattern="(a+)+$") == (
        '!The search for "(a+)+$" was stopped after 1.5 s. Simplify the pattern (no repeat inside a repeat), '
        "or search a smaller folder. Matches so far:\na:1: aaa"
    )
    assert await found(tmp_path, pattern="(a+)+$", path="b") == (
        '!The search for "(a+)+$" was stopped after 1.5 s. Simplify the pattern (no repeat inside a repeat), '
        "or search a smaller folder."
    )


async def test_a_search_that_exceeds_a_limit_stops_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "MAX_TOTAL_BYTES", 6)
    for name in "abc":
        (tmp_path / name).write_text("word")
    assert await found(tmp_path, pattern="word") == (
        "a:1: word\nb:1: word\n[stopped after 2 files; search a smaller folder for the rest]"
    )
    monkeypatch.setattr(search_module, "MAX_ENTRIES", 1)
    assert await found(tmp_path, pattern="x") == (
        'No match for "x" in 1 file.\n[stopped after 1 files; search a smaller folder for the rest]'
    )


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"def \w+_name\(", "_name("),
        ("colou?r", "colo"),
        ("ab{2}c", "a"),
        (r"a\.b*", "a."),
        ("[]x]yes[^]]", "yes"),
        ("(inside)? outside", " outside"),
        ("a{b", ""),
        ("one|other", ""),
        ("(?i)word", ""),
        (r"\x41word", ""),
        (r"word\n", ""),
        ("wörd", ""),
        ("[word", ""),
    ],
)
def test_the_text_required_by_a_pattern_is_found(pattern: str, text: str) -> None:
    assert required_text(pattern) == (text if len(text) > 1 else "")


@given(
    pattern=st.text("ab.*+?(){}[]^$\\1w -,", max_size=12),
    text=st.text("ab1 -.({[^$,", max_size=12),
)
@settings(max_examples=1_000)
def test_a_text_without_the_required_text_never_matches(pattern: str, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            matches = re.search(pattern, text)
        except (re.error, OverflowError):
            return
    assert not matches or required_text(pattern) in text


@pytest.fixture
def rg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a fake ripgrep that runs the given shell code, on a PATH without the system's folders."""

    def install(code: str) -> None:
        folder = tmp_path / f"programs-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        program = folder / "rg"
        program.write_text(f"#!/bin/sh\n{code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent))

    return install


async def test_files_excluded_by_ripgrep_are_skipped_and_if_it_fails_all_are_read(
    tmp_path: Path, rg: Callable[[str], None]
) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (workspace / name).write_text("word\n")
    rg(r"printf './a\0sub/c\0./sub/c\0../secret\0'")
    assert await found(workspace, pattern="word") == "a:1: word\nsub/c:1: word"
    rg("exit 1")
    assert await found(workspace, pattern="word") == 'No match for "word" in 3 files.'
    assert await found(workspace, pattern="wor?d") == 'No match for "wor?d" in 3 files.'
    assert (await found(workspace, pattern="word|x")).count("word") == 3, "no text that every match contains"
    assert await found(workspace, pattern="word", path="b") == "b:1: word", "one file needs no filter"
    for failing in ("exit 2", "sleep 9"):
        rg(failing)
        assert (await found(workspace, pattern="word")).count("word") == 3


@pytest.mark.skipif(shutil.which("rg") is None, reason="ripgrep is not installed")
async def test_the_result_is_the_same_with_and_without_ripgrep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitignore").write_text("left-out\n")
    (tmp_path / ".ignore").write_text("rg-ignored\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for name in ("a", "left-out", "rg-ignored", ".hidden", "-dash", "folder/b"):
        (tmp_path / name).write_text("the word here\nand wordless\n")
    (tmp_path / "wide").write_text("the word\n", encoding="utf-16")
    (tmp_path / "broken").write_bytes(b"a word \xff\xfe\n")
    (tmp_path / "image").write_bytes(b"word\0")
    for pattern in ("word", r"word\b", "the .*re$", "nowhere", "word$", "a w"):
        with_it = await found(tmp_path, pattern=pattern)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", "")
            assert await found(tmp_path, pattern=pattern) == with_it
    assert "-dash:1: the word here" in await found(tmp_path, pattern="word")


async def test_modules_in_the_workspace_cannot_interfere_with_the_search(tmp_path: Path) -> None:
    """The matcher is a Python process; a re.py or sitecustomize.py in the workspace must not run in it."""
    for name in ("re.py", "sitecustomize.py", "usercustomize.py"):
        (tmp_path / name).write_text("import os; os.abort()\n")
    assert await found(tmp_path, pattern="abort", path="re.py") == "re.py:1: import os; os.abort()"


@pytest.mark.parametrize("path", ["missing", "missing/deep"])
async def test_a_missing_folder_is_reported(tmp_path: Path, path: str) -> None:
    assert await found(tmp_path, pattern="x", path=path) == (
        f'!There is no "{path}" in the workspace. Call list_files to see what there is.'
    )


async def test_a_folder_without_a_gitignore_costs_no_search_for_the_file_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each missing .gitignore once made the tool look through the whole workspace for a similar name."""
    for number in range(30):
        (tmp_path / f"folder{number}").mkdir()
    (tmp_path / "a.txt").write_text("one")
    listed: list[object] = []
    scandir = os.scandir

    def counted(path: Any) -> Any:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert await found(tmp_path, pattern="one") == "a.txt:1: one"
    assert len(listed) == 31


def test_a_very_long_pattern_is_not_looked_at_for_its_text():
    """A million characters took 54 s, in the process that all runs share."""
    began = time.process_time()
    assert required_text("a" * 1_000_000) == ""
    assert time.process_time() - began < 1
    assert required_text("a" * 10_000) == "a" * 10_000
