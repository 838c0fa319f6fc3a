"""Runs that work in a git worktree: the user's checkout is left alone, and git works inside the worktree."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, ConfigError, Limits, Outcome, load_task
from agent.journal.events import RunStarted
from agent.journal.journal import read_journal
from agent.messages import ToolResult
from agent.task.recorded import recorded_task
from agent.testing import ScriptedModel, calls, says
from tools.shell import run_shell

TASK = """\
prompt: Fix it.
workspace: {path: repository/part, worktree: true}
tools: [write_file, run_shell]
verify: {command: 'test "$(cat a.txt)" = fixed', attempts: 1}
"""
FIX = calls(("write_file", {"path": "a.txt", "content": "fixed\n"}))
ENVIRON = {"PATH": os.environ["PATH"]}


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    part = tmp_path / "repository" / "part"
    part.mkdir(parents=True)
    (part / "a.txt").write_text("broken\n")
    (tmp_path / "task.yaml").write_text(TASK)
    git(part, "init", "-q", "--initial-branch=main", "..")
    git(part, "add", ".")
    git(part, "commit", "-q", "-m", "First words")
    return tmp_path


def an_agent(folder: Path, model: ScriptedModel) -> Agent:
    return Agent.from_task(load_task(folder / "task.yaml"), model, environ=ENVIRON, runs=folder / "runs")


def started(outcome: Outcome) -> RunStarted:
    assert outcome.journal is not None
    first = read_journal(outcome.journal)[0]
    assert isinstance(first, RunStarted)
    return first


def results(outcome: Outcome) -> list[str]:
    return [str(message.content) for message in outcome.messages if isinstance(message, ToolResult)]


async def test_a_run_works_in_a_checkout_of_its_own_and_git_works_there(folder: Path):
    hook = folder / "repository" / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {folder}/hooked\n")
    hook.chmod(0o755)
    git(folder / "repository", "config", "core.fsmonitor", str(hook))
    looks = calls(("run_shell", {"command": "git log --oneline && git diff && git commit -aqm x || echo refused"}))
    outcome = await an_agent(folder, ScriptedModel([FIX, looks, says("Done.")])).run("Fix it.")

    assert outcome.status == "verified", outcome.reason
    first, repository = started(outcome), folder / "repository"
    assert first.workspace == str(folder / "runs" / first.run / "workspace" / "part")
    assert first.worktree == f"a worktree of {repository} at {git(repository, 'rev-parse', '--short', 'HEAD')}"
    assert "First words" in results(outcome)[1]
    assert "-broken\n+fixed" in results(outcome)[1]
    if "bubblewrap" in first.sandbox:
        assert "refused" in results(outcome)[1]
    assert not (folder / "hooked").exists(), "a program of the repository ran outside of the sandbox"
    git(repository, "config", "--unset", "core.fsmonitor")
    assert (repository / "part" / "a.txt").read_text() == "broken\n"
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "branch", "--format=%(refname:short)").splitlines()[-1] == "main"
    # The user takes the changes over with git, as from any worktree.
    git(Path(first.workspace), "switch", "-q", "-c", "fixed")
    git(Path(first.workspace), "commit", "-q", "-a", "-m", "Fixed")
    git(repository, "merge", "-q", "fixed")
    assert (repository / "part" / "a.txt").read_text() == "fixed\n"


async def test_uncommitted_changes_are_missing_and_reported(folder: Path):
    (folder / "repository" / "part" / "a.txt").write_text("half\n")
    (folder / "repository" / "part" / "new.txt").write_text("not added\n")
    looks = calls(("run_shell", {"command": "cat a.txt"}))
    outcome = await an_agent(folder, ScriptedModel([looks, FIX, says("Done.")])).run("Fix it.")
    assert "broken" in results(outcome)[0]
    assert started(outcome).worktree.endswith(", without 2 paths with uncommitted changes")


async def test_a_resumed_run_continues_in_its_worktree(folder: Path):
    begins = calls(("write_file", {"path": "a.txt", "content": "half\n"}))
    first = await replace(an_agent(folder, ScriptedModel([begins])), limits=Limits(steps=1)).run("Fix it.")
    assert first.status == "budget"
    assert first.journal is not None
    looks = calls(("run_shell", {"command": "git status --short"}))
    model = ScriptedModel([looks, calls(("write_file", {"path": "a.txt", "content": "fixed\n"})), says("Done.")])
    agent = Agent.from_task(recorded_task(started(first).task), model, environ=ENVIRON)
    outcome = await agent.resume(first.journal.parent)
    assert outcome.status == "verified"
    assert " M a.txt" in results(outcome)[-2]


@pytest.mark.parametrize("configured", [{"workspace_mode": "in_place"}, {"workspace": None}])
async def test_git_works_in_the_worktree_of_a_resumed_run_whatever_the_new_agent_is_configured_for(
    folder: Path, configured: dict[str, Any]
):
    """The new agent's mode and folder decided, so that its commands could not read the repository's history."""
    looks = calls(("run_shell", {"command": "git log --format=%s"}))
    first = await replace(an_agent(folder, ScriptedModel([looks])), limits=Limits(steps=1)).run("Fix it.")
    assert first.journal is not None
    agent = replace(an_agent(folder, ScriptedModel([looks, FIX, says("Done.")])), **configured)
    outcome = await agent.resume(first.journal.parent)
    assert outcome.status == "verified", outcome.reason
    assert [text.splitlines()[0] for text in results(outcome)[:2]] == ["First words"] * 2


async def test_a_run_in_a_worktree_whose_repository_is_gone_cannot_be_resumed(folder: Path):
    """The error said that no worktree could be created, which the run had not asked for."""
    looks = calls(("run_shell", {"command": "ls"}))
    first = await replace(an_agent(folder, ScriptedModel([looks])), limits=Limits(steps=1)).run("Fix it.")
    assert first.journal is not None
    agent = an_agent(folder, ScriptedModel([]))
    (folder / "repository").rename(folder / "moved")
    with pytest.raises(ConfigError) as caught:
        await agent.resume(first.journal.parent)
    assert str(caught.value) == (
        f"The run works in {started(first).worktree}, but {str(folder / 'repository')!r} is not a folder any more. "
        "Move the repository back, or run the task again."
    )


async def test_the_error_explains_why_there_can_be_no_worktree(folder: Path, monkeypatch: pytest.MonkeyPatch):
    without = replace(an_agent(folder, ScriptedModel([])), verify=None, tools=[])
    for agent, message in (
        (replace(without, runs=None), r"this agent keeps no runs\. Give it a folder for its runs, or use a copy\.$"),
        (replace(without, workspace=folder), "git says: fatal: not a git repository"),
    ):
        with pytest.raises(ConfigError, match=message):
            await agent.run("Hi.")
    with monkeypatch.context() as patch:
        patch.setattr("agent.sandbox._bubblewrap_problem", lambda: "bubblewrap is not installed")
        patch.setattr("agent.sandbox.landlock.abi", lambda: 0)
        with pytest.raises(ConfigError, match="Commands cannot be sandboxed on this machine"):
            await replace(without, sandbox=None, tools=[run_shell]).run("Hi.")
    (folder / "repository" / "new").mkdir()
    with pytest.raises(ConfigError, match="new' is not committed, so it would not be in the worktree"):
        await replace(without, workspace=folder / "repository" / "new").run("Hi.")
    assert len(git(folder / "repository", "worktree", "list").splitlines()) == 1
    shutil.rmtree(folder / "repository" / ".git")
    git(folder / "repository", "init", "-q")
    with pytest.raises(ConfigError, match="Use a folder in a repository with a commit, or use a copy: `copy: true` of"):
        await without.run("Hi.")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="needs git, which is not installed"):
        await without.run("Hi.")


# What a worktree lacks, and why there can be none.


def with_submodule(folder: Path) -> Path:
    """Give the repository a submodule that has one of its own; return its checkout."""
    for name in ("inner", "outer"):
        (folder / name).mkdir()
        (folder / name / f"{name}.py").write_text("code\n")
        git(folder / name, "init", "-q")
        if name == "outer":
            git(
                folder / name, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(folder / "inner"), "in"
            )
        git(folder / name, "add", ".")
        git(folder / name, "commit", "-q", "-m", name)
    repository = folder / "repository"
    allowed = ["-c", "protocol.file.allow=always", "submodule"]
    git(repository, *allowed, "add", "-q", str(folder / "outer"), "lib at x")
    git(repository, *allowed, "update", "-q", "--init", "--recursive")
    git(repository, "commit", "-q", "-m", "With a submodule")
    return repository / "lib at x"


async def test_submodules_are_filled_from_the_original_and_git_works_there(folder: Path):
    """Their folders were empty, and neither the user nor the model was told."""
    with_submodule(folder)
    command = (
        "cat '../lib at x/outer.py' '../lib at x/in/inner.py' && git -C '../lib at x' log --format=%s && git status -s"
    )
    model = ScriptedModel([calls(("run_shell", {"command": command})), FIX, says("Done.")])
    outcome = await an_agent(folder, model).run("Fix it.")
    assert (outcome.status, results(outcome)[0]) == ("verified", "code\ncode\nouter\n")
    assert "without" not in started(outcome).worktree


async def test_a_submodule_that_the_original_has_not_is_named_and_the_run_can_be_resumed(folder: Path):
    lib = with_submodule(folder)
    git(folder / "repository", "submodule", "-q", "deinit", "--force", str(lib))
    model = ScriptedModel([calls(("run_shell", {"command": "true"})), says("Done.")])
    first = await replace(an_agent(folder, model), limits=Limits(steps=1)).run("Fix it.")
    assert started(first).worktree.partition(", ")[2] == (
        "without the submodule lib at x, of which the original has no checkout of that commit"
    )
    assert first.journal is not None
    resumed = await an_agent(folder, ScriptedModel([FIX, says("Done.")])).resume(first.journal.parent)
    assert resumed.status == "verified"


async def test_files_that_are_only_pointers_of_git_lfs_are_named(folder: Path):
    repository = folder / "repository"
    (repository / ".gitattributes").write_text("*.bin filter=lfs\n")
    (repository / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (repository / "whole.bin").write_text("content\n")
    git(repository, "-c", "filter.lfs.clean=cat", "add", ".")
    git(repository, "commit", "-q", "-m", "Large")
    outcome = await an_agent(folder, ScriptedModel([FIX, says("Done.")])).run("Fix it.")
    assert started(outcome).worktree.endswith("; 1 file is only a git-lfs pointer: model.bin")


@pytest.mark.parametrize("state", ["detached", "unborn", "of another user", "broken"])
async def test_the_reason_is_gits_own_and_the_advice_fits_it(folder: Path, state: str):
    """Of a repository of another user, the last line of git's advice was shown, with advice for another fault."""
    repository = folder / "repository"
    agent = an_agent(folder, ScriptedModel([FIX, says("Done.")]))
    if state == "detached":
        git(repository, "checkout", "-q", "--detach")
        assert (await agent.run("Fix it.")).status == "verified"
        return
    begin = f"Cannot create a worktree of '{repository / 'part'}'. git says: fatal: "
    match state:
        case "unborn":
            git(repository, "checkout", "-q", "--orphan", "new")
            message = "invalid reference: HEAD. It has no commit yet. Use a folder in a repository with a commit"
        case "of another user":
            if os.geteuid():
                pytest.skip("only root may give files away")
            for path in (repository, *repository.rglob("*")):
                os.chown(path, 12345, 12345)
            message = (
                f"detected dubious ownership in repository at '{repository}'. It belongs to another user. If you trust "
                f"them, run git config --global --add safe.directory {repository / 'part'}"
            )
        case _:
            (repository / ".git" / "HEAD").write_text("nonsense\n")
            message = (
                "not a git repository (or any of the parent directories): .git. Use a folder in a repository with a "
                "commit"
            )
    with pytest.raises(ConfigError) as caught:
        await agent.run("Fix it.")
    advice = "or use a copy: `copy: true` of a task, workspace_mode='copy' of an Agent."
    assert str(caught.value) == f"{begin}{message}, {advice}"


async def test_a_relative_folder_of_runs_is_that_of_the_program_and_not_one_in_the_repository(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """The worktree was made in the repository, and the run failed."""
    monkeypatch.chdir(folder)
    agent = replace(an_agent(folder, ScriptedModel([FIX, says("Fixed.")])), runs="runs", limits=Limits(steps=0))
    first = await agent.run("Fix it.", name="one")
    assert first.workspace == folder / "runs" / "one" / "workspace" / "part"
    assert git(folder / "repository", "status", "--short") == ""

    resumed = replace(agent, runs=None, limits=Limits())
    assert (await resumed.resume("runs/one")).status == "verified"
