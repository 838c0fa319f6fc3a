"""A decision about a path holds for the file that is opened, whatever a process puts in its place in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from agent import Agent, ApprovalRequest, Permission, Sandbox, Tool, ToolContext, tool
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says
from tools.changes import apply_diff, edit_files, undo_change
from tools.code import outline
from tools.files import edit_file, list_files, read_file, write_file
from tools.search import search
from tools.testing_tools import read_test_report

SECRET = "def secret():\n"
DECOY = "def decoy():\n"
DENY = Permission(tool="*", match={"path": "docs/*"}, do="deny")
CHANGE = f"-{SECRET}+new\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = (tmp_path / "w").resolve()
    for folder, text in (("docs", SECRET), ("x", DECOY)):
        (root / folder / "in").mkdir(parents=True)
        (root / folder / "a.py").write_text(text)
    return root


def swapping(given: Tool) -> Tool:
    """Return a tool before whose body `x` becomes a symlink to the folder that no call may reach."""

    async def body(value: object, context: ToolContext[Any]) -> object:
        (context.workspace / "x").rename(context.workspace / "away")
        (context.workspace / "x").symlink_to("docs")
        return await given.body(value, context)

    return replace(given, body=body)


async def approve(_request: ApprovalRequest) -> bool:
    return True


async def play(workspace: Path, tools: Sequence[Tool], *script: tuple[str, Any], **more: Any) -> list[ToolResult]:
    """Return the results of calls."""
    model = ScriptedModel([*(calls(cast("Any", call)) for call in script), says("Done.")])
    settings: dict[str, Any] = {"permissions": [DENY], "sandbox": Sandbox(), **more}
    outcome = await Agent(model, workspace=workspace, tools=tools, **settings).run("Go.")
    return [message for message in outcome.messages if isinstance(message, ToolResult)]


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        (read_file, {"path": "x/a.py"}),
        (write_file, {"path": "x/a.py", "content": "new\n"}),
        (write_file, {"path": "x/new.py", "content": "new\n"}),
        (write_file, {"path": "x/made/new.py", "content": "new\n"}),
        (edit_file, {"path": "x/a.py", "old": "secret", "new": "new"}),
        (edit_files, {"edits": [{"path": "x/a.py", "old": "secret", "new": "new"}]}),
        (apply_diff, {"diff": f"--- x/a.py\n+++ x/a.py\n@@ -1 +1 @@\n{CHANGE}"}),
        (apply_diff, {"diff": f"--- x/a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-{SECRET}"}),
        (apply_diff, {"diff": "--- /dev/null\n+++ x/new.py\n@@ -0,0 +1 @@\n+new\n"}),
        (apply_diff, {"diff": "diff --git a/x/a.py b/b.py\nrename from x/a.py\nrename to b.py\n"}),
        (apply_diff, {"diff": "diff --git a/x/a.py b/x/b.py\nold mode 100644\nnew mode 100755\n"}),
        (list_files, {"path": "x"}),
        (search, {"pattern": "def", "path": "x"}),
        (search, {"pattern": "def", "path": "x/a.py"}),
        (outline, {"path": "x/a.py"}),
        (read_test_report, {"path": "x/a.py"}),
    ],
)  # fmt: skip
async def test_a_folder_that_becomes_a_symlink_after_the_decision_leads_nowhere(
    workspace: Path, given: Tool, arguments: Any
):
    """The rule decided on where the path ended; the tool then opened by name."""
    before = {path: path.stat().st_mode for path in (workspace / "docs").rglob("*")}
    (result,) = await play(workspace, [swapping(given)], (given.name, arguments))

    assert result.status == "error"
    assert "secret" not in result.content.replace(str(workspace), "")
    assert 'the permission rules of this run are about "docs/*"' in result.content
    assert {path: path.stat().st_mode for path in (workspace / "docs").rglob("*")} == before
    assert (workspace / "docs/a.py").read_text() == SECRET


async def test_what_a_diff_moves_to_cannot_be_swapped_either(workspace: Path):
    (workspace / "from.py").write_text(DECOY)
    moved = "diff --git a/from.py b/x/new.py\nrename from from.py\nrename to x/new.py\n"
    (result,) = await play(workspace, [swapping(apply_diff)], ("apply_diff", {"diff": moved}))
    assert result.status == "error"
    assert sorted(path.name for path in (workspace / "docs").iterdir()) == ["a.py", "in"]
    assert (workspace / "from.py").read_text() == DECOY


async def test_a_diff_that_is_replaced_after_the_decision_changes_no_other_file(workspace: Path):
    (workspace / "to.diff").write_text(f"--- x/a.py\n+++ x/a.py\n@@ -1 +1 @@\n-{DECOY}+new\n")

    async def body(value: object, context: ToolContext[Any]) -> object:
        (workspace / "to.diff").write_text(f"--- docs/a.py\n+++ docs/a.py\n@@ -1 +1 @@\n{CHANGE}")
        return await apply_diff.body(value, context)

    (result,) = await play(workspace, [replace(apply_diff, body=body)], ("apply_diff", {"diff_file": "to.diff"}))
    assert result.status == "error"
    assert (workspace / "docs/a.py").read_text() == SECRET


async def test_an_approval_is_for_the_file_that_the_person_saw(workspace: Path):
    rules = [Permission(tool="*", match={"path": "*"}, do="ask")]
    (result,) = await play(
        workspace, [swapping(read_file)], ("read_file", {"path": "x/a.py"}), permissions=rules, approve=approve
    )
    assert result.status == "error"
    assert SECRET not in result.content


@pytest.mark.parametrize(
    ("name", "arguments", "paths"),
    [
        ("read_file", {"path": "to_docs/a.py"}, ("docs/a.py",)),
        ("search", {"pattern": "x"}, ("./",)),
        ("apply_diff", {"diff_file": "to.diff"}, ("to.diff", "docs/new.py")),
    ],
)
async def test_a_person_is_told_where_a_call_leads(workspace: Path, name: str, arguments: Any, paths: Any):
    (workspace / "to_docs").symlink_to("docs")
    (workspace / "to.diff").write_text("--- /dev/null\n+++ to_docs/new.py\n@@ -0,0 +1 @@\n+new\n")
    asked: list[ApprovalRequest] = []
    rule = Permission(tool="*", match={"path": "docs/*"}, do="ask")

    def refuse(request: ApprovalRequest) -> bool:
        asked.append(request)
        return False

    (result,) = await play(
        workspace, [read_file, search, apply_diff], (name, arguments), permissions=[rule],
        approve=refuse,
    )  # fmt: skip
    assert result.status == "denied"
    assert asked == [ApprovalRequest(tool=name, arguments=arguments, why="", paths=paths)]


async def test_an_approved_call_reaches_all_that_it_names(workspace: Path):
    asking = [Permission(tool="*", match={"path": "docs/*"}, do="ask"), Permission(tool="list_files", do="ask")]
    (workspace / "docs/in/b.py").write_text("")
    (workspace / "to_docs").symlink_to("docs")
    results = await play(
        workspace,
        [read_file, write_file, list_files, search, edit_file],
        ("read_file", {"path": "to_docs/a.py"}),
        ("write_file", {"path": "docs/made/new.py", "content": "x"}),
        ("list_files", {"path": "docs"}),
        ("list_files", {"path": "."}),
        ("search", {"pattern": "secret"}),
        ("edit_file", {"path": "docs/a.py", "old": "secret", "new": "open"}),
        permissions=asking,
        approve=approve,
    )
    assert [result.status for result in results] == ["ok"] * 6
    assert "docs/in/b.py" in results[2].content
    assert "x/in/" in results[3].content
    assert "docs/a.py:1:" in results[4].content


async def test_a_rule_that_allows_one_folder_allows_everything_in_it(workspace: Path):
    rules = [Permission(tool="*", match={"path": "x*"}, do="allow"), Permission(tool="*", do="deny")]
    (workspace / ".gitignore").write_text("*.log\n")
    (workspace / "x/in/a.log").write_text("def")
    results = await play(
        workspace,
        [read_file, write_file, list_files, search],
        ("read_file", {"path": "x/a.py"}),
        ("write_file", {"path": "x/made/new.py", "content": "x"}),
        ("list_files", {"path": "x"}),
        ("search", {"pattern": "def", "path": "x"}),
        permissions=rules,
    )
    assert [result.status for result in results] == ["ok"] * 4
    assert "a.log" not in results[2].content
    assert results[3].content == "x/a.py:1: def decoy():"


async def test_a_folder_that_a_rule_denies_is_not_listed_from_the_one_above(workspace: Path):
    (workspace / "docs/secret-name.py").touch()
    (result,) = await play(workspace, [list_files], ("list_files", {}))
    assert "docs/ (cannot be read)" in result.content
    assert "secret-name" not in result.content
    assert "x/a.py" in result.content


async def test_an_undo_does_not_write_where_a_rule_asks(workspace: Path):
    rules = [Permission(tool="edit_file", do="allow"), Permission(tool="*", match={"path": "docs/*"}, do="ask")]
    results = await play(
        workspace, [edit_file, undo_change],
        ("edit_file", {"path": "docs/a.py", "old": "secret", "new": "open"}), ("undo_change", {}), permissions=rules,
    )  # fmt: skip
    assert [result.status for result in results] == ["ok", "error"]
    assert (workspace / "docs/a.py").read_text() == SECRET.replace("secret", "open")


async def test_the_rules_of_a_run_do_not_hold_for_the_runs_that_its_tools_start(workspace: Path):
    """The nested run could not have made its snapshot of a folder that its caller's rules are about."""

    @tool
    async def ask_another(context: ToolContext[Any]) -> str:
        """Ask another agent."""
        del context
        (result,) = await play(
            workspace, [read_file, write_file], ("read_file", {"path": "docs/a.py"}), permissions=[],
            workspace_mode="copy",
        )  # fmt: skip
        return result.content

    (result,) = await play(workspace, [ask_another], ("ask_another", {}))
    assert result.content == f"1: {SECRET}"
