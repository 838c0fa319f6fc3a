"""Every example runs on a CPU, with a scripted model or server."""

import base64
import json
import os
import runpy
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from pocket.world.pytest_runner import PytestRunner
from pocket.world.tasks import write_tasks

from agent import Agent, Endpoint, Sandbox, load_task
from agent.messages import ToolResult
from agent.task.tool_loading import load_tools
from agent.testing import ScriptedModel, ScriptedServer, calls, says

EXAMPLES = Path(__file__).parent.parent / "examples"
CACHES = {"__pycache__", ".pytest_cache"}


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


def test_the_batch_of_bugs_equals_what_its_generator_writes(tmp_path: Path):
    """The model has not seen these tasks, and they are not selected by what it can do."""
    facts = json.loads((EXAMPLES / "fix_bug_batch" / "tasks.json").read_text())
    write_tasks(tmp_path / "tasks", count=facts["count"], seed=facts["seed"])

    def texts(folder: Path) -> dict[str, str]:
        files = [path for path in folder.rglob("*") if path.is_file() and not CACHES & set(path.parts)]
        return {str(path.relative_to(folder)): path.read_text() for path in files}

    assert texts(EXAMPLES / "fix_bug_batch") == texts(tmp_path / "tasks")


def test_the_tests_of_each_shipped_bug_fail():
    with PytestRunner() as runner:
        for folder in (*sorted((EXAMPLES / "fix_bug_batch").glob("*/project")), EXAMPLES / "fix_bug" / "project"):
            # In another folder: inside this repository, pytest would use our settings for the project.
            files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}
            printed, code = runner.pytest(runner.put(files))
            assert (code, "1 failed" in printed) == (1, True), folder


async def test_the_debugger_shows_what_the_code_does_not(tmp_path: Path):
    """The model's replies are scripted; the debugger, the program and the verification are real."""
    task = load_task(EXAMPLES / "debug_crash" / "task.yaml")
    model = ScriptedModel(
        [
            calls(("debug_start", {"program": "agenda.py", "arguments": ["tasks.json.gz"]})),
            calls(("debug_look", {"frame": 1})),
            calls(
                (
                    "debug_evaluate",
                    {"expression": '[t["due"] for t in tasks if day_of_year(t["due"])[0] is None]', "frame": 0},
                )
            ),
            calls(("edit_file", {"path": "agenda.py", "old": "name == month", "new": "name == month.capitalize()"})),
            calls(("run_shell", {"command": "python agenda.py tasks.json.gz | grep -n -i 'sep 17'"})),
            says("Months in any letter case are understood now."),
        ]
    )
    environ = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath])}
    agent = Agent.from_task(task, model, environ=environ, runs=tmp_path)
    if agent.sandbox is not None and agent.sandbox.isolation == "landlock":
        agent = replace(agent, sandbox=Sandbox())  # Landlock has no loopback network for the debugger
    outcome = await agent.run(task.rendered_prompt())

    assert outcome.status == "verified", outcome.reason
    results = [str(message.content) for message in outcome.messages if isinstance(message, ToolResult)]
    assert results[0].startswith("Stopped: TypeError: '<' not supported between instances of")
    assert "#0 in_order at agenda.py:16\n#1 main at agenda.py:22\n" in results[0]
    assert results[2] == "['mar 3', 'SEP 17']"


async def test_an_input_image_and_a_drawn_image_are_sent_to_the_model(tmp_path: Path):
    """The replies are scripted, over HTTP; the images, the program and the verification are real."""
    task = load_task(EXAMPLES / "match_picture" / "task.yaml")
    largest = ("value == min(values)", "value == max(values)")
    standing = ("rows[MARGIN : MARGIN + height]", "rows[HEIGHT - MARGIN - height : HEIGHT - MARGIN]")
    draw, look = ("run_shell", {"command": "python chart.py sales.csv chart.png"}), ("read_file", {"path": "chart.png"})
    replies = [
        calls(draw),
        calls(look),
        calls(("read_file", {"path": "chart.py"})),
        *(calls(("edit_file", {"path": "chart.py", "old": old, "new": new})) for old, new in (largest, standing)),
        calls(draw),
        calls(look),
        says("The bars stand on the line now, and the largest is orange."),
    ]
    environ = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath])}
    with ScriptedServer(replies) as server:
        agent = Agent.from_task(task, Endpoint(server.url), environ=environ, runs=tmp_path)
        outcome = await agent.run(task.rendered_prompt(), images=task.images())
        sent = server.bodies[-1]["messages"]

    assert outcome.status == "verified", outcome.reason
    images = [
        base64.b64decode(part["image_url"]["url"].removeprefix("data:image/png;base64,"))
        for message in sent
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == "image_url"
    ]
    wanted = (EXAMPLES / "match_picture" / "wanted.png").read_bytes()
    assert len(images) == 3
    assert images[0] == wanted
    assert _pixels(images[1]) != _pixels(wanted) == _pixels(images[2])


def _pixels(png: bytes) -> bytes:
    length = int.from_bytes(png[33:37], "big")  # of the only IDAT chunk, after the signature and the header
    return zlib.decompress(png[41 : 41 + length])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_fits_on_one_screen(path: Path):
    assert len(path.read_text().splitlines()) < 60
