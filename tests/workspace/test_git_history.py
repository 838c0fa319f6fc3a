"""A copy of a repository's folder has its history, and nothing of the original is changed by what happens there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent import Agent, Rules, ToolContext, find_sandbox, tool
from agent.journal.events import RunStarted
from agent.testing import ScriptedModel, calls, says
from agent.workspace.git_history import copy_history


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", folder, *settings, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "a.txt").write_text("one\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "First")
    (folder / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (folder / ".git" / "index.lock").touch()
    return folder


def test_the_history_is_there_without_hooks_and_locks(repository: Path, tmp_path: Path):
    (tmp_path / "copy").mkdir()
    shutil.copy(repository / "a.txt", tmp_path / "copy")

    assert copy_history(repository, tmp_path / "copy") == ""
    assert git(tmp_path / "copy", "log", "--format=%s") == "First"
    assert git(tmp_path / "copy", "status", "--porcelain") == ""
    assert not (tmp_path / "copy" / ".git" / "hooks").exists()
    git(tmp_path / "copy", "commit", "--quiet", "--allow-empty", "-m", "Second")
    (repository / ".git" / "index.lock").unlink()
    assert git(repository, "log", "--format=%s") == "First"


def test_what_is_no_repository_of_its_own_is_left_out(repository: Path, tmp_path: Path):
    (tmp_path / "copy").mkdir()
    assert copy_history(tmp_path / "copy", tmp_path / "other") == ""
    (tmp_path / "copy" / ".git").write_text(f"gitdir: {repository}/.git\n")
    (tmp_path / "other").mkdir()
    assert "as in a worktree or a submodule" in copy_history(tmp_path / "copy", tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


async def test_the_user_is_told_that_a_copy_of_a_worktree_or_submodule_has_no_history(tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()
    (work / ".git").write_text("gitdir: ../repository/.git/worktrees/work\n")
    outcome = await Agent(ScriptedModel([says("Done.")]), workspace=work, workspace_mode="copy").run("Go.")
    assert outcome.notices == (
        f"The copy of {work} that the run works in has no git history, because its `.git` leads out of it, as in a "
        "worktree or a submodule. If the run needs it, let it work in a git worktree or in the folder itself.",
    )


@tool(commands=True)
async def log(context: ToolContext) -> str:
    """Show the history, and try to add to it."""
    done = await context.run(["git", "log", "--format=%s"], timeout_s=20)
    return done.output


async def test_a_run_in_a_copy_sees_the_history(repository: Path):
    events: list[object] = []
    agent = Agent(
        ScriptedModel([calls(("log", {})), says("Done.")]),
        tools=[log],
        workspace=repository,
        workspace_mode="copy",
        env={"PATH": os.environ["PATH"]},
        sandbox=find_sandbox("none", Rules()),
    )
    outcome = await agent.run("Look.", observe=events.append)
    assert outcome.messages[3].content == "First\n"
    assert isinstance(events[0], RunStarted)
    assert "It is a git repository" in events[0].system
