"""Diffs as git and models write them: git's own diff of two trees, applied to the first, gives the second."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import ToolContext, changes_since
from tools.changes import apply_diff, undo_change

if TYPE_CHECKING:
    from conftest import Called

Tree = dict[str, tuple[str, bool]]
"""Path to content, and whether it is executable."""

NAMES = st.sampled_from(["a.py", "b/a.py", "a/b.py", "d/e f.txt", "d/ü.txt", 'q"u.txt', "back\\slash", "d/e"])
LINE = st.sampled_from(
    ["a", "b", "c", "d", "e", "", "  ", "x\r", "\r", "-- x", "++ y", "--- a/a.py", "+++ b/a.py", "@@ -1 +1 @@", "\\ No",
     "diff --git a/a b/a", "-", "+", "ü", "z\x0cz", "rename from x"]
)  # fmt: skip
TEXT = st.tuples(st.lists(LINE, max_size=12), st.sampled_from(["", "\n"])).map(lambda x: "\n".join(x[0]) + x[1])
FILE = st.tuples(TEXT, st.booleans())


@st.composite
def trees(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """Two trees; much of the second is the first with lines changed, and files moved, removed, added, or executable."""
    before = without_clashes(draw(st.dictionaries(NAMES, FILE, max_size=4)))
    after: Tree = {}
    for name, (text, executable) in before.items():
        what = draw(st.sampled_from(["keep", "edit", "edit", "mode", "move", "copy", "remove"]))
        if what == "edit":
            lines = text.split("\n")
            at = draw(st.integers(0, len(lines)))
            lines[at : at + draw(st.integers(0, 2))] = draw(st.lists(LINE, max_size=2))
            text = "\n".join(lines)
        if what in {"move", "copy"}:
            after[draw(NAMES)] = (text, executable)
        if what not in {"move", "remove"}:
            after.setdefault(name, (text, executable != (what == "mode")))
    return before, without_clashes(after | draw(st.dictionaries(NAMES, FILE, max_size=1)))


def without_clashes(tree: Tree) -> Tree:
    """Drop a file that is a folder of another, and carriage returns that git takes for binary or conversion."""
    folders = {str(parent) for name in tree for parent in Path(name).parents}
    return {name: file for name, file in tree.items() if name not in folders}


def write(root: Path, tree: Tree) -> None:
    for name, (text, executable) in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
        (root / name).chmod(0o755 if executable else 0o644)


def read(root: Path) -> Tree:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(root)): (path.read_bytes().decode(), bool(path.stat().st_mode & stat.S_IXUSR))
        for path in files
    }


def git_diff(folder: Path, before: Tree, after: Tree, options: list[str]) -> str:
    git = ["git", "-c", "core.autocrlf=false", "-c", "core.fileMode=true", f"--git-dir={folder}/repository"]
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def run(*arguments: str, work: Path) -> str:
        command = [*git, f"--work-tree={work}", *arguments]
        return subprocess.run(command, cwd=work, env=env, check=True, capture_output=True).stdout.decode()

    found: list[str] = []
    for name, tree in (("before", before), ("after", after)):
        work = folder / name
        work.mkdir()
        write(work, tree)
        if not found:
            run("init", "-q", work=work)
        run("add", "-A", "--force", ".", work=work)
        found.append(run("write-tree", work=work).strip())
    return run("diff", "--text", *options, *found, work=folder / "after")


OPTIONS = st.lists(
    st.sampled_from(["-M", "-C", "--find-copies-harder", "--no-renames", "--no-prefix", "-U0", "-U1", "--patience",
                     "--full-index", "-M10%", "--inter-hunk-context=1"]),
    max_size=3, unique=True,
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(both=trees(), options=OPTIONS)
async def test_gits_own_diff_of_two_trees_applied_to_the_first_gives_the_second(
    tmp_path_factory: pytest.TempPathFactory, called: Called, both: tuple[Tree, Tree], options: list[str]
):
    folder = tmp_path_factory.mktemp("trees")
    before, after = both
    diff = git_diff(folder, before, after, options)
    if not diff:
        return
    workspace = folder / "before"
    context = ToolContext(workspace=workspace)

    answer = await called(apply_diff, context, diff=diff)

    assert answer.startswith("Applied"), f"{answer}\n{diff}"
    assert read(workspace) == after, diff
    undone = await called(undo_change, context)
    assert undone.startswith("Undone: the diff of "), undone
    assert read(workspace) == before


@pytest.fixture
def context(tmp_path: Path) -> ToolContext[None]:
    (tmp_path / "a.py").write_text("".join(f"{number}\n" for number in range(1, 61)))
    (tmp_path / "b.py").write_text("x = 1\n\ny = 2\n")
    return ToolContext(workspace=tmp_path)


def text(context: ToolContext[None], name: str) -> str:
    return (context.workspace / name).read_bytes().decode()


async def test_a_moved_hunk_is_reported_with_its_line(context: ToolContext[None], called: Called):
    diff = "--- a/a.py\n+++ b/a.py\n@@ -2,2 +2,3 @@\n 2\n+2.5\n 3\n@@ -54,3 +55,2 @@\n 57\n-58\n-59\n 60\n"
    assert await called(apply_diff, context, diff=diff) == (
        "Applied to a.py: lines 3, 59; hunk 2 applied at line 58, 3 lines below its header."
    )
    diff = "--- a/a.py\n+++ b/a.py\n@@ -9,2 +9,2 @@\n 5\n-6\n+six\n"
    assert await called(apply_diff, context, diff=diff) == (
        "Applied to a.py: line 7; hunk 1 applied at line 6, 3 lines above its header."
    )
    assert await called(undo_change, context) == "Undone: the diff of a.py, line 7 (1 more change can be undone)."


@pytest.mark.parametrize(
    "diff",
    [
        "--- a/b.py\n+++ b/b.py\n\n@@ -1,3 +1,3 @@\n-x = 1\n+x = 3\n \n\n@@ -3 +3 @@\n-y = 2\n+y = 4\n\n",
        "--- a/b.py\n+++ b/b.py\n@@ -1,9 +1,9 @@\n-x = 1\n+x = 3\n\n-y = 2\n+y = 4\n\n\n",
        "```diff\n--- b.py\n+++ b.py\n@@ -1,3 +1,3 @@\n-x = 1\n+x = 3\n\n-y = 2\n+y = 4\n```\nThat is all.\n",
        "--- a/b.py\n+++ a/b.py\n@@ @@\n-x = 1\n+x = 3\n@@ ... @@\n-y = 2\n+y = 4\n",
        "--- b.py\t2026-11-28\r\n+++ b.py\t2026-11-28\r\n@@ -1 +1 @@\r\n-x = 1\r\n+x = 3\r\n@@ -3 +3 @@\r\n-y = 2\r\n"
        "+y = 4\r\n",
        "From 1234 Mon Sep 17\nSubject: x\n---\n b.py | 4 ++--\n\ndiff --git a/b.py b/b.py\nindex 1..2 100644\n"
        "--- a/b.py\n+++ b/b.py\n@@ -1,3 +1,3 @@ def f\n-x = 1\n+x = 3\n \n-y = 2\n+y = 4\n-- \n2.39.5\n\n",
        "--- a/b.py\n+++ b/b.py\n@@ -1,2 +1,2 @@\n-x = 1\n+x = 3\n--- a/b.py\n+++ b/b.py\n@@ -3 +3 @@\n-y = 2\n"
        "+y = 4\n",
    ],
    ids=["blank lines", "wrong counts", "fence", "no numbers", "crlf", "mail", "counts that reach into the next file"],
)
async def test_diffs_as_models_write_them_are_applied(context: ToolContext[None], diff: str, called: Called):
    assert (await called(apply_diff, context, diff=diff)).startswith("Applied to b.py: line")
    assert text(context, "b.py") == "x = 3\n\ny = 4\n"


async def test_context_without_its_blank_is_context(context: ToolContext[None], called: Called):
    """The rest of such a hunk was taken for prose, and its changes were left out without a word."""
    diff = "--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n-1\n+one\n2\n-3\n+three\n"
    assert await called(apply_diff, context, diff=diff) == "Applied to a.py: lines 1, 3."
    assert text(context, "a.py").startswith("one\n2\nthree\n4\n")


async def test_a_git_header_without_hunks_does_not_take_the_next_files_header(
    context: ToolContext[None], called: Called
):
    diff = "diff --git a/n.py b/n.py\nnew file mode 100644\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x = 1\n+x = 3\n"
    assert await called(apply_diff, context, diff=diff) == ("Applied to 2 files:\nn.py: created, 0 lines\nb.py: line 1")


async def test_several_parts_about_one_file_are_applied_in_order(context: ToolContext[None], called: Called):
    part = "--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n"
    assert await called(apply_diff, context, diff=f"{part}-x = 1\n+x = 2\n{part}-x = 2\n+x = 3\n") == (
        "Applied to b.py: line 1; line 1."
    )
    assert text(context, "b.py") == "x = 3\n\ny = 2\n"


@pytest.mark.parametrize(
    ("before", "rows", "after"),
    [
        ("a", "-a\n\\ No newline at end of file\n+a\n", "a\n"),
        ("a\n", "-a\n+a\n\\ No newline at end of file\n", "a"),
        ("a", " a\n+b\n", "a\nb"),
        ("a\r\nb", " a\n b\n+c\n", "a\r\nb\r\nc"),
        ("a\r\nb\r\n", " a\n-b\n+c\n+d\n", "a\r\nc\r\nd\r\n"),
        ("a\r\nb\n", " a\n b\n+c\n", "a\r\nb\nc\n"),
        ("a\r\nb\r\n", "-a\r\n+a\n b\r\n", "a\nb\r\n"),
        ("\ufeffa\n", "-a\n+b\n", "\ufeffb\n"),
        ("\ufeffa\n", "-\ufeffa\n+a\n", "a\n"),
    ],
)
async def test_the_end_of_the_file_and_line_ends_are_as_the_diff_says(
    context: ToolContext[None], before: str, rows: str, after: str, called: Called
):
    (context.workspace / "c.txt").write_bytes(before.encode())
    diff = f"--- a/c.txt\n+++ b/c.txt\n@@ -1,9 +1,9 @@\n{rows}"
    assert (await called(apply_diff, context, diff=diff)).startswith("Applied")
    assert text(context, "c.txt") == after


@pytest.mark.parametrize(
    ("diff", "answer"),
    [
        (
            "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n 2\n\\ No newline at end of file\n+3\n",
            'Hunk 1 does not apply to "a.py"; nothing was changed. Its lines are at line 2, which is not the end of '
            'the file. Leave out "\\ No newline at end of file".',
        ),
        (
            "--- a/twin.py\n+++ b/twin.py\n@@ -1,2 +1,2 @@\n a\n-b \n+B\n",
            'Hunk 1 does not apply to "twin.py"; nothing was changed. Correct its context lines or line number. It '
            "differs only in white space at line ends. The most similar lines:\n1: a\n2: b",
        ),
        (
            "--- a/a.py\n+++ b/a.py\n@@ -3,2 +3,2 @@\n 3\n-four\n+4\n",
            'Hunk 1 does not apply to "a.py"; nothing was changed. It seems to be applied already: its new lines are '
            "at line 3.",
        ),
        (
            "--- a/a.py\n+++ b/a.py\n@@ ... @@\n+4\n",
            'Hunk 1 does not apply to "a.py"; nothing was changed. It has only added lines, and its header has no line '
            "number. Add the lines around them.",
        ),
        (
            "--- a/twin.py\n+++ b/twin.py\n@@ -2 +2 @@\n-a\n+A\n",
            'Hunk 1 does not apply to "twin.py"; nothing was changed. Its lines occur 2 times, at lines 1, 3, and its '
            "header says line 2. Correct the line number, or add context lines.",
        ),
        (
            "--- a/b.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x = 1\n",
            'The diff removes "b.py", but leaves 2 of its lines; nothing was changed. Begin all its lines with -, or '
            "send a diff that keeps the file.",
        ),
        (
            "diff --git a/l b/l\nnew file mode 120000\nindex 0..1\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+a\n",
            'The diff makes or changes a symlink, "l", which apply_diff cannot do. Use ln -s.',
        ),
        (
            "diff --git a/i.png b/i.png\nindex 1..2 100644\nBinary files a/i.png and b/i.png differ\n",
            'The diff changes "i.png", a binary file, which apply_diff cannot do. Leave it out.',
        ),
        (
            "diff --cc a.py\nindex 1,2..3\n--- a/a.py\n+++ b/a.py\n@@@ -1 -1 +1 @@@\n--1\n++2\n",
            "The diff is a combined diff of a merge. Send a diff between two versions: git diff OLD NEW.",
        ),
        (
            "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n 1\n 2\n 3\n",
            'The diff\'s hunk 1 of "a.py" changes nothing. Begin removed lines with - and added lines with +.',
        ),
        (
            '--- "a/a.py\\n+++ b/b.py"\n+++ "b/a.py\\n+++ b/b.py"\n@@ -1 +1 @@\n-1\n+one\n',
            r"The path 'a.py\n+++ b/b.py' holds a control character. Give a plain file name.",
        ),
    ],
)
async def test_a_diff_that_cannot_be_applied_says_what_to_do(
    context: ToolContext[None], diff: str, answer: str, called: Called
):
    (context.workspace / "twin.py").write_text("a\nb\na\n")
    assert await called(apply_diff, context, diff=diff) == f"!{answer}"


async def test_a_diff_kept_in_the_workspace_is_applied_again(context: ToolContext[None], called: Called):
    (context.workspace / ".agent").mkdir()
    patch = "# added i.png: [not text, 9 bytes]\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x = 1\n+x = 3\n"
    (context.workspace / ".agent" / "changes.diff").write_text(patch)
    assert await called(apply_diff, context, diff_file=".agent/changes.diff") == "Applied to b.py: line 1."
    for both in ({}, {"diff": patch, "diff_file": ".agent/changes.diff"}):
        assert await called(apply_diff, context, **both) == (
            "!Give either diff, the text of a unified diff, or diff_file, the path of a file that holds one."
        )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(both=trees())
async def test_the_frameworks_own_diff_of_a_workspace_can_be_applied_again(
    tmp_path_factory: pytest.TempPathFactory, called: Called, both: tuple[Tree, Tree]
):
    folder = tmp_path_factory.mktemp("trees")
    for name, tree in zip(("before", "after"), both, strict=True):
        (folder / name).mkdir()
        write(folder / name, {path: (content, False) for path, (content, _) in tree.items()})
    changes = changes_since(folder / "before", folder / "after")
    patch = "\n".join(change.diff for change in changes) + "\n"
    context = ToolContext(workspace=folder / "before")
    assert not changes or (await called(apply_diff, context, diff=patch)).startswith("Applied"), patch
    assert read(folder / "before") == read(folder / "after"), patch
