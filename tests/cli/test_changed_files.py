"""What `agent run` prints below its last line: the files that changed, and the commands that follow."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.cli import main
from agent.cli.changed_files import print_changed_files
from agent.messages import Reply
from agent.testing import ScriptedServer, calls, says

pytestmark = pytest.mark.usefixtures("own_machine")


def project(workspace: str, tools: str = "[write_file, run_shell]") -> Path:
    """Create a task for a folder `ws` with a committed file."""
    folder = Path("ws")
    folder.mkdir()
    (folder / "a.txt").write_text("one\n")
    Path("task.yaml").write_text(f"name: demo\nprompt: Work.\nworkspace: {workspace}\ntools: {tools}\n")
    return folder


def end_of(server_replies: list[Reply], capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    """Run the task, and return what is printed after the line with the status, without the run's name."""
    with ScriptedServer(server_replies) as server:
        assert main(["run", "task.yaml", "--base-url", server.url, *more]) == 0
    printed = re.sub(r"\d{8}-\d{6}-[0-9a-f]{6}", "RUN", capsys.readouterr().out)
    return printed.partition("\nfinished  ")[2].splitlines()[1:]


def writes(*paths: str) -> list[Reply]:
    return [calls(*(("write_file", {"path": path, "content": "new\n"}) for path in paths)), says("Done.")]


COMMANDS = ["show them: agent diff RUN", "undo them: agent undo RUN"]


def test_a_run_ends_with_the_files_it_changed_and_the_commands_that_follow(capsys: pytest.CaptureFixture[str]):
    project("ws")
    shell = calls(("run_shell", {"command": "rm a.txt; echo x > b.txt; echo > $'e\\x1b[2J'"}))
    assert end_of([shell, says("Done.")], capsys) == [
        "changed files:",
        "    removed  a.txt",
        "    added    b.txt",
        '    added    "e\\033[2J"',
        *COMMANDS,
    ]


def test_many_changed_files_are_counted(capsys: pytest.CaptureFixture[str]):
    project("ws")
    assert end_of(writes(*(f"f{number:02}" for number in range(23))), capsys) == [
        "changed files:",
        *(f"    added    f{number:02}" for number in range(20)),
        "    ... 3 more",
        *COMMANDS,
    ]


def test_a_run_that_changed_nothing_says_so(capsys: pytest.CaptureFixture[str]):
    project("ws")
    assert end_of([says("Done.")], capsys) == ["changed files: none"]


def test_the_folder_of_a_copy_is_named(capsys: pytest.CaptureFixture[str]):
    project("{path: ws, copy: true}")
    folder = Path.cwd() / "state/tramontane/runs/RUN/workspace"
    assert end_of(writes("b.txt"), capsys) == [f"changed files in the copy {folder}:", "    added    b.txt", *COMMANDS]


def test_the_folder_of_a_worktree_is_named(capsys: pytest.CaptureFixture[str]):
    folder = project("{path: ws, worktree: true}")
    for command in ("init -q", "add .", "-c user.name=n -c user.email=e commit -qm first"):
        subprocess.run(["git", "-C", str(folder), *command.split()], check=True)
    made = Path.cwd() / "state/tramontane/runs/RUN/workspace"
    assert end_of(writes("b.txt"), capsys) == [
        f"changed files in the worktree {made}:",
        "    added    b.txt",
        *COMMANDS,
    ]


def test_a_run_without_a_snapshot_or_with_json_has_no_such_lines(capsys: pytest.CaptureFixture[str]):
    project("ws", tools="[read_file]")
    assert end_of([says("Done.")], capsys) == []
    Path("task.yaml").write_text(Path("task.yaml").read_text().replace("read_file", "write_file"))
    with ScriptedServer(writes("b.txt")) as server:
        assert main(["run", "task.yaml", "--base-url", server.url, "--json"]) == 0
    assert all(line.startswith("{") for line in capsys.readouterr().out.splitlines())


def test_a_workspace_that_is_gone_does_not_fail_the_run(capsys: pytest.CaptureFixture[str]):
    folder = project("ws")
    assert end_of(writes("b.txt"), capsys)[0] == "changed files:"
    shutil.rmtree(folder)
    (run,) = Path("state/tramontane/runs").glob("[!.]*")
    print_changed_files(run)
    assert capsys.readouterr().out == (
        f"changed files: unknown, because the workspace cannot be compared: The workspace '{folder.absolute()}' cannot "
        "be used: No such file or directory. Create it, or use another folder.\n"
    )


def test_a_file_name_does_not_forge_lines_at_the_end_of_a_run(capsys: pytest.CaptureFixture[str]):
    """A name with newlines printed `verified` and `changed files: none` below the run's own last line."""
    project("ws")
    name = "z\nverified  2 steps\nchanged files: none\r\t"
    shell = calls(("run_shell", {"command": f"printf '\\0' > '{name}'"}))
    assert end_of([shell, says("Done.")], capsys) == [
        "changed files:",
        '    added    "z\\nverified  2 steps\\nchanged files: none\\r\\t"',
        *COMMANDS,
    ]
