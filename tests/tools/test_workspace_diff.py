"""The tool that shows a run's own changes: what it shows, page by page, and what it says where it cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import Agent, ToolContext
from agent.testing import ScriptedModel, calls, says
from agent.workspace.workspace import Snapshot, Workspace
from tools.changes import apply_diff
from tools.files import edit_file, read_file, write_file
from tools.workspace_diff import diff

if TYPE_CHECKING:
    from conftest import Called


@pytest.fixture
def context(tmp_path: Path) -> ToolContext[Any]:
    folder = tmp_path / "ws"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("one\ntwo\nthree\n")
    (folder / "b.py").write_text("x = 1\n")
    (folder / ".gitignore").write_text("build/\n")
    snapshot = Workspace(folder).snapshot(tmp_path / "snapshot")
    assert isinstance(snapshot, Snapshot)
    return ToolContext(workspace=folder, snapshot=snapshot.tree)


A = "--- a/src/a.py\n+++ b/src/a.py\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
B = "--- a/b.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x = 1\n"


async def test_the_changes_of_a_run_are_listed_and_shown(context: ToolContext[Any], called: Called):
    (context.workspace / "src" / "a.py").write_text("one\n2\nthree\n")
    assert await called(diff, context) == A
    (context.workspace / "b.py").unlink()
    (context.workspace / "i.png").write_bytes(b"\x89PNG\0\xff")
    assert await called(diff, context) == (
        f"3 files changed:\nremoved b.py\nadded i.png [not text, 6 bytes]\nchanged src/a.py\n{B}{A}"
    )
    assert await called(diff, context, path="src") == A
    assert await called(diff, context, path="./src/a.py") == A
    assert await called(diff, context, path="b.py") == B
    assert await called(diff, context, path="i.png") == "1 file changed:\nadded i.png [not text, 6 bytes]\n"


async def test_a_long_diff_is_read_in_parts(context: ToolContext[Any], called: Called):
    (context.workspace / "src" / "new.py").write_text("".join(f"line {number}\n" for number in range(3_000)))
    (context.workspace / "src" / "min.js").write_text("x" * 5_000)
    pages, start = list[str](), 1
    while start:
        pages.append(await called(diff, context, start_line=start))
        found = re.search(r"\[lines \d+-\d+ of \d+; read on with start_line=(\d+)", pages[-1])
        start = int(found[1]) if found else 0
    assert pages[0].startswith(
        "2 files changed:\nadded src/min.js\nadded src/new.py\n--- /dev/null\n+++ b/src/min.js\n@@ -0,0 +1 @@\n+"
    )
    assert pages[0].endswith("; cut at 14,000 characters, or give path]")
    assert f"\n+{'x' * 999} [... 4,001 more characters in this line]\n\\ No newline at end of file\n" in pages[0]
    whole = "".join(re.sub(r"\[lines .*\]$", "", page) for page in pages)
    assert whole.endswith("+++ b/src/new.py\n@@ -0,0 +1,3000 @@\n" + "".join(f"+line {n}\n" for n in range(3_000)))
    assert await called(diff, context, start_line=9_999) == (
        "!The diff has 3,011 lines; start_line 9999 is past the end. Give a smaller start_line."
    )


async def test_nothing_changed_is_told_from_nothing_there(context: ToolContext[Any], called: Called):
    (context.workspace / "build").mkdir()
    (context.workspace / "build" / "out").write_text("1")
    assert await called(diff, context) == "Nothing in the workspace has changed since the run started."
    assert await called(diff, context, path="b.py") == '"b.py" has not changed since the run started.'
    assert await called(diff, context, path="build/out") == (
        '"build/out" is not compared: .gitignore ignores it, it is a cache or installed, or it holds no files.'
    )
    assert await called(diff, context, path="a.py") == (
        '!There is no "a.py", and there was none when the run started. Did you mean "src/a.py"?'
    )
    assert (await called(diff, context, path="../x")).startswith('!"../x" is outside the workspace')


async def test_without_a_snapshot_the_reason_and_the_way_on_are_given(context: ToolContext[Any], called: Called):
    unnamed = replace(context, snapshot=None)
    head = "!There is no copy of the workspace from the start of the run to compare with"
    assert await called(diff, unnamed) == (
        f"{head}: the run works in a folder that was not named, or none of its tools changes files. Read the "
        "files that you changed."
    )
    (context.workspace / ".git").mkdir()
    large = replace(unnamed, no_snapshot="/ws has more than 20000 files or 536870912 bytes")
    assert await called(diff, large) == (
        f"{head}: /ws has more than 20000 files or 536870912 bytes. Use run_shell with git diff."
    )


async def test_a_run_can_see_and_apply_its_own_changes(tmp_path: Path):
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "a.py").write_text("one\n")
    model = ScriptedModel(
        [
            calls(("edit_file", {"path": "a.py", "old": "one", "new": "1"})),
            calls(("diff", {}), ("git_diff", {})),
            calls(("diff", {"path": "a.py"})),
            says("done"),
        ]
    )
    tools = [edit_file, write_file, apply_diff, diff]
    await Agent(model, tools=tools, workspace=tmp_path / "ws").run("Go.")
    results = [message["content"] for message in model.bodies[-1]["messages"] if message["role"] == "tool"]
    assert results[1] == "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-one\n+1\n"
    assert 'Unknown tool "git_diff". Did you mean "diff"?' in results[2]


async def test_the_pocket_model_gets_its_own_read_file_in_a_run(tmp_path: Path):
    (tmp_path / "a.py").write_text("one\n")
    for name, shown in (("pocket", "one\n"), ("other", "1: one\n")):
        model = ScriptedModel([calls(("read_file", {"path": "a.py"})), says("done")], model=name, profile=None)
        await Agent(model, tools=[read_file], workspace=tmp_path).run("Go.")
        (answer,) = [message["content"] for message in model.bodies[-1]["messages"] if message["role"] == "tool"]
        assert answer == shown
        parameters = model.bodies[0]["tools"][0]["function"]["parameters"]["properties"]
        assert ("line_numbers" in parameters) == (name == "other")
