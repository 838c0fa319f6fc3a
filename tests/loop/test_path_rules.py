"""A rule about a path holds for every tool that reaches it, by whatever name, and for commands."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from agent import Agent, Permission, Rules, Sandbox, Tool, find_sandbox, tool, tool_from_schema
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says
from tools.changes import apply_diff, edit_files
from tools.code import find_definition
from tools.files import edit_file, list_files, read_file, write_file
from tools.processes import start_process
from tools.search import search
from tools.shell import run_shell
from tools.workspace_diff import diff

DENY = Permission(tool="*", match={"path": "docs/*"}, do="deny")
DENIED = 'Error: The permission rules of this run deny this call. It was not made. The rule is about the path "docs/*".'
READY = (
    apply_diff, edit_files, find_definition, edit_file, list_files, read_file, write_file, start_process, search,
    run_shell, diff,
)  # fmt: skip


async def unused(_arguments: object) -> object:
    return "done"


def foreign(name: str = "server_put") -> Tool:
    """Return a tool as an MCP server has it, which declares no paths."""
    return tool_from_schema(unused, name=name, description="Put.", parameters={"type": "object"})


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = (tmp_path / "w").resolve()
    for name in ("docs", "src"):
        (root / name).mkdir(parents=True)
        (root / name / "a.md").write_text("old\n")
    (root / "lnk").symlink_to("docs")
    (root / "src" / "one").symlink_to("../docs/a.md")
    (root / "to.diff").write_text("--- a/docs/a.md\n+++ b/docs/a.md\n@@ -1 +1 @@\n-old\n+new\n")
    return root


async def play(workspace: Path, *script: tuple[str, Mapping[str, object]], **more: Any) -> list[ToolResult]:
    """Return the results of calls."""
    model = ScriptedModel([*(calls(cast("Any", call)) for call in script), says("Done.")])
    settings: dict[str, Any] = {
        "tools": READY, "permissions": [DENY], "env": {"PATH": "/usr/bin:/bin"},
        "sandbox": find_sandbox("bubblewrap", Rules()), **more,
    }  # fmt: skip
    outcome = await Agent(model, workspace=workspace, **settings).run("Go.")
    return [message for message in outcome.messages if isinstance(message, ToolResult)]


def patch(old: str, new: str) -> dict[str, str]:
    return {"diff": f"--- {old}\n+++ {new}\n@@ -1 +1 @@\n-old\n+new\n"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_file", {"path": "docs/a.md"}), ("read_file", {"path": "./docs/a.md"}),
        ("write_file", {"path": "src/../docs/a.md", "content": "x"}),
        ("write_file", {"path": "docs//new", "content": ""}),
        ("write_file", {"path": "W/docs/a.md", "content": "x"}), ("write_file", {"path": "lnk/a.md", "content": "x"}),
        ("read_file", {"path": "src/one"}), ("list_files", {"path": "docs"}), ("list_files", {"path": "lnk/"}),
        ("edit_file", {"path": "lnk/../docs/a.md", "old": "old", "new": "n"}),
        ("edit_files", {"edits": [{"path": path, "old": "o", "new": "n"} for path in ("src/a.md", "docs/a.md")]}),
        ("apply_diff", patch("a/docs/a.md", "b/docs/a.md")), ("apply_diff", patch("docs/a.md", "docs/a.md")),
        ("apply_diff", patch("/dev/null", "b/docs/new.md")), ("apply_diff", patch("a/docs/a.md", "/dev/null")),
        ("apply_diff", patch("a/lnk/a.md", "b/lnk/a.md")), ("apply_diff", {"diff_file": "to.diff"}),
        ("apply_diff", {"diff": "diff --git a/src/a.md b/docs/b.md\nrename from src/a.md\nrename to docs/b.md\n"}),
        ("search", {"pattern": "old", "path": "docs"}), ("search", {"pattern": "old"}),
        ("search", {"pattern": "old", "path": "lnk"}), ("diff", {}), ("find_definition", {"name": "x"}),
        ("server_put", {"path": "docs/a.md"}), ("server_put", {"to": {"files": ["src/a.md", "docs/new.md"]}}),
        ("server_put", {"uri": "file://W/docs/a%2Emd"}), ("server_put", {"what": "lnk/a.md"}),
        ("server_put", {"uri": "File:///W/docs/a.md"}), ("server_put", {"path": "./" * 3000 + "docs/a.md"}),
        ("server_put", {"file": "src/\n/../../docs/a.md"}), ("server_put", {"file": "docs/new\nname"}),
        ("server_put", {"files": {"docs/new.md": "x"}}), ("server_put", {"a": [[[{"path": "docs/a.md"}]]]}),
        ("server_put", {"source": "."}), ("server_put", {"source": "src/..", "to": "n"}),
        ("server_put", {"source": "lnk/.."}), ("server_put", patch("a/docs/a.md", "b/docs/a.md")),
        ("server_put", {"patch": "*** Begin Patch\n*** Add File: docs/new.md\n+x\n*** End Patch\n"}),
        ("server_put", {"edits": [{"text": "rename from src/a.md\nrename to docs/b.md\n"}]}),
    ],
)  # fmt: skip
async def test_a_denied_path_is_denied_by_every_name_and_to_every_tool(workspace: Path, name: str, arguments: Any):
    """The pattern was matched with the text of an argument named `path`."""
    given = {
        key: value.replace("W", str(workspace)) if isinstance(value, str) else value for key, value in arguments.items()
    }
    (result,) = await play(workspace, (name, given), tools=[*READY, foreign()])

    assert result.status == "denied"
    assert result.content.startswith(DENIED)
    assert (workspace / "docs/a.md").read_text() == "old\n"
    assert [path.name for path in (workspace / "docs").iterdir()] == ["a.md"]


@pytest.mark.parametrize("text", [" docs/a.md\n", "docs/a.md\0.txt", "~/docs/a.md"])
async def test_a_path_that_a_server_may_clean_up_is_denied_as_what_it_becomes(
    workspace: Path, text: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(workspace))
    rule = Permission(tool="*", match={"path": "docs/a.md"}, do="deny")
    (result,) = await play(workspace, ("server_put", {"file": text}), permissions=[rule], tools=[foreign()])
    assert result.status == "denied"


@pytest.mark.parametrize(
    "path", ["/proc/self/cwd/docs/a.md", "//proc/1/task/1/root/w", "/proc/self/../self/fd/3", "here/docs/new", "fds/3"]
)
async def test_a_path_through_a_process_is_not_followed(workspace: Path, path: str):
    """What it leads to for a server is not what it leads to here."""
    (workspace / "here").symlink_to("/proc/self/cwd")
    (workspace / "fds").symlink_to("/dev/fd")
    (result,) = await play(workspace, ("server_put", {"path": path}), tools=[foreign()])
    assert result.content.startswith("Error: It could not be found out which paths this call reaches")


async def test_texts_that_are_no_paths_fit_a_rule_that_allows_one_folder(workspace: Path):
    rules = [Permission(tool="*", match={"path": "src/*"}, do="allow"), Permission(tool="*", do="deny")]
    given = {
        "text": "--- a\n--- b\n",
        "patch": patch("a/src/a.md", "/dev/null")["diff"],
        "path": "src",
        "file_text": "see docs/\n\n# all\n",
        "source": "x = 1\n" * 3000,
        "files": {"src/a.md": "x"},
    }
    (result,) = await play(workspace, ("server_put", given), permissions=rules, tools=[foreign()])
    assert result.content == "done"


@pytest.mark.parametrize(("folder", "written"), [("app/[id]", "app/[id]"), ("u\u0308ber", "\u00fcber")])
async def test_a_folder_with_brackets_or_in_another_unicode_form_is_closed(workspace: Path, folder: str, written: str):
    """Such rules protected nothing: brackets were taken for a choice of letters."""
    (workspace / folder).mkdir(parents=True)
    (workspace / folder / "a.md").write_text("old\n")
    rule = Permission(tool="*", match={"path": f"{written}/*"}, do="deny")
    read, ran = await play(
        workspace,
        ("read_file", {"path": f"{folder}/a.md"}),
        ("run_shell", {"command": f"cat {folder}/a.md; mkdir -p '{folder}/in'"}),
        permissions=[rule],
    )
    assert read.status == "denied"
    assert ran.content.endswith(f"\n[{folder}: hidden from commands by the permission rules of this run]")
    assert [path.name for path in (workspace / folder).iterdir()] == ["a.md"]


@pytest.mark.parametrize("pattern", ["lnk/*", "W/../alias/docs/*", "src/one", "../w/docs/"])
async def test_a_rule_that_is_written_with_a_symlink_holds_for_where_it_leads(workspace: Path, pattern: str):
    """`docs/a.md` was read although `lnk/*` was denied; once a command had removed the link, by commands too."""
    (workspace.parent / "alias").symlink_to("w")
    rule = Permission(tool="*", match={"path": pattern.replace("W", str(workspace))}, do="deny")
    read, _, ran = await play(
        workspace,
        ("read_file", {"path": "docs/a.md"}),
        ("run_shell", {"command": "rm lnk src/one"}),
        ("run_shell", {"command": "cat docs/a.md"}),
        permissions=[rule],
    )
    assert read.status == "denied"
    assert "old" not in ran.content.replace("[docs", "")


async def test_an_absolute_path_in_a_folder_holds_for_a_copy_of_it(workspace: Path):
    rule = Permission(tool="*", match={"path": f"{workspace}/docs/*"}, do="deny")
    results = await play(
        workspace, ("read_file", {"path": "docs/a.md"}), ("read_file", {"path": "src/a.md"}), permissions=[rule],
        workspace_mode="copy",
    )  # fmt: skip
    assert [result.status for result in results] == ["denied", "ok"]


async def test_other_paths_are_allowed_without_friction(workspace: Path):
    results = await play(
        workspace,
        ("read_file", {"path": "src/a.md"}),
        ("write_file", {"path": "new.md", "content": "docs/a.md"}),
        ("edit_file", {"path": "new.md", "old": "docs/a.md", "new": "docs/b.md"}),
        ("apply_diff", patch("a/src/a.md", "b/src/a.md")),
        ("search", {"pattern": "docs/", "path": "src"}),
        ("list_files", {}),
        ("run_shell", {"command": "cat src/a.md"}),
        ("server_put", {"path": "src/a.md", "text": "docs"}),
        tools=[*READY, foreign()],
    )
    assert [result.status for result in results[:-1]] == ["ok"] * 7


async def test_a_wide_read_is_answered_with_what_to_do(workspace: Path):
    (result,) = await play(workspace, ("search", {"pattern": "old"}))
    assert result.content == (
        f'{DENIED} The call reads everything below ".": give a narrower path. Find another way, or explain in your '
        "answer why it is needed."
    )


@pytest.mark.parametrize("name", ["run_shell", "start_process"])
@pytest.mark.parametrize(
    "command",
    [
        "cat docs/a.md", "echo new > docs/a.md", "touch docs/new", "mv docs other; cat other/a.md", "cat lnk/a.md",
        "rm -rf docs", "ln docs/a.md src/hard; cat src/hard", "cp -r docs copy; cat copy/a.md",
        "umount docs; cat docs/a.md", "mount --move docs src; cat docs/a.md",
    ],
)  # fmt: skip
async def test_a_denied_path_is_closed_to_commands(workspace: Path, name: str, command: str):
    arguments = {"command": command, **({"wait_s": 1} if name == "start_process" else {})}
    (result,) = await play(workspace, (name, arguments))

    assert result.content.endswith("\n[docs: hidden from commands by the permission rules of this run]")
    assert "old" not in result.content.replace("[docs", "")
    assert (workspace / "docs/a.md").read_text() == "old\n"
    assert [path.name for path in (workspace / "docs").iterdir()] == ["a.md"]


async def test_the_folder_above_a_hidden_one_cannot_be_renamed(workspace: Path):
    (workspace / "a/docs").mkdir(parents=True)
    (workspace / "a/docs/x").write_text("old")
    rule = Permission(tool="*", match={"path": "a/docs/*"}, do="deny")
    (result,) = await play(workspace, ("run_shell", {"command": "mv a b; cat b/docs/x"}), permissions=[rule])
    assert "old" not in result.content
    assert (workspace / "a/docs/x").exists()


async def test_files_that_match_a_pattern_anywhere_are_closed_to_commands(workspace: Path):
    (workspace / "src/.env").write_text("KEY=old\n")
    (workspace / ".env").write_text("KEY=old\n")
    rule = Permission(tool="*", match={"path": "*.env"}, do="deny")
    (result,) = await play(
        workspace, ("run_shell", {"command": "cat .env src/.env 2>&1; echo x > .env; ls docs"}), permissions=[rule]
    )
    assert result.content == (
        "cat: .env: Permission denied\ncat: src/.env: Permission denied\n"
        "/bin/bash: line 1: .env: Permission denied\na.md\n"
        "[.env, src/.env: hidden from commands by the permission rules of this run]"
    )
    assert (workspace / ".env").read_text() == "KEY=old\n"


@pytest.mark.parametrize("sandbox", ["landlock", "none"])
async def test_where_a_path_cannot_be_hidden_no_command_runs(workspace: Path, sandbox: str):
    box = Sandbox() if sandbox == "none" else find_sandbox("landlock", Rules())
    (result,) = await play(workspace, ("run_shell", {"command": "cat docs/a.md"}), sandbox=box)
    assert result.content == (
        "Error: The permission rules of this run keep commands out of docs/*, and its sandbox cannot. The command was "
        "not run. Use the tools for files, or explain in your answer why a command is needed."
    )


@pytest.mark.parametrize(
    "rules",
    [
        [Permission(tool="write_*", match={"path": "docs/*"}, do="deny")],
        [Permission(tool="run_shell", do="allow"), DENY],
    ],
)
async def test_a_rule_about_other_tools_hides_nothing_from_commands(workspace: Path, rules: Sequence[Permission]):
    (result,) = await play(workspace, ("run_shell", {"command": "cat docs/a.md"}), permissions=rules)
    assert result.content == "old\n"


async def test_a_rule_that_allows_a_folder_does_not_allow_a_link_out_of_it(workspace: Path):
    rules = [
        Permission(tool="*", match={"path": "src/*"}, do="allow"),
        Permission(tool="*", do="deny", why="only src"),
    ]
    script = [("read_file", {"path": name}) for name in ("src/a.md", "src/one", "src/../docs/a.md")]
    wide = [("search", {"pattern": "old", "path": name}) for name in ("src", ".")]
    results = await play(workspace, *script, *wide, permissions=rules)
    assert [result.status for result in results] == ["ok", "denied", "denied", "ok", "denied"]


async def test_a_tool_declares_paths_that_its_arguments_do_not_hold(workspace: Path):
    @tool(paths=lambda arguments, _: [f"docs/{arguments['page']}.md"])
    def page(page: str) -> str:
        """Read a page."""
        return page

    (result,) = await play(workspace, ("page", {"page": "a"}), tools=[page])
    assert result.status == "denied"


@pytest.mark.parametrize("name", ["read_file", "run_shell"])
async def test_a_symlink_that_is_replaced_while_a_rule_looks_at_it_ends_no_run(
    workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    """A process of the model made `os.path.realpath` fail between two of its steps, and the run was lost."""
    realpath, asked = os.path.realpath, list[str]()

    def replaced(path: Any, *, strict: bool = False) -> Any:
        asked.append(str(path))
        if str(path) == f"{workspace}/src/a.md" or asked.count(f"{workspace}/docs") > 1:  # the run's start is the first
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return realpath(path, strict=strict)

    monkeypatch.setattr(os.path, "realpath", replaced)
    arguments = {"path": "src/a.md"} if name == "read_file" else {"command": "cat src/a.md"}
    (result,) = await play(workspace, (name, arguments))
    assert result.status == "denied"
    assert result.content.startswith("Error: It could not be found out which paths this call reaches")
