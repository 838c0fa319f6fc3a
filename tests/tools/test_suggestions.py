"""A path that does not exist is answered with the one that was probably meant, wherever in the workspace it is."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tools._suggestions as suggestions
from agent import ToolContext
from tools.changes import apply_diff, edit_files
from tools.code import outline
from tools.files import edit_file, list_files, read_file
from tools.search import search

if TYPE_CHECKING:
    from conftest import Called


@pytest.fixture
def context(tmp_path: Path) -> ToolContext[Any]:
    for name in (
        "src/rich/filesize.py", "src/rich/__init__.py", "src/other/__init__.py", "tests/test_api.py",
        "tests/unit/test_containers.py", "build/lib/test_container.py", ".agent/outputs/test_container.py",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".gitignore").write_text("build/\n")
    return ToolContext(workspace=tmp_path)


async def test_every_tool_finds_the_only_file_of_that_name(context: ToolContext[Any], called: Called):
    path = "filesize.py"
    expected = '!There is no "filesize.py" in the workspace. Did you mean "src/rich/filesize.py"?'
    assert await called(read_file, context, path=path) == expected
    assert await called(edit_file, context, path=path, old="a", new="b") == expected
    assert await called(outline, context, path=path) == expected
    assert await called(search, context, pattern="a", path=path) == expected
    assert await called(list_files, context, path=path) == expected
    assert await called(edit_files, context, edits=[{"path": path, "old": "a", "new": "b"}]) == expected
    diff = "--- a/filesize.py\n+++ b/filesize.py\n@@ -1 +1 @@\n-a\n+b\n"
    assert await called(apply_diff, context, diff=diff) == (
        '!The diff changes "filesize.py", which does not exist. Did you mean "src/rich/filesize.py"?'
    )


@pytest.mark.parametrize(
    ("missing", "answer"),
    [
        ("rich/__init__.py", 'Did you mean "src/rich/__init__.py" or "src/other/__init__.py"?'),
        ("lib/other/__init__.py", 'Did you mean "src/other/__init__.py" or "src/rich/__init__.py"?'),
        ("SRC/rich/FileSize.py", 'Did you mean "src/rich/filesize.py"?'),
        ("tests/test_container.py", 'Did you mean "tests/unit/test_containers.py"?'),
        ("tests/test_apis.py", 'Did you mean "tests/test_api.py"?'),
        ("rich", 'Did you mean "src/rich"?'),
        ("src/ritch", 'Did you mean "src/rich"?'),
        ("nothing/like/it.rs", "Call list_files to see what there is."),
    ],
)
async def test_the_likeliest_path_comes_first(context: ToolContext[Any], missing: str, answer: str, called: Called):
    expected = f'!There is no "{missing}" in the workspace. {answer}'
    assert await called(read_file, context, path=missing) == expected


async def test_a_name_that_looks_the_same_is_shown_with_escapes(context: ToolContext[Any], called: Called):
    """The error named the same name twice, and the model could not tell what to send."""
    composed, decomposed = (unicodedata.normalize(form, "café.txt") for form in ("NFC", "NFD"))
    (context.workspace / decomposed).write_text("menu\n")
    answer = await called(read_file, context, path=composed)
    assert answer == (
        f'!There is no "{composed}" in the workspace. There is one in another Unicode form. Send it with these '
        'escapes: "cafe\\u0301.txt".'
    )
    assert await called(search, context, pattern="menu", path=decomposed) == f"{decomposed}:1: menu"


async def test_many_files_of_that_name_are_counted(context: ToolContext[Any], called: Called):
    for number in range(6):
        (context.workspace / f"p{number}").mkdir()
        (context.workspace / f"p{number}" / "conftest.py").touch()
    assert await called(read_file, context, path="conftest.py") == (
        '!There is no "conftest.py" in the workspace. '
        'Did you mean "p0/conftest.py" or "p1/conftest.py" or "p2/conftest.py", or 3 others?'
    )


async def test_a_search_for_a_suggestion_is_bounded(
    context: ToolContext[Any], called: Called, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(suggestions, "MAX_VISITED", 3)
    assert (await called(read_file, context, path="filesize.py")).endswith("Call list_files to see what there is.")
