"""The debugger tools over the real debugpy: stops, stacks, values and steps; the program always ends with the run."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from agent import Agent, Sandbox, ToolContext
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says
from tools.debugger import debug_evaluate, debug_look, debug_resume, debug_start, debug_stop

if TYPE_CHECKING:
    from conftest import Called, UntilGone

ENV = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
MEAN = """\
def mean(numbers):
    total = 0
    for number in numbers:
        total += number
    return total / len(numbers)
"""
TESTS = """\
from calc import mean


def test_two():
    assert mean([1, 2]) == 1.5


def test_none():
    assert mean([]) == 0
"""
MAIN = """\
import sys
from calc import mean

print("mean of", sys.argv[1:])
print(mean([int(word) for word in sys.argv[1:]]))
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name, text in (("calc.py", MEAN), ("test_calc.py", TESTS), ("main.py", MAIN)):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest_asyncio.fixture
async def context(workspace: Path) -> AsyncIterator[ToolContext[Any]]:
    context = ToolContext[Any](workspace=workspace, state=None, env=ENV)
    yield context
    await context.resources.aclose()


async def test_a_test_stops_where_an_exception_leaves_the_workspace_code(context: ToolContext[Any], called: Called):
    assert await called(debug_start, context, program="test_calc.py::test_none") == (
        "Stopped: ZeroDivisionError: division by zero.\n"
        "#0 mean at calc.py:5\n"
        "#1 test_none at test_calc.py:9\n"
        "  2:     total = 0\n"
        "  3:     for number in numbers:\n"
        "  4:         total += number\n"
        "> 5:     return total / len(numbers)\n"
        "variables:\n"
        "  numbers = []\n"
        "  total = 0"
    )
    assert await called(debug_evaluate, context, expression="len(numbers) or 'nothing'") == "'nothing'"
    ended = await called(debug_resume, context)
    assert ended.startswith("The program ended with exit code 1 without another stop.\noutput:\n")


async def test_a_script_stops_at_a_conditional_breakpoint_and_is_stepped(context: ToolContext[Any], called: Called):
    stopped = await called(
        debug_start, context, program="main.py", arguments=["4", "5"], breakpoints=["calc.py:4 if number == 5"]
    )
    assert stopped.startswith("Stopped: breakpoint.\n#0 mean at calc.py:4\n#1 <module> at main.py:5\n")
    assert stopped.endswith("  number = 5\n  numbers = [4, 5]\n  total = 4\noutput:\n  mean of ['4', '5']")
    assert await called(debug_look, context, frame=1) == (
        "#1 <module> at main.py:5\n  2: from calc import mean\n  3: \n"
        '  4: print("mean of", sys.argv[1:])\n> 5: print(mean([int(word) for word in sys.argv[1:]]))\n'
        "variables:\n  sys = <module 'sys' (built-in)>"
    )
    assert "\n  total = 9" in await called(debug_resume, context, how="over")
    assert "#0 <module> at main.py" in await called(debug_resume, context, how="out")
    assert await called(debug_resume, context) == (
        "The program ended with exit code 0 without another stop.\noutput:\n  4.5"
    )
    assert await called(debug_resume, context) == "!No program is being debugged. Start one with debug_start."


async def test_invalid_calls_are_answered_with_what_to_do(context: ToolContext[Any], called: Called):
    for arguments, answer in (
        ({"program": "gone.py"}, 'There is no "gone.py"'),
        ({"program": "../x.py"}, '"../x.py" is outside'),
        ({"program": "main.py", "breakpoints": ["calc.py"]}, "'calc.py' is not a breakpoint."),
        (
            {"program": "main.py", "breakpoints": ["calc.py:99"]},
            '"calc.py" has 5 lines; line 99 is past the end. Set the breakpoint at an existing line.',
        ),
    ):
        assert (await called(debug_start, context, **arguments)).startswith(f"!{answer}")
    assert await called(debug_look, context) == (
        "!The program is not stopped. Call debug_start with a breakpoint, or debug_resume to wait for a stop."
    )
    await called(debug_start, context, program="main.py", arguments=["4"], breakpoints=["calc.py:4"])
    assert await called(debug_evaluate, context, expression="nothing") == (
        "!The debugger reported an error: NameError: name 'nothing' is not defined"
    )
    assert await called(debug_look, context, frame=9) == (
        "!There is no frame 9. Set frame to a number from 0, the innermost, to 1."
    )
    assert await called(debug_stop, context) == "The debugged program has ended."
    assert await called(debug_stop, context) == "The debugged program has ended."


async def test_a_program_that_does_not_stop_is_paused_and_can_be_ended(
    context: ToolContext[Any], called: Called, until_gone: UntilGone
):
    (context.workspace / "main.py").write_text(
        "import os\nopen('pid', 'w').write(str(os.getpid()))\ncount = 0\nwhile True:\n    count += 1\n"
    )
    paused = await called(debug_start, context, program="main.py", timeout_s=3)
    assert paused.startswith("Stopped: paused after 3 s without a stop.\n#0 <module> at main.py:")
    assert "\n  count = " in paused
    await called(debug_stop, context)
    await until_gone(context.workspace / "pid")


async def test_the_program_ends_with_the_run(workspace: Path, until_gone: UntilGone):
    (workspace / "main.py").write_text("import os\nopen('pid', 'w').write(str(os.getpid()))\nx = 1\n")
    start = ("debug_start", {"program": "main.py", "breakpoints": ["main.py:3"]})
    outcome = await Agent(
        ScriptedModel([calls(start), says("Seen.")]),
        tools=[debug_start],
        workspace=workspace,
        env=ENV,
        sandbox=Sandbox(),
    ).run("Look.")
    (result,) = [message for message in outcome.messages if isinstance(message, ToolResult)]
    assert isinstance(result.content, str)
    assert result.content.startswith("Stopped: breakpoint.")
    await until_gone(workspace / "pid")


async def test_a_sandbox_in_which_the_debugger_cannot_run_is_reported(workspace: Path, called: Called):
    context = ToolContext(workspace=workspace, state=None, env=ENV, sandbox=Sandbox(isolation="landlock"))
    assert await called(debug_start, context, program="main.py") == (
        "!The debugger needs a loopback network, which the Landlock sandbox denies (with bubblewrap it works). "
        "Print values instead."
    )
    in_container = replace(context, sandbox=Sandbox(isolation="container", image="x"))
    assert await called(debug_start, in_container, program="main.py") == (
        "!The debugger does not work in a container (with bubblewrap it does). Print values instead."
    )
