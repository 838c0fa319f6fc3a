"""Every example runs, on a CPU, against a scripted server."""

import runpy
from pathlib import Path

import pytest

from agent import load_task
from agent.loading import load_tools
from agent.testing import ScriptedServer, calls, says

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_two_numbers_prints_the_sum(capsys: pytest.CaptureFixture[str]):
    program = runpy.run_path(str(EXAMPLES / "01_two_numbers.py"))
    with ScriptedServer([calls(("add", {"a": 2, "b": 3})), says("2 + 3 = 5.")]) as server:
        assert program["main"](server.url) == 0
    assert capsys.readouterr().out.startswith("finished: 2 + 3 = 5. (2 steps, ")
    assert server.bodies[1]["messages"][-1]["content"] == "5"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/task.yaml")), ids=lambda path: path.parent.name)
def test_a_task_folder_is_valid(path: Path):
    task = load_task(path)
    assert task.rendered_prompt()
    assert len(load_tools(task.tools, directory=task.directory)) == len(task.tools)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_fits_one_screen(path: Path):
    assert len(path.read_text().splitlines()) < 60
