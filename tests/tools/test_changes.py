"""Several edits at once, diffs and undo: all or nothing, and never over changes made by others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import ToolContext
from tools._change_history import MAX_UNDO_BYTES, Changes
from tools._paths import inside
from tools.changes import apply_diff, edit_files, undo_change
from tools.files import edit_file, read_file, write_file

if TYPE_CHECKING:
    from conftest import Called


@pytest.fixture
def context(tmp_path: Path) -> ToolContext[Any]:
    (tmp_path / "a.py").write_text("one\ntwo\nthree\n")
    (tmp_path / "b.py").write_text("x = 1\n")
    return ToolContext(workspace=tmp_path)


def contents(context: ToolContext[Any]) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(context.workspace.iterdir()) if path.is_file()}


async def test_several_edits_are_applied_in_order(context: ToolContext[Any], called: Called):
    edits = [
        {"path": "a.py", "old": "two", "new": "2\n2b"},
        {"path": "b.py", "old": "1", "new": "10"},
        {"path": "./a.py", "old": "2b", "new": "two and a half"},
    ]
    assert await called(edit_files, context, edits=edits) == ("Edited 2 files:\na.py: lines 2-3; line 3\nb.py: line 1")
    assert contents(context) == {"a.py": "one\n2\ntwo and a half\nthree\n", "b.py": "x = 10\n"}


async def test_edits_are_reported_with_their_final_lines(context: ToolContext[Any], called: Called):
    """A later edit above moved the text; the lines of the earlier edit were stale, and so was a breakpoint there."""
    edits = [
        {"path": "a.py", "old": "three", "new": "3\n3b"},
        {"path": "b.py", "old": "1", "new": "10"},
        {"path": "a.py", "old": "one\n", "new": "0\n0b\n1\n"},
        {"path": "a.py", "old": "two\n3", "new": "2, 3"},
    ]
    assert await called(edit_files, context, edits=edits) == (
        "Edited 2 files:\na.py: lines 4-5; lines 1-3; line 4\nb.py: line 1"
    )
    assert contents(context)["a.py"] == "0\n0b\n1\n2, 3\n3b\n"
    assert await called(undo_change, context) == (
        "Undone: the edits of a.py, lines 4-5, lines 1-3, line 4; b.py, line 1 (nothing more can be undone)."
    )


async def test_several_edits_of_one_file_name_it_once(context: ToolContext[Any], called: Called):
    """The path was repeated before the lines of each edit."""
    edits = [{"path": "a.py", "old": old, "new": old.upper()} for old in ("one", "three", "two")]
    assert await called(edit_files, context, edits=edits) == "Edited a.py: line 1; line 3; line 2."
    assert await called(edit_files, context, edits=[{"path": "b.py", "old": "x", "new": "y"}]) == (
        "Edited b.py: line 1."
    )
    assert await called(undo_change, context) == "Undone: the edits of b.py, line 1 (1 more change can be undone)."


async def test_one_failing_edit_changes_nothing(context: ToolContext[Any], called: Called):
    before = contents(context)
    edits = [{"path": "b.py", "old": "1", "new": "10"}, {"path": "a.py", "old": "four", "new": "4"}]
    assert (await called(edit_files, context, edits=edits)).startswith(
        '!Edit 2 of 2 failed; nothing was changed. old does not occur in "a.py"'
    )
    assert contents(context) == before


async def test_if_one_file_cannot_be_written_the_others_are_unchanged(context: ToolContext[Any], called: Called):
    (context.workspace / ".git").mkdir()
    (context.workspace / ".git" / "config").write_text("[core]\n")
    before = contents(context)
    edits = [{"path": "b.py", "old": "1", "new": "10"}, {"path": ".git/config", "old": "core", "new": "x"}]
    assert (await called(edit_files, context, edits=edits)).startswith('!".git/config" is in .git')
    assert contents(context) == before


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


async def test_a_diff_changes_creates_and_removes_files_and_is_undone_as_one(context: ToolContext[Any], called: Called):
    """The line counts in its first header are wrong, as models often write them."""
    before = contents(context)
    assert await called(apply_diff, context, diff=DIFF) == (
        "Applied to 3 files:\na.py: line 2\nnew/c.py: created, 2 lines\nb.py: removed"
    )
    assert contents(context) == {"a.py": "one\n2\nthree\n"}
    assert (context.workspace / "new" / "c.py").read_text() == "c = 3\nd = 4\n"
    assert await called(undo_change, context) == (
        "Undone: the diff of a.py, line 2; new/c.py, created, 2 lines; b.py, removed (nothing more can be undone)."
    )
    assert contents(context) == before
    assert not (context.workspace / "new").exists()
    assert await called(undo_change, context) == (
        "!There is no change to undo: your calls changed no file, or every change is already undone."
    )


async def test_a_rename_moves_the_content(context: ToolContext[Any], called: Called):
    diff = "--- a/b.py\n+++ b/c.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    assert await called(apply_diff, context, diff=diff) == "Applied to c.py: moved from b.py; line 1."
    diff = "--- a/c.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 2\n+x = 3\n"
    assert await called(apply_diff, context, diff=diff) == (
        '!The diff moves a file to "a.py", which already exists. Remove that file first, or edit both.'
    )
    assert contents(context) == {"a.py": "one\ntwo\nthree\n", "c.py": "x = 2\n"}


@pytest.mark.parametrize(
    ("text", "line", "result"),
    [
        ("a\nb\na\nb\n", 3, "a\nb\na\nB\n"),
        ("a\r\nb\r\n", 1, "a\r\nB\r\n"),
        ("z\na\nb", 1, "z\na\nB"),
    ],
)
async def test_the_line_in_the_header_decides_between_equal_matches(
    context: ToolContext[Any], text: str, line: int, result: str, called: Called
):
    (context.workspace / "a.py").write_bytes(text.encode())
    diff = f"--- a/a.py\n+++ b/a.py\n@@ -{line},2 +{line},2 @@\n a\n-b\n+B\n"
    changed = (
        {1: "line 2", 3: "line 4"}[line]
        if text != "z\na\nb"
        else ("line 3; hunk 1 applied at line 2, 1 line below its header")
    )
    assert await called(apply_diff, context, diff=diff) == f"Applied to a.py: {changed}."
    assert (context.workspace / "a.py").read_bytes() == result.encode()


@pytest.mark.parametrize(
    ("diff", "answer"),
    [
        (
            "hello",
            "diff is not a unified diff. Begin each file with --- a/path and +++ b/path, and each hunk with @@.",
        ),
        (
            "@@ -1 +1 @@\n-a\n+b\n",
            "The diff has a hunk before its first file. Begin each file with its --- and +++ lines.",
        ),
        (
            "--- a/a.py\n+++ b/a.py\n",
            'The diff of "a.py" has no hunks. Begin each with a line such as @@ -3,4 +3,5 @@.',
        ),
        (
            "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-twoo\n+2\n",
            'Hunk 1 does not apply to "a.py"; nothing was changed. Correct its context lines or line number. '
            "The most similar lines:\n2: two",
        ),
        (
            "--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+a\n",
            'The diff creates "a.py", which already exists. Send a diff against its current content.',
        ),
        (
            "--- a/gone.py\n+++ b/gone.py\n@@ -1 +1 @@\n-a\n+b\n",
            'The diff changes "gone.py", which does not exist. Call list_files to see what there is.',
        ),
    ],
)
async def test_a_diff_that_does_not_apply_changes_nothing_and_says_why(
    context: ToolContext[Any], diff: str, answer: str, called: Called
):
    before = contents(context)
    assert await called(apply_diff, context, diff=diff) == f"!{answer}"
    assert contents(context) == before


async def test_a_diff_cannot_write_outside_the_workspace(context: ToolContext[Any], called: Called):
    diff = "--- /dev/null\n+++ b/../out.py\n@@ -0,0 +1 @@\n+a\n"
    assert (await called(apply_diff, context, diff=diff)).startswith('!"../out.py" is outside the workspace')


async def test_a_file_changed_since_it_was_read_is_not_overwritten(context: ToolContext[Any], called: Called):
    await called(read_file, context, path="a.py")
    (context.workspace / "a.py").write_text("another program's\n")
    assert await called(write_file, context, path="a.py", content="mine\n") == (
        '!"a.py" has changed since you read it: something else wrote to it. Read it again, then write.'
    )
    await called(read_file, context, path="a.py")
    assert await called(write_file, context, path="a.py", content="mine\n") == "Wrote 5 bytes to a.py."
    assert await called(write_file, context, path="a.py", content="mine too\n") == "Wrote 9 bytes to a.py."


async def test_the_last_change_is_undone_unless_the_file_changed_since(context: ToolContext[Any], called: Called):
    await called(edit_file, context, path="a.py", old="two", new="2")
    await called(write_file, context, path="new.py", content="n\n")
    assert await called(undo_change, context) == (
        "Undone: the write of new.py, which created it (1 more change can be undone)."
    )
    (context.workspace / "a.py").write_text("another program's\n")
    assert await called(undo_change, context) == (
        '!The last change, the edit of a.py, line 2, cannot be undone: something else changed "a.py" since. Edit it '
        "instead."
    )


async def test_undo_names_which_of_several_edits_it_undid(context: ToolContext[Any], called: Called):
    for old, new in (("one", "1"), ("three\n", "3\nfour\n")):
        await called(edit_file, context, path="a.py", old=old, new=new)
    await called(write_file, context, path="b.py", content="")
    assert await called(undo_change, context) == "Undone: the write of b.py (2 more changes can be undone)."
    assert await called(undo_change, context) == ("Undone: the edit of a.py, lines 3-4 (1 more change can be undone).")
    assert await called(undo_change, context) == "Undone: the edit of a.py, line 1 (nothing more can be undone)."


async def test_changes_of_an_earlier_conversation_are_not_offered(context: ToolContext[Any], called: Called):
    """The workspace was restored with the new conversation: undo said that something else changed the file."""
    await called(edit_file, context, path="a.py", old="two", new="2")
    context.resources.get(Changes).on_context_renewed()
    assert (await called(undo_change, context)).startswith("!There is no change to undo")
    (context.workspace / "a.py").write_text("restored\n")
    assert await called(write_file, context, path="a.py", content="1\n") == "Wrote 2 bytes to a.py."


async def test_a_change_to_a_file_too_large_to_save_is_not_undone(context: ToolContext[Any], called: Called):
    await called(edit_file, context, path="b.py", old="1", new="2")
    with (context.workspace / "big").open("wb") as file:
        file.truncate(MAX_UNDO_BYTES + 1)
    await called(write_file, context, path="big", content="small\n")
    assert await called(undo_change, context) == (
        f'!The last change, the write of big, cannot be undone: "big" was larger than {MAX_UNDO_BYTES:,} bytes or '
        "not readable, so its old content was not saved. Call undo_change again to undo the change before it."
    )
    assert await called(undo_change, context) == "Undone: the edit of b.py, line 1 (nothing more can be undone)."


def test_the_old_contents_of_a_long_run_do_not_fill_the_memory(tmp_path: Path):
    changes = Changes()
    for number in range(20):
        content = bytes([65 + number]) * 10_000_000
        changes.apply(tmp_path, {inside(tmp_path, "big.txt"): content}, what="the edit of big.txt")
    held = [data for change in changes.done for data in (*change.before.values(), *change.after.values()) if data]
    assert sum(map(len, held)) <= 100_000_000
    changes.undo(tmp_path)
    assert (tmp_path / "big.txt").read_bytes() == b"S" * 10_000_000
