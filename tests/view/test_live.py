"""The live view: what a person reads while a run happens."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent import Agent, ToolError, Verify, tool
from agent.messages import Reply
from agent.testing import ScriptedModel, calls, says
from agent.view.live import LiveView


@tool
def look(path: str) -> str:
    """Look at a file."""
    if path == "gone":
        msg = "there is no such file"
        raise ToolError(msg)
    return "\x1b]0;owned\x07\x1b[2J line one\nline two" if path == "evil" else "fine"


def shown(replies: Sequence[Reply], **options: Any) -> list[str]:
    """Return the lines of a whole run."""
    out = io.StringIO()
    Agent(ScriptedModel(replies), tools=[look], **options).run_sync("Look around.", observe=LiveView(out).show)
    return out.getvalue().splitlines()


def test_a_run_is_shown_step_by_step(tmp_path: Path):
    lines = shown([calls(("look", {"path": "a"}), reasoning="I look."), says("All is well.")], workspace=tmp_path)
    assert lines[0].partition("  ")[2] == "scripted at http://scripted.invalid/v1, window 32,768 tokens"
    assert lines[1:-1] == [
        "tools: look",
        f"workspace: {tmp_path}",
        "task:",
        "    Look around.",
        "step 1  effort none",
        "  thinks    I look.",
        '  calls     look {"path": "a"}',
        "  ok        fine",
        "step 2  effort none",
        "  says      All is well.",
    ]
    assert lines[-1].startswith("finished  2 steps, 1 calls, ")


def test_escape_sequences_in_a_tools_output_do_not_reach_the_terminal():
    out = io.StringIO()
    model = ScriptedModel([calls(("look", {"path": "evil"})), says("Done.")])
    Agent(model, tools=[look]).run_sync("Look.", observe=LiveView(out, full=True).show)
    assert "\x1b" not in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert "\N{REPLACEMENT CHARACTER}[2J line one\n            line two" in out.getvalue()


def test_a_repair_is_shown():
    lines = shown([calls(("look", {"path": 5})), says("Done.")])
    assert [line for line in lines if line.startswith("  repaired")] == ["  repaired  look: number_to_string $.path"]


def test_a_re_ask_is_shown_with_the_tool_it_is_constrained_to():
    lines = shown([calls(("lok", {"path": "a"})), calls(("look", {"path": "a"})), says("Done.")])
    assert "  ladder    unknown_tool: re-asking, constrained to the schema" in lines
    assert "step 2  re-ask, effort none, constrained to look" in lines


def test_climbing_and_its_cost_are_shown():
    lines = shown([says("Done."), says("Done."), says("Done.")], verify=Verify(command="exit 7", attempts=2))
    assert "  verify    exit 7" in lines
    assert "  verify    failed, exit code 7:" in [line.rstrip() for line in lines]
    assert "  ladder    verify_failed: climbing" in lines
    assert "  ladder    now on rung 2, effort high" in lines
    assert any(line.startswith("  switch    prefilled ") for line in lines)
    assert lines[-1].startswith("verify_failed  ")
    assert "reason:" in lines


def test_a_tool_error_is_shown_as_an_error():
    lines = shown([calls(("look", {"path": "gone"})), says("Not there.")])
    assert "  error     Error: there is no such file" in lines


def test_colors_are_written_only_on_request():
    out = io.StringIO()
    model = ScriptedModel([says("Done.")])
    Agent(model).run_sync("Hi.", observe=LiveView(out, color=True).show)
    assert "\x1b[32mfinished\x1b[0m" in out.getvalue()
