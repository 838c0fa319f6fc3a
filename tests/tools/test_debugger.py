"""The debugger tools over the real debugpy: stops, stacks, values and steps; the program always ends with the run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from agent import Agent, ConfigError, Rules, Sandbox, ToolContext, find_sandbox
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
    context = ToolContext[Any](workspace=workspace, env=ENV)
    yield context
    await context.resources.aclose(pytest.fail)


async def test_a_test_stops_where_it_fails_with_its_frames_alive(context: ToolContext[Any], called: Called):
    stopped = await called(debug_start, context, program="test_calc.py::test_none")
    assert re.sub(r"\d+ library frames", "N library frames", stopped) == (
        "Stopped: ZeroDivisionError: division by zero.\n"
        "#0 mean at calc.py:5\n"
        "#1 test_none at test_calc.py:9\n"
        "  ... N library frames: _pytest/, pluggy/, pytest/\n"
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
    assert ended.startswith("The program ended with exit code 1 without another stop.\noutput (the last 12 of ")


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
            {"program": "main.py", "breakpoints": ["calc.py:4 if number ="]},
            "The condition of 'calc.py:4 if number =' is not a Python expression: invalid syntax. Correct it.",
        ),
        ({"program": "/nowhere/main.py"}, 'Commands of this run cannot read "/nowhere/main.py".'),
        (
            {"program": "main.py", "breakpoints": ["calc.py:99"]},
            '"calc.py" has 5 lines; line 99 is past the end. The last line with code is 5.',
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
    assert await called(debug_stop, context) == "No program is being debugged."


HANDLED = """\
import json

import pytest

import lazy


def fails():
    raise ValueError("handled")


def test_handled():
    assert not hasattr(lazy, "nothing")
    with pytest.raises(ValueError):
        fails()
    pytest.raises(ValueError, fails)
    try:
        json.loads("{")
    except ValueError:
        pass
    assert next(iter([])) if False else True


@pytest.mark.xfail
def test_known():
    fails()


def test_skipped():
    pytest.skip("later")
"""


async def test_exceptions_that_are_handled_do_not_stop_a_test(context: ToolContext[Any], called: Called):
    (context.workspace / "lazy.py").write_text("def __getattr__(name):\n    raise AttributeError(name)\n")
    (context.workspace / "test_handled.py").write_text(HANDLED)
    ended = await called(debug_start, context, program="test_handled.py")
    assert ended.startswith("The program ended with exit code 0 without another stop.\noutput:\n")
    assert "1 passed, 1 skipped, 1 xfailed" in ended


async def test_a_file_that_cannot_be_imported_stops_at_its_line(context: ToolContext[Any], called: Called):
    (context.workspace / "test_broken.py").write_text("import calc\n\ncalc.mean([])\n")
    stopped = await called(debug_start, context, program="test_broken.py")
    assert stopped.startswith(
        "Stopped: ZeroDivisionError: division by zero.\n#0 mean at calc.py:5\n#1 <module> at test_broken.py:3\n"
    )


async def test_a_breakpoint_on_a_line_without_code_stops_at_the_next_one_that_has(
    context: ToolContext[Any], called: Called
):
    (context.workspace / "calc.py").write_text(MEAN.replace("total = 0\n", "total = 0\n\n    # adds them up\n"))
    stopped = await called(debug_start, context, program="main.py", arguments=["4"], breakpoints=["calc.py:3"])
    assert stopped.startswith(
        "calc.py:3 has no code to stop at; the breakpoint is at calc.py:5.\n"
        "Stopped: breakpoint.\n#0 mean at calc.py:5\n#1 <module> at main.py:5\n"
    )


async def test_a_breakpoint_that_is_not_reached_or_not_possible_is_reported(context: ToolContext[Any], called: Called):
    library = json.decoder.__file__
    (context.workspace / "main.py").write_text("import json\n\nif not json:\n    print(1)\n")
    answer = await called(debug_start, context, program="main.py", breakpoints=["main.py:4", f"{library}:20"])
    assert re.fullmatch(
        rf"(?:.* has no code .*\n)?The debugger does not stop at {library}:\d+: it is in a library. "
        r"Set one where the program calls the library\.\n"
        r"The program ended with exit code 0 without another stop\. No breakpoint was reached\.",
        answer,
    )


async def test_a_condition_that_raises_stops_and_says_so(context: ToolContext[Any], called: Called):
    stopped = await called(
        debug_start, context, program="main.py", arguments=["4"], breakpoints=["calc.py:4 if count > 3"]
    )
    assert stopped.startswith(
        "Stopped: breakpoint, because its condition \"count > 3\" raised NameError: name 'count' is not defined.\n"
    )


KEY = """\
import copy


class Key:
    def __deepcopy__(self, memo):
        return "copied"


copy.deepcopy([[Key()]])
"""


async def test_library_frames_are_counted_and_can_be_seen(context: ToolContext[Any], called: Called):
    (context.workspace / "main.py").write_text(KEY)
    stopped = await called(debug_start, context, program="main.py", breakpoints=["main.py:6"])
    assert stopped.startswith(
        "Stopped: breakpoint.\n"
        "#0 __deepcopy__ at main.py:6\n  ... 5 library frames: copy.py\n#1 <module> at main.py:9\n"
    )
    whole = await called(debug_look, context, library_frames=True)
    assert re.match(
        r"stack:\n#0 __deepcopy__ at main\.py:6\n  #100 deepcopy at /.*/copy\.py:\d+\n  #101 _deepcopy_list at ", whole
    )
    caller = await called(debug_look, context, frame=101)
    assert caller.startswith("#101 _deepcopy_list at /")
    assert "\n  y = []" in caller
    assert await called(debug_evaluate, context, expression="len(x)", frame=101) == "1"
    assert await called(debug_look, context, frame=50) == (
        "!There is no frame 50. Set frame to a number from 0, the innermost, to 1, "
        "or from 100 to 104 for the library frames."
    )
    # The filter of the debugger still holds for steps.
    assert "#0 <module> at main.py:9\n" in await called(debug_resume, context, how="out")


async def test_an_exception_of_a_library_names_where_it_was_raised(context: ToolContext[Any], called: Called):
    (context.workspace / "main.py").write_text("import json\n\njson.loads('{')\n")
    stopped = await called(debug_start, context, program="main.py")
    assert re.match(
        r"Stopped: JSONDecodeError: Expecting .*\.\n"
        r"Raised in raw_decode at /.*/json/decoder\.py:\d+, in a library that frame 0 called\.\n"
        r"#0 <module> at main\.py:3\n",
        stopped,
    )


VALUES = """\
class Broken:
    def __repr__(self):
        raise OSError


pairs = [("a", True, [1, [2, [3, [4]]]]), ("b", "x" * 500)]
broken = Broken()
endless = []
endless.append(endless)
big = {number: [number] * 9 for number in range(9_000)}
done = True
"""


async def test_values_are_shown_whole_up_to_a_length_that_is_told(context: ToolContext[Any], called: Called):
    (context.workspace / "main.py").write_text(VALUES)
    await called(debug_start, context, program="main.py", breakpoints=["main.py:11"])
    assert await called(debug_evaluate, context, expression="pairs") == (
        f"[('a', True, [1, [2, [3, [4]]]]), ('b', '{'x' * 500}')]"
    )
    assert await called(debug_evaluate, context, expression="big", value_chars=30) == (
        "{0: [0, 0, 0, 0, 0, 0, 0, 0, 0...\n[cut at 30 characters; set a larger value_chars, or evaluate a part of it]"
    )
    looked = await called(debug_look, context, value_chars=40)
    assert "\n  broken = <Broken: its repr raised an exception>\n" in looked
    assert "\n  endless = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...]]]]]...\n" in looked
    assert "\n  pairs = [('a', True, [1, [2, [3, [4]]]]), ('b', ...\n" in looked
    assert looked.endswith(
        "\n  [... marks a cut value; see it with debug_evaluate, or debug_look with a larger value_chars]"
    )


async def test_a_scratch_script_outside_the_workspace_can_be_debugged(
    context: ToolContext[Any], tmp_path_factory: pytest.TempPathFactory, called: Called
):
    script = tmp_path_factory.mktemp("scratch") / "scratch.py"
    script.write_text("total = 1\n# two lines\ntotal += 1\n")
    stopped = await called(debug_start, context, program=str(script), breakpoints=[f"{script}:2"])
    assert stopped == (
        f"{script}:2 has no code to stop at; the breakpoint is at {script}:3.\n"
        f"Stopped: breakpoint.\n#0 <module> at {script}:3\n"
        "  1: total = 1\n  2: # two lines\n> 3: total += 1\nvariables:\n  total = 1"
    )


async def test_the_source_is_read_by_the_program_not_from_a_path_that_it_claims(
    context: ToolContext[Any], tmp_path_factory: pytest.TempPathFactory, called: Called
):
    """The file names of frames are the program's own words; outside its sandbox they may lead to any file."""
    try:
        sandbox = find_sandbox("bubblewrap", Rules())
    except ConfigError:
        pytest.skip("bubblewrap does not work here")
    secret = tmp_path_factory.mktemp("home") / "secret.py"
    secret.write_text("password = 1\n" * 9)
    (context.workspace / "main.py").write_text(f"exec(compile('\\n\\nboom', {str(secret)!r}, 'exec'))\n")
    stopped = await called(debug_start, replace(context, sandbox=sandbox), program="main.py")
    assert stopped.startswith(f"Stopped: NameError: name 'boom' is not defined.\n#0 <module> at {secret}:3\n")
    assert "password" not in stopped


async def test_the_end_of_a_message_is_not_doubled_and_colors_are_left_out(context: ToolContext[Any], called: Called):
    (context.workspace / "main.py").write_text(
        "for line in range(20):\n    print('\\033[31mline', line)\nraise ValueError('Too large. Use less.')\n"
    )
    stopped = await called(debug_start, context, program="main.py")
    assert stopped.startswith("Stopped: ValueError: Too large. Use less.\n#0 ")
    assert "\noutput (the last 12 of 20 lines):\n  line 8\n" in stopped


async def test_an_exception_without_a_text_is_given_none(context: ToolContext[Any], called: Called):
    """Its text was that of debugpy: "exception: no description"."""
    (context.workspace / "main.py").write_text("raise ValueError\n")
    stopped = await called(debug_start, context, program="main.py")
    assert stopped.startswith("Stopped: ValueError.\n#0 <module> at main.py:1\n")


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
    context = ToolContext(workspace=workspace, env=ENV, sandbox=Sandbox(isolation="landlock"))
    assert await called(debug_start, context, program="main.py") == (
        "!The debugger needs a loopback network, which the Landlock sandbox denies (with bubblewrap it works). "
        "Print values instead."
    )
    in_container = replace(context, sandbox=Sandbox(isolation="container", image="x"))
    assert await called(debug_start, in_container, program="main.py") == (
        "!The debugger does not work in a container (with bubblewrap it does). Print values instead."
    )


async def test_a_test_is_not_debugged_without_pytest_and_the_answer_names_what_installs_it(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, called: Called
):
    venv = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    (workspace / "test_it.py").write_text("def test_it():\n    assert 1 == 2\n")
    context = ToolContext(workspace=workspace, env={"PATH": str(python.parent)})
    try:
        assert await called(debug_start, context, program="test_it.py") == (
            f"!pytest is not installed for {python}, the Python of this run. Run the tests another way with run_shell, "
            f"or say in your answer that `{python} -m pip install pytest` is needed."
        )
    finally:
        await context.resources.aclose(pytest.fail)
