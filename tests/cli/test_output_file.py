"""`output.file` is written by the product itself, outside the sandbox: never where a symlink of the model leads."""

from pathlib import Path

import pytest

from agent.cli import main
from agent.testing import ScriptedServer, calls, says

pytestmark = pytest.mark.usefixtures("own_machine")


def run(folder: Path, command: str, file: str = "ws/out/answer.txt") -> int:
    """Run a task whose model runs one command and then answers PWNED."""
    (folder / "ws").mkdir(exist_ok=True)
    (folder / "away").mkdir(exist_ok=True)
    task = folder / "task.yaml"
    task.write_text(f"prompt: go\nworkspace: ws\nsandbox: none\ntools: [run_shell]\noutput: {{file: {file}}}\n")
    with ScriptedServer([calls(("run_shell", {"command": command})), says("PWNED")]) as server:
        return main(["run", str(task), "--base-url", server.url])


LINKS = {
    "absolute": "ln -s {away} out",
    "relative": "ln -s ../away out",
    "two steps": "ln -s {away} hop; ln -s hop out",
    "deeper": "mkdir out; ln -s {away} out/sub",
}


@pytest.mark.parametrize("link", LINKS)
def test_the_answer_is_not_written_through_a_folder_that_became_a_symlink(
    tmp_path: Path, link: str, capsys: pytest.CaptureFixture[str]
):
    file = "ws/out/sub/answer.txt" if link == "deeper" else "ws/out/answer.txt"
    assert run(tmp_path, LINKS[link].format(away=tmp_path / "away"), file) == 2
    assert list((tmp_path / "away").iterdir()) == []
    error = capsys.readouterr().err
    assert f"The answer cannot be written to '{tmp_path}/{file}': a symlink in the workspace leads out of it." in error
    assert "It is in the journal: agent show" in error


def test_the_answer_is_not_written_into_git_through_a_symlink(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "ws" / ".git").mkdir(parents=True)
    assert run(tmp_path, "ln -s .git out", "ws/out/config") == 2
    assert list((tmp_path / "ws" / ".git").iterdir()) == []
    assert ": a symlink leads into .git, or the path does. It is in the journal: " in capsys.readouterr().err


def test_a_user_s_symlink_outside_is_not_followed_through_a_folder_that_became_a_symlink(tmp_path: Path):
    (tmp_path / "answers").symlink_to("ws/out")
    assert run(tmp_path, f"ln -s {tmp_path / 'away'} out", "answers/answer.txt") == 2
    assert list((tmp_path / "away").iterdir()) == []


def test_a_symlink_in_place_of_the_file_is_replaced_not_followed(tmp_path: Path):
    (tmp_path / "mine").write_text("CANARY")
    assert run(tmp_path, f"mkdir out; ln -s {tmp_path / 'mine'} out/answer.txt") == 0
    assert (tmp_path / "mine").read_text() == "CANARY"
    assert (tmp_path / "ws" / "out" / "answer.txt").read_text() == "PWNED\n"
    assert [path.name for path in (tmp_path / "ws" / "out").iterdir()] == ["answer.txt"]


def test_a_symlink_that_stays_in_the_workspace_and_one_of_the_user_outside_are_followed(tmp_path: Path):
    assert run(tmp_path, "mkdir real; ln -s real out") == 0
    assert (tmp_path / "ws" / "real" / "answer.txt").read_text() == "PWNED\n"
    (tmp_path / "answers").symlink_to("away")
    assert run(tmp_path, "true", "answers/answer.txt") == 0
    assert (tmp_path / "away" / "answer.txt").read_text() == "PWNED\n"
