"""Every example runs on a CPU, with a scripted model or server."""

import base64
import io
import json
import os
import runpy
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pocket.world.pytest_runner import PytestRunner
from pocket.world.tasks import write_tasks

from agent import Agent, Endpoint, Sandbox, load_task
from agent.messages import ToolResult
from agent.task.tool_loading import load_tools
from agent.testing import ScriptedModel, ScriptedServer, calls, says

EXAMPLES = Path(__file__).parent.parent / "examples"
CACHES = {"__pycache__", ".pytest_cache"}


def program(name: str) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_typed_tools_prints_the_forecast(capsys: pytest.CaptureFixture[str]):
    forecast = {"city": "Lisbon", "celsius": 31.5, "bring": ["water", "a hat"]}
    with ScriptedServer(
        [calls(("temperature", {"city": "Lisbon", "hour": 15})), calls(("final_result", forecast))]
    ) as server:
        assert program("01_typed_tools")(server.url) == 0
    assert capsys.readouterr().out == "Lisbon: 31.5 °C, bring water, a hat\n"
    assert server.bodies[1]["messages"][-1]["content"] == "31.5"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a bug and a test that shows it; runs are kept beside it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mean.py").write_text("def mean(numbers):\n    return sum(numbers) / (len(numbers) - 1)\n")
    (folder / "test_mean.py").write_text("from mean import mean\n\ndef test_mean():\n    assert mean([2, 4]) == 3\n")
    monkeypatch.setenv("AGENT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    return folder


def test_the_coding_agent_fixes_a_copy(project: Path, capsys: pytest.CaptureFixture[str]):
    edit = {"path": "mean.py", "old": "(len(numbers) - 1)", "new": "len(numbers)"}
    replies = [calls(("run_tests", {})), calls(("edit_file", edit)), calls(("run_tests", {})), says("Fixed the mean.")]
    with ScriptedServer(replies) as server:
        assert program("02_coding_agent")(str(project), server.url) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("verified after 4 steps: Fixed the mean.\n")
    assert "+    return sum(numbers) / len(numbers)" in printed
    assert "- 1" in (project / "mean.py").read_text()


def test_the_debugging_agent_names_the_line(project: Path, capsys: pytest.CaptureFixture[str]):
    cause = {"file": "mean.py", "line": 2, "explanation": "It divides by one number too few."}
    (project / "show.py").write_text("from mean import mean\nprint(mean([5]))\n")
    replies = [
        calls(("debug_start", {"program": "show.py"})),
        calls(("debug_evaluate", {"expression": "len(numbers) - 1"})),
        calls(("final_result", cause)),
    ]
    with ScriptedServer(replies) as server:
        assert program("03_debugging_agent")(str(project), "python show.py", server.url) == 0
    assert capsys.readouterr().out == "mean.py:2: It divides by one number too few.\n"
    results = [one["content"] for one in server.bodies[2]["messages"] if one["role"] == "tool"]
    assert "ZeroDivisionError" in results[0]
    assert results[1].strip().endswith("0")


async def test_twenty_runs_at_once_are_added_up(capsys: pytest.CaptureFixture[str]):
    with ScriptedServer([says("paraula")] * 20) as server:
        assert await program("04_twenty_at_once")(server.url) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:20]] == ["paraula"] * 20
    assert lines[20].startswith("20 requests, ")


@pytest.mark.parametrize("answer", ["y", "n"])
def test_what_takes_from_the_savings_is_asked(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[str] = []

    def reply(text: str) -> str:
        asked.append(text)
        return answer

    monkeypatch.setattr("builtins.input", reply)
    move = {"source": "savings", "target": "current", "amount": 80}
    with ScriptedServer([calls(("transfer", move)), says("Done.")]) as server:
        assert program("05_approval")(server.url) == 0
    assert asked == [
        "transfer(source=savings, target=current, amount=80): it takes from the savings. Allow? [y/N] "
    ]  # fmt: skip
    left = {"y": "{'savings': 420, 'current': 100}", "n": "{'savings': 500, 'current': 20}"}[answer]
    assert capsys.readouterr().out == f"finished: Done.\n{left}\n"


def test_the_sub_agent_reads_and_its_tokens_count(project: Path, capsys: pytest.CaptureFixture[str]):
    replies = [
        calls(("ask_reader", {"prompt": "What is in it?"})),
        calls(("list_files", {})),
        says("A function that returns a mean, in mean.py."),
        says("It computes means. Start with mean.py."),
    ]
    with ScriptedServer(replies) as server:
        assert program("06_sub_agent")(str(project), server.url) == 0
    assert capsys.readouterr().out.startswith("finished: It computes means. Start with mean.py.\n")
    assert server.bodies[3]["messages"][-1]["content"] == "A function that returns a mean, in mean.py."


NOTES = """
from mcp.server import MCPServer

server = MCPServer("notes")
notes: list[str] = []


@server.tool()
def add(text: str) -> str:
    \"\"\"Add a note.\"\"\"
    notes.append(text)
    return ", ".join(notes)


server.run()
"""


def test_the_tools_of_an_mcp_server_are_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "notes.py").write_text(NOTES)
    with ScriptedServer([calls(("notes_add", {"text": "buy bread"})), says("Noted.")]) as server:
        assert program("07_mcp")(str(tmp_path / "notes.py"), server.url) == 0
    assert capsys.readouterr().out == "finished: Noted.\n"
    assert "buy bread" in server.bodies[1]["messages"][-1]["content"]


def test_the_ladder_is_climbed_and_watched(capsys: pytest.CaptureFixture[str]):
    replies = [calls(("guess", {"number": number})) for number in (10, 990, 742)]
    with ScriptedServer([*replies, says("It is 742.")], model="mistral-medium-3.5-128b") as server:
        assert program("08_your_own_ladder")(server.url) == 0
    printed = capsys.readouterr().out
    assert "now on rung 1, effort high" in printed
    assert printed.endswith("finished: It is 742.\n")
    assert [body["reasoning_effort"] for body in server.bodies] == ["none", "none", "high", "high"]


async def test_the_conversation_is_saved_and_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    talk = program("09_conversation")
    with ScriptedServer([says("Hello."), says("We greeted."), says("Again."), says("We greeted twice.")]) as server:
        for line in ("Hi.\n", "Hi again.\n"):
            monkeypatch.setattr("sys.stdin", io.StringIO(line))
            assert await talk("lesson", server.url) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("0 turns so far.\nHello.\nWe greeted.\n")
    assert "1 turns so far.\nAgain.\nWe greeted twice.\n" in printed
    assert [one["role"] for one in server.bodies[3]["messages"]] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip


def test_the_example_of_tests_passes_with_no_plugin_of_this_repositorys_own_tests():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    command += ["-p", "no:hypothesispytest", "examples/10_test_your_agent.py"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=EXAMPLES.parent)
    assert ran.returncode == 0, ran.stdout
    assert "3 passed" in ran.stdout


def test_any_server_is_asked_and_its_notices_are_logged(capsys: pytest.CaptureFixture[str]):
    with ScriptedServer([calls(("length", {"text": "tramontane"})), says("Ten.")], model="qwen3:8b") as server:
        assert program("11_any_server")(server.url) == 0
    assert capsys.readouterr().out == "finished: Ten.\n"
    assert (server.bodies[0]["temperature"], server.bodies[0]["seed"]) == (0.2, 1)


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
    if isinstance(agent.sandbox, Sandbox) and agent.sandbox.isolation == "landlock":
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
