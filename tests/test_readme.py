"""The README's examples run, and its task is the one that is shipped."""

import re
from pathlib import Path

import pytest
import yaml

from agent import load_task
from agent.testing import ScriptedModel, calls, says

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_task_in_the_readme_is_the_shipped_example():
    shown = yaml.safe_load(fenced("yaml")[0])
    assert shown == yaml.safe_load((ROOT / "examples" / "first_task" / "task.yaml").read_text())
    assert load_task(ROOT / "examples" / "first_task" / "task.yaml").name == "first-task"


@pytest.mark.parametrize("code", fenced("python"))
def test_a_python_example_of_the_readme_runs(
    code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    model = ScriptedModel([calls(("add", {"a": 2, "b": 3})), says("It is 5.")])

    def endpoint(_url: str) -> ScriptedModel:
        return model

    monkeypatch.setattr("agent.Endpoint", endpoint, raising=False)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed == "" or printed.startswith("finished It is 5. 2 Spent(steps=2, tool_calls=1,")


def test_every_command_the_readme_shows_exists():
    from agent.cli import COMMANDS

    shown = set(re.findall(r"(?:^|[;`] ?)agent ([a-z]+)", "\n".join(fenced("sh")), flags=re.MULTILINE))
    assert shown == set(COMMANDS)
