"""Which paths a .gitignore leaves out: as git does, and in bounded time whatever the workspace holds."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent import GitIgnore

A_MINUTE_OR_MORE = "*a" * 14 + "b"
"""Against a long name of a's, a matcher that tries every place for each star needs ages."""


def rules(text: str) -> GitIgnore:
    return GitIgnore(lambda path: text.encode() if path == ".gitignore" else None)


def ignored_by_git(folder: Path, text: str, paths: Sequence[str]) -> set[str]:
    (folder / ".gitignore").write_text(text)
    done = subprocess.run(
        ["git", "check-ignore", "--stdin", "-z", "--no-index"],
        cwd=folder, input="\0".join(paths).encode(), capture_output=True, check=False,
    )  # fmt: skip
    return {path for path in done.stdout.decode().split("\0") if path}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


FILES = ("a", "b", "ab", "a.py", "abc.py", "sub/a", "sub/b", "sub/ab/a", "sub/ab/b.py", "x/sub/a", "x/y/z/a", ".a",
         "a b", "a ", "[a]", "a]", "-", "!a", "#a", "\\a", "x/a/b/c/a", "A", "é", "x/y/ab")  # fmt: skip
RULES = (
    "a", "/a", "a/", "*.py", "sub", "sub/", "/sub/", "sub/a", "sub/*", "sub/**", "**/a", "**/sub/a", "x/**/a", "**",
    "/**", "**/", "*/", "*", "/*", "?", "??", "[ab]", "[!a]", "[^a]*", "[a-c]*", "[]a]*", "[!]a]", "[[:alpha:]]",
    "[[:upper:]]", "[a-", "a\\", "\\a", "\\!a", "\\#a", "#a", "a\\ ", "a   ", "a b", "\\[a\\]", "x/**/**/a", "x/***/a",
    "**b", "a**", "x/**b", "x/a/**/a", "x/y/**/", "!a", "[z-a]", "[-]", "[a-]", "sub/[a/]b", "sub\\/a", "*a*b*",
    "!", "/", "//", "a\r", "[\\]]", "[[]a]", "**/ab/**", "x/**/b/**", "*/*/a", "/*/a", "sub//a", "[]-a]", "[\\\\]a",
    "é", "[é]", "x/y/z", "sub/ab",
)  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_ignores_what_git_ignores(rule: str, repository: Path):
    for file in FILES:
        (repository / file).parent.mkdir(parents=True, exist_ok=True)
        if not (repository / file).exists():
            (repository / file).write_text("")
    files = [file for file in FILES if (repository / file).is_file()]
    text = f"{rule}\n"
    assert {file for file in files if rules(text).names(file, is_folder=False)} == ignored_by_git(
        repository, text, files
    )


def test_random_rules_ignore_what_git_ignores(repository: Path):
    chance = random.Random(14)
    names = ["".join(chance.choices("ab", k=chance.randint(1, 3))) for _ in range(6)]
    files = sorted({"/".join(chance.choices(names, k=chance.randint(1, 4))) + ".f" for _ in range(60)})
    for file in files:
        (repository / file).parent.mkdir(parents=True, exist_ok=True)
        (repository / file).write_text("")
    # No ** beside a name: git takes `b**/x` for `b` and anything, unlike its documentation.
    tokens = ["a", "b", "*?", "?*", "/", "/", "?", "[ab]", "[!a]", ".f", "/**/", "*a*b"]
    starts, ends = ["", "", "!", "**/", "!**/", "/", "*"], ["", "", "/", "/**", "/*", "*"]
    for _ in range(150):
        lines = ["".join(chance.choices(tokens, k=chance.randint(1, 6))) for _ in range(chance.randint(1, 3))]
        lines = [chance.choice(starts) + line + chance.choice(ends) for line in lines]
        text = "".join(f"{line}\n" for line in lines if not re.search(r"[^/!]\*\*", line))
        ours = {file for file in files if rules(text).names(file, is_folder=False)}
        assert ours == ignored_by_git(repository, text, files), text


def test_a_file_in_an_ignored_folder_is_ignored_even_if_a_later_rule_takes_it_back():
    assert rules("build/\n!build/keep\n").names("build/keep", is_folder=False)
    assert not rules("build/*\n!build/keep\n").names("build/keep", is_folder=False)


def test_the_gitignore_of_a_deeper_folder_has_the_last_word():
    texts = {".gitignore": b"*.log\n", "sub/.gitignore": b"!keep.log\n"}
    ignore = GitIgnore(texts.get)
    assert not ignore.names("sub/keep.log", is_folder=False)
    assert ignore.names("keep.log", is_folder=False)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (A_MINUTE_OR_MORE, "a" * 250),
        ("*a" * 120 + "b", "a" * 250),
        ("*" + "a" * 120 + "*" + "a" * 120 + "*b", "a" * 250),
        ("*?" * 60 + "b", "a" * 250),
        ("*[ab]" * 60 + "c", "ab" * 120),
        ("**/" * 400 + "zz", "/".join(["d"] * 2_000)),
        ("**/d/" * 400 + "zz", "/".join(["d"] * 2_000)),
        ("**/*a*a*b/" * 100 + "zz", "/".join(["aaaaaaaaaa"] * 370)),
        ("**/d/d/d/e/" * 100 + "**/zz", "/".join(["d"] * 2_000)),
        (f"x/{A_MINUTE_OR_MORE}/y", f"x/{'a' * 250}/y"),
        ("[" + "a" * 20_000, "a" * 250),
        ("[[:" * 20_000, "a" * 250),
        ("\\" * 20_001, "a" * 250),
    ],
)
def test_a_pattern_of_the_workspace_does_not_stall_the_process(rule: str, name: str):
    started = time.process_time()
    assert not rules(f"{rule}\n").names(name, is_folder=False)
    assert time.process_time() - started < 2.0


def test_many_slow_patterns_and_many_names_do_not_stall_the_process_either():
    text = "\n".join(f"*{'a' * 100}*{'a' * length}*b{length}" for length in range(100)) * 16
    ignore = rules(text[: GitIgnore.MAX_BYTES])
    started = time.process_time()
    for number in range(20_000):
        assert not ignore.names(f"{'a' * 240}{number}", is_folder=False)
    assert time.process_time() - started < 20.0
