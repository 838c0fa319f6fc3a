"""What a killed run left for git to start is taken away by the next run in the folder."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agent import Agent, ConfigError, Outcome, Rules, find_sandbox
from agent.journal.journal import Journal
from agent.sandbox.sources import Sources
from agent.testing import ScriptedModel, calls, says
from agent.workspace import left_behind
from agent.workspace.changed_files import refuse_changed
from agent.workspace.left_behind import look_before, watched
from agent.workspace.prepare import WorkspaceMode
from agent.workspace.unfinished import record_path
from tools.shell import run_shell

ARMED = "[core]\n\tfsmonitor = touch ran; false\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def arm(folder: Path) -> Path:
    """Return the settings of a new repository that start a program."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    config = folder / ".git/config"
    config.write_text(config.read_text() + ARMED)
    return config


def killed(runs: Path, workspace: Path, name: str = "killed") -> Path:
    """Return the folder of a run that records the state before it, and then no more."""
    look_before([workspace], Sources(), runs / name, kept=True)
    Journal(runs / name).close()
    return runs / name


def agent(work: Path, mode: WorkspaceMode = "in_place", inside: str = ".") -> Agent:
    return Agent(
        ScriptedModel([says("Done.")]), tools=[run_shell], workspace=work / inside, workspace_mode=mode,
        env={"PATH": os.defpath}, sandbox=find_sandbox("bubblewrap", Rules()), runs=work.parent / "runs",
    )  # fmt: skip


def run(work: Path, mode: WorkspaceMode = "in_place", inside: str = ".") -> Outcome:
    return agent(work, mode, inside).run_sync("Go.")


def taken(name: str, path: str) -> tuple[str, str]:
    return (
        f"The run {name} was killed. The run left settings or hooks by which git starts programs: {path}. They were "
        "taken away and are kept in .agent/git: look at them before you put one back.",
        f"The run {name} was killed. The run made git repositories: {Path(path).parent.parent}.",
    )


@pytest.mark.parametrize("mode", ["in_place", "copy"])
def test_the_next_run_disarms_what_a_killed_run_left_before_it_looks_at_git(mode: WorkspaceMode, work: Path):
    folder = killed(work.parent / "runs", work)
    config = arm(work / "nested")
    outcome = run(work, mode)
    assert outcome.notices == taken("killed", "nested/.git/config")
    assert "fsmonitor" not in config.read_text()
    assert not record_path(folder, work).exists()
    assert run(work, mode).notices == ()


def test_a_hook_in_the_users_own_folder_that_a_run_or_a_killed_one_changed_is_named(work: Path):
    subprocess.run(["git", "init", "-q"], cwd=work, check=True)
    subprocess.run(["git", "config", "core.hooksPath", ".husky"], cwd=work, check=True)
    (work / ".husky").mkdir()
    killed(work.parent / "runs", work)
    (work / ".husky/pre-commit").write_text("#!/bin/sh\n")
    (text,) = run(work).notices
    assert text.startswith(
        "The run killed was killed. The run changed files that your settings of git name: .husky/pre-commit. "
    )
    model = ScriptedModel([calls(("run_shell", {"command": "echo true >> .husky/pre-commit"})), says("Done.")])
    assert "settings of git name: .husky/pre-commit. " in replace(agent(work), model=model).run_sync("Go.").notices[0]


@pytest.mark.parametrize(("before", "after"), [(".", "sub"), ("sub", ".")])
def test_a_killed_run_is_found_from_a_folder_above_or_below_its_own(before: str, after: str, work: Path):
    (work / "sub").mkdir()
    killed(work.parent / "runs", work / before)
    config = arm(work / "sub/nested")
    assert [text for text in run(work, inside=after).notices if "was killed" in text]
    assert "fsmonitor" not in config.read_text()


@pytest.mark.parametrize("inside", [".", "sub"])
def test_what_a_killed_run_left_in_a_worktree_or_copy_of_its_own_is_taken_away(inside: str, work: Path):
    """No later run works there, and so it waited for the user's git."""
    (work / "sub").mkdir()
    copy = work.parent / "runs/killed/workspace"
    config = arm(copy / "nested")
    config.write_text("")
    killed(work.parent / "runs", copy)
    arm(copy / "nested")
    (text,) = run(work, inside=inside).notices
    assert text.startswith(
        f"The run killed was killed. In {copy}: The run left settings or hooks by which git starts programs: "
        "nested/.git/config. "
    )
    assert "fsmonitor" not in config.read_text()
    assert run(work).notices == ()


def test_what_a_killed_run_left_in_a_submodule_is_taken_away(work: Path):
    sub = work.parent / "sub"
    arm(sub).write_text("")
    git = ["git", "-c", "protocol.file.allow=always", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "First"], cwd=sub, check=True)
    subprocess.run(["git", "init", "-q"], cwd=work, check=True)
    subprocess.run([*git, "submodule", "--quiet", "add", str(sub), "sub"], cwd=work, check=True)
    killed(work.parent / "runs", work)
    config = work / ".git/modules/sub/config"
    config.write_text(config.read_text() + ARMED)
    (work / "sub/.git").unlink()
    texts = run(work).notices
    assert "fsmonitor" not in config.read_text()
    assert any("by which git starts programs: .git/modules/sub/config." in text for text in texts)
    assert any("removed sub/.git, by which git knows a submodule" in text for text in texts)


def test_a_killed_agent_as_a_tool_is_found(work: Path):
    Journal(work.parent / "runs/parent").close()
    killed(work.parent / "runs/parent/agents", work)
    config = arm(work / "nested")
    assert run(work).notices == taken("killed", "nested/.git/config")
    assert "fsmonitor" not in config.read_text()


def test_a_run_that_still_goes_on_or_worked_elsewhere_is_left_alone(work: Path):
    runs, elsewhere = work.parent / "runs", work.parent / "work2"
    elsewhere.mkdir()
    folders = [killed(runs, elsewhere), killed(runs, work, "alive")]
    configs = [arm(elsewhere / "nested"), arm(work / "nested")]
    journal = Journal(folders[1])
    assert run(work).notices == ()
    journal.close()
    assert all("fsmonitor" in config.read_text() for config in configs)
    assert record_path(folders[0], elsewhere).exists()
    assert record_path(folders[1], work).exists()


def test_what_a_killed_run_left_goes_when_another_run_is_resumed_there(work: Path):
    interrupted = run(work).journal
    assert interrupted is not None
    lines = interrupted.read_bytes().splitlines(keepends=True)
    interrupted.write_bytes(b"".join(line for line in lines if b'"kind":"run_ended"' not in line))
    killed(work.parent / "runs", work)
    config = arm(work / "nested")
    assert agent(work).resume_sync(interrupted.parent.name).notices == taken("killed", "nested/.git/config")
    assert "fsmonitor" not in config.read_text()


def test_accepting_the_own_files_of_a_killed_run_does_not_accept_its_git_settings(work: Path):
    folder = work.parent / "runs/killed"
    look_before([work], Sources(files=frozenset([work / "tools.py"])), folder, kept=True)
    Journal(folder).close()
    config = arm(work / "nested")
    (work / "tools.py").touch()
    with pytest.raises(ConfigError, match=r"the run killed was killed, and may have changed it\..* rm ") as refused:
        refuse_changed([], [work / "tools.py"], work.parent / "runs")
    Path(str(refused.value).rpartition(" rm ")[2]).unlink()
    refuse_changed([], [work / "tools.py"], work.parent / "runs")
    run(work)
    assert "fsmonitor" not in config.read_text()


def test_what_a_killed_run_left_is_found_without_looking_at_runs_that_ended(
    work: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each start once listed all runs and opened up to 50 journals: 5 ms with 300 runs."""
    runs = work.parent / "runs"
    folder = killed(runs, work)
    for number in range(3):
        Journal(runs / f"ended{number}").close()
    opened: list[str] = []

    def is_running(path: Path) -> None:
        opened.append(path.name)

    def is_listed(*_: object) -> None:
        pytest.fail("the runs are listed")

    monkeypatch.setattr(left_behind, "is_running", is_running)
    monkeypatch.setattr(Path, "glob", is_listed)
    arm(work / "nested")
    assert len(left_behind.disarm_after_killed(runs, work)) == 2
    assert opened == [folder.name]


@pytest.mark.parametrize("in_container", [True, False])
def test_files_that_a_killed_run_in_a_container_let_run_as_their_owner_lose_that(in_container: bool, work: Path):
    """Only a resumed run took it away."""
    runs = work.parent / "runs"
    (work / "old").touch()
    (work / "old").chmod(0o4755)
    since_ns = (work / "old").stat().st_ctime_ns + 1
    while (new := work / "new").write_text("x") and new.stat().st_ctime_ns < since_ns:
        pass
    new.chmod(0o4755)
    (journal := Journal(runs / "killed")).close()
    with watched([work], Sources(), runs / "killed", journal, set_ids_since_ns=since_ns if in_container else None):
        notices = run(work).notices
        assert [bool((work / name).stat().st_mode & 0o4000) for name in ("old", "new")] == [True, not in_container]
        who = [notice.partition(". The run left files")[0] for notice in notices]
        assert who == ["The run killed was killed"] * in_container
        assert run(work).notices == ()
