"""What a run leaves in a folder that `sandbox.write` lists is looked at as what it leaves in its workspace."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest

from agent import Agent, ConfigError, Outcome, load_task
from agent.testing import ScriptedModel, calls, says
from agent.workspace import left_behind

TOOL = 'from agent import tool\n@tool\ndef hello() -> str:\n    """Say hello."""\n    return \'hi\'\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("work", "shared", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "work/task.yaml").write_text(
        "prompt: Go.\nworkspace: .\ntools: [run_shell]\nsandbox: {use: bubblewrap, write: [../shared]}\n"
    )
    return tmp_path


def run(place: Path, command: str) -> Outcome:
    model = ScriptedModel([calls(("run_shell", {"command": command})), says("Done.")])
    task = load_task(place / "work/task.yaml")
    return Agent.from_task(task, model, environ=os.environ, runs=place / "runs").run_sync("Go.")


def start(place: Path, task: str) -> None:
    Agent.from_task(load_task(place / task), ScriptedModel([]), environ=os.environ, runs=place / "runs")


@pytest.mark.parametrize("made", ["shared/new/task.yaml", "work/new/task.yaml"])
@pytest.mark.parametrize("workspace", [".", "../../elsewhere"])
def test_a_task_that_a_run_made_is_refused_wherever_it_works(place: Path, made: str, workspace: str):
    """Only the workspace of the earlier run was looked at, and only what the new run could change."""
    outcome = run(place, f"mkdir -p $(dirname ../{made}); printf 'prompt: b\\nworkspace: {workspace}\\n' > ../{made}")
    with pytest.raises(ConfigError, match=f"the run {outcome.run} "):
        start(place, made)


def test_a_tools_file_that_a_run_changed_is_refused_where_the_task_cannot_write(place: Path):
    (place / "shared/mine.py").write_text(TOOL)
    (place / "task.yaml").write_text("prompt: b\nworkspace: elsewhere\ntools: ['./shared/mine.py:hello']\n")
    start(place, "task.yaml")
    run(place, "echo '# changed' >> ../shared/mine.py")
    with pytest.raises(ConfigError, match=r"mine\.py runs outside the sandbox"):
        start(place, "task.yaml")


def test_what_the_user_made_beside_a_run_is_no_finding(place: Path):
    run(place, "true")
    (place / "shared/task.yaml").write_text("prompt: b\nworkspace: .\n")
    start(place, "shared/task.yaml")


ARMED = "git init -q ../shared/new; git -C ../shared/new config core.fsmonitor 'touch ../escaped'"


def status(place: Path) -> bool:
    """Return whether the user's own git starts what the run left."""
    subprocess.run(["git", "status"], cwd=place / "shared/new", capture_output=True, check=False)
    return (place / "shared/escaped").exists()


def test_a_repository_that_a_run_makes_beside_its_workspace_starts_nothing(place: Path):
    outcome = run(place, ARMED)
    assert not status(place)
    made, taken, *_ = outcome.notices
    assert made == f"In {place}/shared: The run made git repositories: new."
    assert taken.startswith(f"In {place}/shared: The run left settings or hooks by which git starts programs: ")


@pytest.mark.parametrize("next_workspace", ["work", "shared"])
def test_what_a_killed_run_left_beside_its_workspace_is_taken_away(
    place: Path, next_workspace: str, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as killed:
        killed.setattr(left_behind, "look_after", Mock(return_value=()))
        killed.setattr(left_behind, "is_running", Mock(return_value=False))
        run(place, ARMED)
    if next_workspace == "shared":
        (place / "work/task.yaml").write_text("prompt: b\nworkspace: ../shared\ntools: [run_shell]\n")
    monkeypatch.setattr("agent.task.own_files.refuse_changed", Mock())
    run(place, "true")
    assert not status(place)


def test_a_file_name_does_not_forge_lines_of_a_refusal(place: Path):
    run(place, r"""d=$'x\nForged.'; mkdir "$d"; printf 'prompt: b\nworkspace: .\n' > "$d/task.yaml" """)
    with pytest.raises(ConfigError, match=r"x\\nForged\./task\.yaml\" runs outside the sandbox") as caught:
        start(place, "work/x\nForged./task.yaml")
    assert "\nForged" not in str(caught.value)
