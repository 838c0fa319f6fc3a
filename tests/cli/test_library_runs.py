"""The command line shows, compares and undoes runs that a program started; old names in task files are notes."""

from pathlib import Path

import pytest

from agent import Agent, ready_tools
from agent.cli import main
from agent.testing import ScriptedModel, ScriptedServer, calls, says


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return the folder of one run that changed a file."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("a\n")
    model = ScriptedModel([calls(("write_file", {"path": "a.txt", "content": "b\n"})), says("Changed.")])
    agent = Agent(model, tools=[ready_tools.write_file], workspace=project, runs=tmp_path / "kept")
    agent.run_sync("Change it.", name="change")
    return tmp_path / "kept"


def test_a_run_of_a_program_is_listed_shown_compared_and_undone(runs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["runs", "--runs", str(runs)]) == 0
    assert "change" in capsys.readouterr().out
    assert main(["show", "change", "--runs", str(runs)]) == 0
    assert "Changed." in capsys.readouterr().out
    assert main(["diff", "change", "--runs", str(runs)]) == 0
    assert "-a\n+b\n" in capsys.readouterr().out
    assert main(["undo", "change", "--yes", "--runs", str(runs)]) == 0
    assert (runs.parent / "project" / "a.txt").read_text() == "a\n"


@pytest.mark.parametrize(
    ("path", "is_hidden"),
    [(".env", True), ("deploy/prod.env", True), (".env.local", True), (".netrc", True), ("secrets.yaml", True),
     (".env.example", False), ("alembic/env.py", False), ("settings.txt", False)],
)  # fmt: skip
def test_the_values_of_a_file_of_secrets_are_not_printed_though_no_task_lists_it(
    path: str, is_hidden: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "project").mkdir()
    model = ScriptedModel([calls(("write_file", {"path": path, "content": "LOGIN=correct-horse\n"})), says("Done.")])
    agent = Agent(model, tools=[ready_tools.write_file], workspace=tmp_path / "project", runs=tmp_path / "kept")
    agent.run_sync("Change it.", name="change")
    assert main(["diff", "change", "--runs", str(tmp_path / "kept")]) == 0
    assert ("+LOGIN=[secret LOGIN]" in capsys.readouterr().out) is is_hidden
    assert main(["diff", "change", "--raw", "--runs", str(tmp_path / "kept")]) == 0
    assert "+LOGIN=correct-horse" in capsys.readouterr().out


def test_a_secret_in_the_name_of_a_file_is_not_printed_by_undo(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "project").mkdir()
    token = f"ghp_{'4Kx9' * 9}"
    model = ScriptedModel([calls(("write_file", {"path": f"{token}.txt", "content": "x"})), says("Done.")])
    agent = Agent(model, tools=[ready_tools.write_file], workspace=tmp_path / "project", runs=tmp_path / "kept")
    agent.run_sync("Change it.", name="change")
    assert main(["undo", "change", "--yes", "--runs", str(tmp_path / "kept")]) == 0
    out = capsys.readouterr().out
    assert "remove" in out
    assert token not in out


def test_runs_elsewhere_are_not_found_without_the_option(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AGENT_RUNS_DIR", str(tmp_path / "none"))
    assert main(["show", "change"]) == 2
    assert "No run 'change' in" in capsys.readouterr().err


def test_old_names_in_a_task_are_notes_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AGENT_RUNS_DIR", str(tmp_path / "runs"))
    (tmp_path / "task.yaml").write_text("prompt: Say hello.\nbudgets: {steps: 3}\n")
    with ScriptedServer([says("Hello.")]) as server:
        assert main(["run", str(tmp_path), "--base-url", server.url]) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"note: {tmp_path / 'task.yaml'}: `budgets` is now `limits`; the old name works in this")


def test_validate_takes_a_folder_as_run_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "task.yaml").write_text("prompt: Say hello.\n")
    assert main(["validate", str(tmp_path)]) == 0
    assert "is valid" in capsys.readouterr().out
