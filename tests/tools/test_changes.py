"""Several edits at once, diffs and undo: all or nothing, and never over what somebody else wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import ToolContext
from tools._change_history import MAX_KEPT_BYTES
from tools.changes import apply_diff, edit_files, undo_change
from tools.files import edit_file, read_file, write_file

if TYPE_CHECKING:
    from conftest import Called


@pytest.fixture
def context(tmp_path: Path) -> ToolContext[Any]:
    (tmp_path / "a.py").write_text("one\ntwo\nthree\n")
    (tmp_path / "b.py").write_text("x = 1\n")
    return ToolContext(workspace=tmp_path, state=None)


def held(context: ToolContext[Any]) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(context.workspace.iterdir()) if path.is_file()}


async def test_several_edits_are_made_in_their_order(context: ToolContext[Any], called: Called):
    edits = [
        {"path": "a.py", "old": "two", "new": "2\n2b"},
        {"path": "b.py", "old": "1", "new": "10"},
        {"path": "./a.py", "old": "2b", "new": "two and a half"},
    ]
    assert await called(edit_files, context, edits=edits) == "Edited a.py: lines 2-3; b.py: line 1; a.py: line 3."
    assert held(context) == {"a.py": "one\n2\ntwo and a half\nthree\n", "b.py": "x = 10\n"}


async def test_one_edit_that_does_not_fit_leaves_everything_as_it_was(context: ToolContext[Any], called: Called):
    before = held(context)
    edits = [{"path": "b.py", "old": "1", "new": "10"}, {"path": "a.py", "old": "four", "new": "4"}]
    assert (await called(edit_files, context, edits=edits)).startswith(
        '!Edit 2 of 2 does not fit, so nothing was changed. old does not occur in "a.py"'
    )
    assert held(context) == before


async def test_a_file_that_cannot_be_written_leaves_the_others_as_they_were(context: ToolContext[Any], called: Called):
    (context.workspace / ".git").mkdir()
    (context.workspace / ".git" / "config").write_text("[core]\n")
    before = held(context)
    edits = [{"path": "b.py", "old": "1", "new": "10"}, {"path": ".git/config", "old": "core", "new": "x"}]
    assert (await called(edit_files, context, edits=edits)).startswith('!".git/config" is in .git')
    assert held(context) == before


DIFF = """\
Some words before it.
--- a/a.py
+++ b/a.py
@@ -1,9 +1,2 @@
 one
-two
+2
 three
--- /dev/null
+++ b/new/c.py
@@ -0,0 +1,2 @@
+c = 3
+d = 4
--- a/b.py
+++ /dev/null
@@ -1 +0,0 @@
-x = 1
"""


async def test_a_diff_changes_makes_and_removes_files_and_is_undone_as_one(context: ToolContext[Any], called: Called):
    """The counts in its first header are wrong, as models write them."""
    before = held(context)
    assert await called(apply_diff, context, diff=DIFF) == "Applied: wrote a.py, wrote new/c.py, removed b.py."
    assert held(context) == {"a.py": "one\n2\nthree\n"}
    assert (context.workspace / "new" / "c.py").read_text() == "c = 3\nd = 4\n"
    assert await called(undo_change, context) == (
        "Undone: a.py is as it was, new/c.py is gone again, b.py is as it was."
    )
    assert held(context) == before
    assert not (context.workspace / "new" / "c.py").exists()
    assert await called(undo_change, context) == (
        "!There is no change to undo: no file was written by a tool of this run, or all are undone."
    )


async def test_a_rename_moves_the_content(context: ToolContext[Any], called: Called):
    diff = "--- a/b.py\n+++ b/c.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    assert await called(apply_diff, context, diff=diff) == "Applied: wrote c.py, removed b.py."
    diff = "--- a/c.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 2\n+x = 3\n"
    assert await called(apply_diff, context, diff=diff) == (
        '!The diff moves a file to "a.py", which is there already. Remove that one first, or edit both.'
    )
    assert held(context) == {"a.py": "one\ntwo\nthree\n", "c.py": "x = 2\n"}


@pytest.mark.parametrize(
    ("text", "line", "result"),
    [
        ("a\nb\na\nb\n", 3, "a\nb\na\nB\n"),
        ("a\r\nb\r\n", 1, "a\r\nB\r\n"),
        ("z\na\nb", 1, "z\na\nB"),
    ],
)
async def test_the_line_in_the_header_decides_between_equal_places(
    context: ToolContext[Any], text: str, line: int, result: str, called: Called
):
    (context.workspace / "a.py").write_bytes(text.encode())
    diff = f"--- a/a.py\n+++ b/a.py\n@@ -{line},2 +{line},2 @@\n a\n-b\n+B\n"
    assert await called(apply_diff, context, diff=diff) == "Applied: wrote a.py."
    assert (context.workspace / "a.py").read_bytes() == result.encode()


@pytest.mark.parametrize(
    ("diff", "answer"),
    [
        (
            "hello",
            "This is no unified diff. Begin each file with --- a/path and +++ b/path, then hunks that begin with @@.",
        ),
        (
            "@@ -1 +1 @@\n-a\n+b\n",
            "A hunk of the diff comes before any file. Begin each file with its --- and +++ lines.",
        ),
        (
            "--- a/a.py\n+++ b/a.py\n",
            'The diff of "a.py" has no hunk. Each begins with a line such as @@ -3,4 +3,5 @@.',
        ),
        (
            "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-twoo\n+2\n",
            'Hunk 1 does not fit "a.py", so nothing was changed. The most similar lines there:\n2: two',
        ),
        (
            "--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+a\n",
            'The diff makes "a.py", which is there already. Give the diff from what it holds now.',
        ),
        (
            "--- a/gone.py\n+++ b/gone.py\n@@ -1 +1 @@\n-a\n+b\n",
            'There is no "gone.py" in the workspace, so the diff does not fit. See what there is with list_files.',
        ),
    ],
)
async def test_a_diff_that_does_not_fit_changes_nothing_and_says_why(
    context: ToolContext[Any], diff: str, answer: str, called: Called
):
    before = held(context)
    assert await called(apply_diff, context, diff=diff) == f"!{answer}"
    assert held(context) == before


async def test_a_diff_cannot_lead_out(context: ToolContext[Any], called: Called):
    diff = "--- /dev/null\n+++ b/../out.py\n@@ -0,0 +1 @@\n+a\n"
    assert (await called(apply_diff, context, diff=diff)).startswith('!"../out.py" is outside the workspace')


async def test_what_changed_since_it_was_read_is_not_written_over(context: ToolContext[Any], called: Called):
    await called(read_file, context, path="a.py")
    (context.workspace / "a.py").write_text("somebody else's\n")
    assert await called(write_file, context, path="a.py", content="mine\n") == (
        '!"a.py" has changed since you read it: something else wrote to it. Read it again, then write.'
    )
    await called(read_file, context, path="a.py")
    assert await called(write_file, context, path="a.py", content="mine\n") == "Wrote 5 bytes to a.py."
    assert await called(write_file, context, path="a.py", content="mine too\n") == "Wrote 9 bytes to a.py."


async def test_the_last_change_is_undone_but_not_over_what_came_after(context: ToolContext[Any], called: Called):
    await called(edit_file, context, path="a.py", old="two", new="2")
    await called(write_file, context, path="new.py", content="n\n")
    assert await called(undo_change, context) == "Undone: new.py is gone again."
    (context.workspace / "a.py").write_text("somebody else's\n")
    assert await called(undo_change, context) == (
        '!The last change cannot be undone: "a.py" was changed by something else since. Edit it instead.'
    )


async def test_what_was_too_large_to_keep_is_not_undone(context: ToolContext[Any], called: Called):
    await called(edit_file, context, path="b.py", old="1", new="2")
    with (context.workspace / "big").open("wb") as file:
        file.truncate(MAX_KEPT_BYTES + 1)
    await called(write_file, context, path="big", content="small\n")
    assert await called(undo_change, context) == (
        f'!The last change cannot be undone: "big" could not be kept, for it was larger than {MAX_KEPT_BYTES:,} bytes '
        "or not readable. Another call undoes the change before it."
    )
    assert await called(undo_change, context) == "Undone: b.py is as it was."
