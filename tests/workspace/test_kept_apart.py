"""A run cannot rewrite the record of itself, nor the files that the user's own shell reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent import Agent, ConfigError, Rules, Verify, find_sandbox, tool
from agent.ready_tools import read_file, write_file
from agent.sandbox import IsolationChoice
from agent.testing import ScriptedModel, says
from agent.tooling.tool import Tool
from agent.workspace.prepare import WorkspaceMode
from tools.shell import run_shell


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@tool
def send(text: str) -> str:
    """Send a text."""
    return text


def agent(
    work: Path, runs: Path | None, tools: Sequence[Tool], kind: IsolationChoice = "bubblewrap",
    mode: WorkspaceMode = "in_place", verify: Verify | None = None, write: tuple[Path, ...] = (),
) -> Agent:  # fmt: skip
    return Agent(
        ScriptedModel([says("Done.")] * 2), tools=tools, workspace=work, workspace_mode=mode, runs=runs, verify=verify,
        sandbox=find_sandbox(kind, Rules(write=write)), env={"PATH": os.defpath},
    )  # fmt: skip


@pytest.mark.parametrize("runs", ["", "runs", ".agent/runs", "link"])
@pytest.mark.parametrize("tools", [[run_shell], [write_file]])
def test_a_run_whose_journal_it_could_rewrite_is_refused(runs: str, tools: list[Tool], work: Path):
    (work.parent / "link").symlink_to(work)
    place = work.parent / runs if runs == "link" else work / runs
    with pytest.raises(ConfigError) as raised:
        agent(work, place, tools).run_sync("Go.")
    assert str(raised.value) == (
        f"The runs would be recorded in {str(place)!r}, inside {str(work)!r}, which the run can change: it could "
        "rewrite its own journal and snapshot. Keep the records elsewhere, with `runs` of the agent or "
        "$AGENT_RUNS_DIR; the default is in your state folder, and `runs_folder()` returns it."
    )
    assert list(work.iterdir()) == []


def test_a_folder_that_commands_may_change_besides_the_workspace_holds_no_records_either(work: Path):
    place = work.parent / "more"
    place.mkdir()
    with pytest.raises(ConfigError, match="The runs would be recorded"):
        agent(work, place / "runs", [run_shell], write=(place,)).run_sync("Go.")
    with pytest.raises(ConfigError, match="The runs would be recorded"):
        agent(work, place / "runs", [], mode="copy", verify=Verify(command="true"), write=(place,)).run_sync("Go.")


def test_a_resumed_run_is_refused_too(work: Path):
    runs = work.parent / "runs"
    journal = agent(work, runs, [run_shell]).run_sync("Go.").journal
    assert journal is not None
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"kind":"run_ended"' not in line))
    moved = runs.rename(work / "runs")
    with pytest.raises(ConfigError, match="The runs would be recorded"):
        agent(work, moved, [run_shell]).resume_sync(journal.parent.name)


def test_runs_in_the_folder_are_no_problem_if_the_run_works_in_a_copy_or_can_change_no_file(work: Path):
    for one in (agent(work, work / ".agent", [run_shell], mode="copy"), agent(work, work / "runs", [read_file, send])):
        assert one.run_sync("Go.").status == "finished"
    assert agent(work, work / "runs", [run_shell], "none").run_sync("Go.").status == "finished"


@pytest.mark.parametrize("home", ["work", "work/me"])
@pytest.mark.parametrize("tools", [[run_shell], [write_file]])
def test_a_home_is_no_workspace(home: str, tools: list[Tool], work: Path, monkeypatch: pytest.MonkeyPatch):
    (work / "me").mkdir()
    place = str(work.parent / home)
    monkeypatch.setenv("HOME", place)
    with pytest.raises(ConfigError) as raised:
        agent(work, None, tools).run_sync("Go.")
    assert str(raised.value) == (
        f"The run could change {str(work)!r}, which is or holds your home {place!r}: what it wrote into files such as "
        "~/.profile would later run as you. Give it a folder of its own as workspace. If this is not the home of a "
        "person, set HOME to another folder."
    )
    monkeypatch.chdir(work)
    with pytest.raises(ConfigError, match="is or holds your home"):
        Agent(ScriptedModel([says("Done.")]), tools=tools).run_sync("Go.")
    assert Agent(ScriptedModel([says("Done.")]), tools=[send]).run_sync("Go.").status == "finished"
