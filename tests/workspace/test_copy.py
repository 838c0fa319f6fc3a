"""Runs that work in a copy of a folder, and verifications that get the task's folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent import Agent, ConfigError, Ladder, Limits, Outcome, Rung, Verify, load_task
from agent.journal.events import ContextRenewed, Event, RunStarted, VerifyEnded
from agent.journal.journal import read_journal
from agent.task.recorded import recorded_task
from agent.testing import ScriptedModel, calls, says
from agent.workspace.workspace import MAX_FILES

TASK = """\
prompt: Fix it.
workspace: {path: project, copy: true}
tools: [write_file, run_shell]
verify: {command: 'diff a.txt "$AGENT_TASK_DIR/hidden/a.txt"', attempts: 1}
"""
FIX = calls(("write_file", {"path": "a.txt", "content": "fixed\n"}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "task"
    (folder / "project" / ".git").mkdir(parents=True)
    (folder / "project" / "src" / "__pycache__").mkdir(parents=True)
    (folder / "project" / "a.txt").write_text("broken\n")
    (folder / "project" / "src" / "b.sh").write_text("exit 0\n")
    (folder / "project" / "src" / "b.sh").chmod(0o755)
    (folder / "hidden").mkdir()
    (folder / "hidden" / "a.txt").write_text("fixed\n")
    (folder / "task.yaml").write_text(TASK)
    return folder


def an_agent(folder: Path, model: ScriptedModel) -> Agent:
    task = load_task(folder / "task.yaml")
    return Agent.from_task(task, model, environ={"PATH": os.environ["PATH"]}, runs=folder.parent / "runs")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def started(outcome: Outcome) -> RunStarted:
    assert outcome.journal is not None
    first = read_journal(outcome.journal)[0]
    assert isinstance(first, RunStarted)
    return first


async def test_a_run_changes_the_copy_and_leaves_the_folder_alone(folder: Path):
    outcome = await an_agent(folder, ScriptedModel([FIX, says("Done.")])).run("Fix it.")

    assert outcome.status == "verified"
    assert (folder / "project" / "a.txt").read_text() == "broken\n"
    assert outcome.journal is not None
    copy = outcome.journal.parent / "workspace"
    assert started(outcome).workspace == str(copy)
    assert (copy / "a.txt").read_text() == "fixed\n"
    assert names(copy) == [".git", "a.txt", "src", "src/b.sh"]
    assert (copy / "src" / "b.sh").stat().st_mode & 0o777 == 0o755


async def test_each_run_has_a_copy_of_its_own(folder: Path):
    first = await an_agent(folder, ScriptedModel([FIX, says("Done.")])).run("Fix it.")
    second = await an_agent(folder, ScriptedModel([says("Done.")])).run("Fix it.")

    assert (first.status, second.status) == ("verified", "verify_failed")
    assert started(first).workspace != started(second).workspace


async def test_a_resumed_run_continues_in_its_copy_and_its_verification_still_finds_the_task(folder: Path):
    begins = calls(("write_file", {"path": "notes.txt", "content": "half done\n"}))
    agent = replace(an_agent(folder, ScriptedModel([begins])), limits=Limits(steps=1))
    first = await agent.run("Fix it.")
    assert first.status == "budget"
    assert first.journal is not None
    assert (first.journal.parent / "workspace" / "notes.txt").read_text() == "half done\n"
    task = recorded_task(started(first).task)
    model = ScriptedModel([FIX, says("Done.")])
    environ = {"PATH": os.environ["PATH"]}

    outcome = await Agent.from_task(task, model, environ=environ).resume(first.journal.parent)

    assert (outcome.status, outcome.steps) == ("verified", 3)
    assert (folder / "project" / "a.txt").read_text() == "broken\n"


async def test_a_failed_verification_restores_the_copy_and_keeps_the_patch(folder: Path):
    (folder / "task.yaml").write_text(TASK.replace("attempts: 1", "attempts: 2"))
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="high", fresh_context=True)))
    wrong = calls(("write_file", {"path": "a.txt", "content": "wrong\n"}))
    events: list[Event] = []
    agent = replace(an_agent(folder, ScriptedModel([wrong, says("Done."), says("Done.")])), ladder=ladder)

    outcome = await agent.run("Fix it.", observe=events.append)

    assert [(event.restored, event.patch) for event in events if isinstance(event, ContextRenewed)] == [
        (("a.txt",), ".agent/attempts/1/changes.diff")
    ]
    copy = Path(started(outcome).workspace)
    assert (copy / "a.txt").read_text() == "broken\n"
    assert "+wrong" in (copy / ".agent/attempts/1/changes.diff").read_text()
    assert outcome.status == "verify_failed"


async def test_what_a_command_changed_in_a_copy_is_restored_without_being_named(folder: Path):
    """Nobody else works in a copy, so all its changes are the run's."""
    (folder / "task.yaml").write_text(TASK.replace("attempts: 1", "attempts: 2"))
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="high", fresh_context=True)))
    wrong = calls(("run_shell", {"command": "for each in *.txt; do echo wrong > $each; done"}))

    agent = replace(an_agent(folder, ScriptedModel([wrong, says("Done."), says("Done.")])), ladder=ladder)
    outcome = await agent.run("Fix it.")

    assert Path(started(outcome).workspace, "a.txt").read_text() == "broken\n"


async def test_a_run_out_of_steps_whose_work_passes_is_verified(folder: Path):
    outcome = await replace(an_agent(folder, ScriptedModel([FIX])), limits=Limits(steps=1)).run("Fix it.")

    assert (outcome.status, outcome.steps) == ("verified", 1)
    assert outcome.reason == "the verification passed when the run was about to give up"


async def test_without_a_journal_the_copy_is_removed_after_the_run(folder: Path):
    events: list[Event] = []
    agent = Agent(ScriptedModel([says("Done.")]), workspace=folder / "project", workspace_mode="copy")

    await agent.run("Hi.", observe=events.append)

    first = events[0]
    assert isinstance(first, RunStarted)
    assert not Path(first.workspace).is_relative_to(folder)
    assert not Path(first.workspace).exists()


async def test_tools_do_not_get_the_folder_of_the_task(folder: Path):
    model = ScriptedModel([calls(("run_shell", {"command": "echo dir: $AGENT_TASK_DIR"})), FIX, says("Done.")])

    outcome = await an_agent(folder, model).run("Fix it.")

    assert outcome.status == "verified"
    assert "dir:\n" in outcome.messages[3].content
    assert str(folder) not in str(model.bodies)


async def test_the_verification_of_an_agent_built_in_python_gets_the_env_of_its_commands(tmp_path: Path):
    events: list[Event] = []
    verify = Verify(command='echo "dir: $AGENT_TASK_DIR, mine: $MINE"')
    agent = Agent(ScriptedModel([says("Done.")]), verify=verify, env={"MINE": "x"}, workspace=tmp_path)

    await agent.run("Hi.", observe=events.append)

    assert [event.output for event in events if isinstance(event, VerifyEnded)] == ["dir: , mine: x"]


async def test_a_folder_that_is_too_large_to_copy_is_refused_with_advice(folder: Path):
    for number in range(MAX_FILES):
        (folder / "project" / f"{number}").touch()

    with pytest.raises(ConfigError) as caught:
        await an_agent(folder, ScriptedModel([])).run("Fix it.")
    assert str(caught.value) == (
        f"The workspace '{folder}/project' cannot be copied: {folder}/project has more than 20000 files or 536870912 "
        "bytes. Use a folder with only what the run needs, or let it work in the folder itself, without a copy."
    )
    assert not (folder.parent / "runs").exists()


async def test_a_copy_inside_the_copied_folder_is_refused(tmp_path: Path):
    agent = Agent(ScriptedModel([]), workspace=tmp_path, workspace_mode="copy", runs=tmp_path / "runs")

    with pytest.raises(ConfigError) as caught:
        await agent.run("Hi.")
    assert str(caught.value).startswith(f"The workspace '{tmp_path}' cannot be copied: {tmp_path}/runs/")
    assert str(caught.value).endswith(
        ". Choose a folder outside of it for `runs` (AGENT_RUNS_DIR), or use a smaller workspace."
    )


@pytest.mark.parametrize("both", ["copy: true, create: true", "worktree: true, copy: true"])
def test_a_task_cannot_combine_workspace_modes(folder: Path, both: str):
    (folder / "task.yaml").write_text(f"prompt: Hi.\nworkspace: {{path: project, {both}}}\n")
    with pytest.raises(ConfigError) as caught:
        load_task(folder / "task.yaml")
    assert "can have only one of `create`, `copy` and `worktree`. Keep `copy` or" in str(caught.value)
