"""The live view: what a person reads while a run happens."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from agent import Agent, Ladder, ToolError, Verify, tool
from agent.journal.events import (
    CallEnded,
    CallStarted,
    ContextRenewed,
    Event,
    PrefixChanged,
    Resumed,
    RunEnded,
    TurnTaken,
    VerifyEnded,
    VerifyStarted,
)
from agent.messages import AssistantMessage, Reply, ToolCall, ToolResult, UserMessage
from agent.policy.budget import Spent
from agent.testing import ScriptedModel, calls, says
from agent.view.live import LiveView
from tools.processes import read_process, start_process
from tools.shell import run_shell

LONG = "Adding works. " * 20


@tool(read_only=True)
def look(path: str) -> str:
    """Look at a file."""
    if path == "gone":
        msg = "there is no such file"
        raise ToolError(msg)
    return "\x1b]0;owned\x07\x1b[2J line one\nline two" if path == "evil" else "fine"


def shown(replies: Sequence[Reply], tools: Sequence[Any] = (look,), **options: Any) -> list[str]:
    """Return the lines of a whole run."""
    out = io.StringIO()
    Agent(ScriptedModel(replies), tools=tools, **options).run_sync("Look around.", observe=LiveView(out).show)
    return out.getvalue().splitlines()


def lines_of(*events: Event, **options: Any) -> list[str]:
    """Return the lines of some events."""
    out = io.StringIO()
    view = LiveView(out, **options)
    for event in events:
        view.show(event)
    return out.getvalue().splitlines()


def turn(*made: tuple[str, str], answered: tuple[ToolResult, ...] = ()) -> TurnTaken:
    """Return a turn with calls named c1, c2 and so on, from pairs of tool and arguments."""
    tool_calls = [ToolCall(id=f"c{at}", name=name, arguments=text) for at, (name, text) in enumerate(made, start=1)]
    taken = AssistantMessage(tool_calls=tuple(tool_calls))
    return TurnTaken(step=1, turn=taken, answered=answered)


def ended(number: int, name: str, content: str, **more: Any) -> CallEnded:
    result = ToolResult(tool_call_id=f"c{number}", name=name, content=content, **more)
    return CallEnded(step=1, result=result, elapsed_s=0.0, fingerprint="")


def run_ended(status: Any, *, answer: str = "", reason: str = "", output: JsonValue = None) -> RunEnded:
    spent = Spent(steps=2, tool_calls=1, prompt_tokens=1200, output_tokens=30, wall_s=1.25)
    return RunEnded(status=status, reason=reason, answer=answer, output=output, spent=spent)


TOTALS = "2 steps, 1 calls, 1,200 prompt tokens, 30 output tokens, 1.2 s"


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
        "  ok        look  fine",
        "step 2  effort none",
        "  says      All is well.",
        "answer:",
        "    All is well.",
    ]
    assert lines[-1].startswith("finished  2 steps, 1 calls, ")


# Results of calls.


def test_results_are_in_call_order_and_name_their_tool_whichever_call_ended_first():
    out = io.StringIO()
    view = LiveView(out)
    ends: list[str] = []
    fast_ones_shown = asyncio.Event()

    @tool(read_only=True)
    async def wait(name: str) -> str:
        """Wait."""
        if name == "slow":
            await fast_ones_shown.wait()
        return f"{name} is done"

    def observe(event: Event) -> None:
        view.show(event)
        if isinstance(event, CallEnded):
            ends.append(event.result.content)
            if len(ends) == 2:
                assert "is done" not in out.getvalue(), "a result before that of the first call cannot be matched"
                fast_ones_shown.set()

    made = calls(("wait", {"name": "slow"}), ("wait", {"name": "fast"}), ("look", {"path": "a"}))
    Agent(ScriptedModel([made, says("Done.")]), tools=[wait, look]).run_sync("Wait.", observe=observe)
    assert sorted(ends[:2]) == ["fast is done", "fine"]
    results = [line for line in out.getvalue().splitlines() if line.startswith("  ok ")]
    assert results == [
        "  ok        wait slow  slow is done",
        "  ok        wait fast  fast is done",
        "  ok        look       fine",
    ]


def test_a_result_is_shown_as_soon_as_all_earlier_calls_have_ended():
    taken = turn(("look", '{"path": "a"}'), ("look", '{"path": "b"}'), ("look", '{"path": "c"}'))
    view_of = {
        ended(3, "look", "C"): [],
        ended(1, "look", "A"): ["  ok        look a  A"],
        ended(2, "look", "B"): ["  ok        look b  B", "  ok        look c  C"],
    }
    out = io.StringIO()
    view = LiveView(out)
    view.show(taken)
    for event, expected in view_of.items():
        before = len(out.getvalue())
        view.show(event)
        assert out.getvalue()[before:].splitlines() == expected


def test_calls_that_are_not_executed_keep_their_place_among_the_results():
    invalid = ToolResult(tool_call_id="c2", name="lok", content='Unknown tool "lok".', status="invalid")
    taken = turn(("look", '{"path": "a"}'), ("lok", "{}"), answered=(invalid,))
    assert lines_of(taken, ended(1, "look", "A")) == [
        '  calls     look {"path": "a"}',
        "  calls     lok {}",
        "  ok        look  A",
        '  invalid   lok   Unknown tool "lok".',
    ]


def test_tokens_that_the_server_did_not_count_are_called_about():
    ended = run_ended("finished")
    (line, *_) = lines_of(replace(ended, spent=replace(ended.spent, estimated_tokens=1_230)))
    assert line.endswith("1 calls, about 1,200 prompt tokens, about 30 output tokens, 1.2 s")


def test_an_interrupted_run_shows_the_results_that_waited_and_the_others_after_it_was_resumed():
    taken = turn(("look", '{"path": "a"}'), ("look", '{"path": "b"}'))
    late = ended(1, "look", "Interrupted: the run was stopped.", status="interrupted")
    lines = lines_of(taken, ended(2, "look", "B"), run_ended("interrupted"), Resumed(wall_s=2.0), late)
    assert lines[2:] == [
        "  ok        look b  B",
        f"interrupted  {TOTALS}",
        "resumed, 2 s already used",
        "  interrupted look a  Interrupted: the run was stopped.",
    ]


def test_a_run_that_is_resumed_in_another_process_shows_results_without_their_turn():
    assert lines_of(Resumed(wall_s=2.0), ended(7, "look", "fine")) == [
        "resumed, 2 s already used",
        "  ok        look  fine",
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("echo one; echo two; exit 3", "  exit 3    run_shell  two"),
        ("exit 1", "  exit 1    run_shell  (no output)"),
        ("printf 'no newline'; exit 2", "  exit 2    run_shell  no newline"),
        ("echo '[exit code 5]'", "  exit 5    run_shell  (no output)"),
        ("kill -9 $$", "  exit 137  run_shell  (no output)"),
        ("echo well", "  ok        run_shell  well"),
        ("true", "  ok        run_shell  (no output, exit code 0)"),
    ],
)
def test_a_command_is_shown_with_its_exit_code_and_not_as_ok(tmp_path: Path, command: str, expected: str):
    made = calls(("run_shell", {"command": command}))
    lines = shown([made, says("Done.")], tools=[run_shell], workspace=tmp_path)
    assert expected in [line.partition("  (0.")[0] for line in lines]


def test_the_exit_code_is_found_above_the_note_about_a_repeated_call_and_beside_the_duration():
    noted = "one\nexit code 1, took 12 s\n(You made this very call before.)"
    assert lines_of(turn(("run_shell", "{}")), ended(1, "run_shell", noted))[1] == "  exit 1    run_shell  one"


def test_a_file_that_ends_with_the_words_of_an_exit_code_is_not_a_failed_command():
    started = CallStarted(step=1, tool_call_id="c1", tool="read_file", arguments="{}", read_only=True)
    lines = lines_of(turn(("read_file", "{}")), started, ended(1, "read_file", "log\nexit code 1"))
    assert lines[1] == "  ok        read_file  log exit code 1"


def test_a_command_that_was_killed_after_its_time_is_a_timeout_and_a_tool_error_an_error():
    killed = "Error: The command did not end within 5 s and was killed; what it had done stays done."
    abandoned = "Error: slow did not finish within 1 s and was abandoned."
    made = turn(("run_shell", "{}"), ("slow", "{}"), ("look", '{"path": "gone"}'))
    lines = lines_of(
        made,
        ended(1, "run_shell", killed, status="error"),
        ended(2, "slow", abandoned, status="timeout"),
        ended(3, "look", "Error: there is no such file", status="error"),
    )
    assert lines[3:] == [
        "  timeout   run_shell  The command did not end within 5 s and was killed; what it had done stays done.",
        "  timeout   slow       slow did not finish within 1 s and was abandoned.",
        "  error     look       there is no such file",
    ]


async def test_a_background_process_that_failed_is_shown_with_its_exit_code(tmp_path: Path):
    out = io.StringIO()
    script = [calls(("start_process", {"command": "exit 4", "wait_s": 20})), says("Done.")]
    agent = Agent(ScriptedModel(script), tools=[start_process, read_process], workspace=tmp_path)
    await agent.run("Start it.", observe=LiveView(out).show)
    assert "  exit 4    start_process  Process 1 has ended (exit code 4)." in out.getvalue()


@pytest.mark.parametrize(
    ("report", "status"),
    [
        ("1 failed, 79 passed.\n\nFAILED test_a.py::test_b", "failed"),
        ("1 error, 2 passed.", "failed"),
        ("2 passed.\npytest exited early (exit code 3).", "failed"),
        ("2 passed.\npytest did not end within 5 s and was killed.", "timeout"),
        ("1 file could not be collected, so no test ran.", "failed"),
        ("2 passed.\n\n1 failed before", "ok"),
    ],
)
def test_a_test_run_with_failures_is_not_shown_as_ok(report: str, status: str):
    lines = lines_of(turn(("run_tests", "{}")), ended(1, "run_tests", report))
    assert lines[1] == f"  {status:9} run_tests  {' '.join(report.split())}"


def test_a_failed_result_is_red_and_a_good_one_green():
    taken = turn(("run_shell", '{"command": "a"}'), ("run_shell", '{"command": "b"}'))
    lines = lines_of(taken, ended(1, "run_shell", "no\nexit code 1"), ended(2, "run_shell", "yes"), color=True)
    assert lines[2:] == ["  \x1b[31mexit 1   \x1b[0m run_shell a  no", "  \x1b[32mok       \x1b[0m run_shell b  yes"]


# Escape sequences, widths and colors.


@pytest.mark.parametrize("full", [False, True])
def test_colors_of_a_program_are_removed_and_not_shown_as_broken_characters(full: bool):
    text = "\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07 \x1b(B\x1b[?25l\x1b7 plain"
    lines = lines_of(turn(("run_shell", "{}")), ended(1, "run_shell", text), full=full)
    assert lines[1] == f"  ok        run_shell  red link {' ' if full else ''}plain"


def test_escape_sequences_in_a_tools_output_do_not_reach_the_terminal():
    out = io.StringIO()
    model = ScriptedModel([calls(("look", {"path": "evil"})), says("Done.")])
    Agent(model, tools=[look]).run_sync("Look.", observe=LiveView(out, full=True).show)
    assert "\x1b" not in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert "  ok        look\n             line one\n            line two\n" in out.getvalue()


def test_an_incomplete_sequence_is_replaced_and_one_made_by_removing_another_does_not_reach_the_terminal():
    text = "a\x1b\x1b[0m[2Jb \x1b]0;title\nc \x9b2Jd\x08"
    (line,) = lines_of(ended(1, "look", text))
    assert line == "  ok        look  a\ufffd[2Jb \ufffd]0;title c \ufffd2Jd\ufffd"


def test_lines_are_as_wide_as_the_terminal_and_the_duration_is_not_cut_away():
    result = ToolResult(tool_call_id="c1", name="look", content="word " * 100)
    slow = CallEnded(step=1, result=result, elapsed_s=2.5, fingerprint="")
    lines = lines_of(turn(("look", '{"path": "' + "x" * 100 + '"}')), slow, columns=60)
    assert lines == [
        '  calls     look {"path": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...',
        "  ok        look  word word word word word word ...  (2.5 s)",
    ]
    assert [len(line) for line in lines] == [60, 60]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "environ", "colored"),
    [
        (_Terminal(), {}, True),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"NO_COLOR": ""}, True),
        (io.StringIO(), {}, False),
    ],
)
def test_colors_are_written_only_to_a_terminal_and_not_if_no_color_is_set(
    out: io.StringIO, environ: Mapping[str, str], colored: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    LiveView(out).show(run_ended("finished"))
    assert out.getvalue() == (f"\x1b[32mfinished\x1b[0m  {TOTALS}\n" if colored else f"finished  {TOTALS}\n")


def test_a_terminals_width_is_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "50")
    out = _Terminal()
    LiveView(out, color=False).show(ended(1, "look", "x" * 200))
    assert len(out.getvalue()) == 51


# What else happens in a run.


def test_a_repair_is_shown():
    lines = shown([calls(("look", {"path": 5})), says("Done.")])
    assert [line for line in lines if line.startswith("  repaired")] == ["  repaired  look: number_to_string $.path"]


def test_a_re_ask_is_shown_with_the_tool_it_is_constrained_to():
    lines = shown([calls(("lok", {"path": "a"})), calls(("look", {"path": "a"})), says("Done.")])
    assert "  ladder    unknown_tool: re-asking, constrained to the schema" in lines
    assert "step 2  re-ask, effort none, constrained to look" in lines


def test_the_phase_that_begins_is_shown():
    lines = shown(
        [calls(("look", {"path": "a"})), calls(("look", {"path": "b"})), says("Done."), says("Done.")],
        ladder=Ladder(policy="phases", hold_steps=1),
    )
    assert [line for line in lines if line.startswith("  ladder")] == [
        "  ladder    now on rung 0, effort none: the plan is made",
        "  ladder    now on rung 2, effort high: before the work is handed in",
    ]


def test_climbing_is_shown():
    lines = shown([says("Done."), says("Done."), says("Done.")], verify=Verify(command="exit 7", attempts=2))
    assert "  verify    exit 7" in lines
    assert any(re.fullmatch(r"  verify    failed, exit 7 \(\d+\.\d s\)", line) for line in lines)
    assert "  ladder    verify_failed: climbing" in lines
    assert "  ladder    now on rung 2, effort high" in lines
    assert lines[-1].startswith("verify_failed  ")
    assert lines[-4:-2] == ["    Done.", "reason:"]


CHANGED = PrefixChanged(
    step=2, effort="high", prompt_tokens=10_927, cached_tokens=8_672, prefilled_tokens=2_255, source="engine"
)


def test_what_a_changed_prefix_costs_is_for_show_full_and_not_for_the_live_view():
    assert lines_of(CHANGED) == []
    assert lines_of(CHANGED, full=True) == ["  prefix    effort: prefilled 2,255 of 10,927 prompt tokens"]
    both = replace(CHANGED, because=("fold", "effort"), source="estimate")
    assert lines_of(both, full=True) == [
        "  prefix    fold, effort: prefilled 2,255 of 10,927 prompt tokens (estimated: the server does not report its "
        "cache)"
    ]


def test_a_prefix_that_changed_for_no_reason_is_always_shown():
    changed = replace(CHANGED, because=("unknown",), first_message=4)
    assert lines_of(changed) == [
        "  fault     the prompt changed from message 4 on, for no reason that is known: please report this with the "
        "journal of the run; prefilled 2,255 of 10,927 prompt tokens"
    ]


def test_a_silent_verification_is_not_shown_as_an_attempt():
    started = VerifyStarted(attempt=0, command="pytest -q")
    failed = VerifyEnded(attempt=0, ok=False, exit_code=1, output="E   assert 1\n1 failed in 0.10s\n", elapsed_s=0.5)
    passed = VerifyEnded(attempt=0, ok=True, exit_code=0, output="1 passed\n", elapsed_s=0.5)
    assert lines_of(started, failed, started, passed) == [
        "  verify    (silent) pytest -q",
        "  verify    (silent) failed, exit 1 (0.5 s): 1 failed in 0.10s",
        "  verify    (silent) pytest -q",
        "  verify    (silent) passed (0.5 s)",
    ]


@pytest.mark.parametrize(
    ("exit_code", "output", "text"),
    [
        (2, "", "failed, exit 2 (1.0 s)"),
        (-9, "killed\n", "failed, exit 137 (SIGKILL) (1.0 s): killed"),
        (-99, "", "failed, exit 227 (1.0 s)"),
        (None, "half\n", "failed, timeout (1.0 s): half"),
        (
            None,
            "The command could not be started in /w: No such file.",
            "failed, not started (1.0 s): The command could not be started in /w: No such file.",
        ),
    ],
)
def test_a_failed_verification_says_how_it_ended_and_its_last_line(exit_code: int | None, output: str, text: str):
    failed = VerifyEnded(attempt=1, ok=False, exit_code=exit_code, output=output, elapsed_s=1.0)
    assert lines_of(failed) == [f"  verify    {text}"]


def test_a_restored_attempt_says_where_its_changes_are_and_what_was_left_alone():
    renewed = ContextRenewed(
        step=3,
        prompt=UserMessage(content="Again."),
        restored=("a.py",),
        patch=".agent/attempts/1/changes.diff",
        conflicts=tuple(f"{number}.txt" for number in range(25)),
    )
    names = ", ".join(f"{number}.txt" for number in range(20))
    assert lines_of(renewed) == [
        "  ladder    fresh context with a summary, 1 path restored",
        "  saved     the changes that were undone are in .agent/attempts/1/changes.diff",
        f"  kept      not restored, because something else may have changed them: {names} and 5 more",
    ]
    kept = ContextRenewed(step=3, prompt=UserMessage(content="Again."), restored=())
    assert lines_of(kept) == ["  ladder    fresh context with a summary"]


def test_the_projects_instructions_are_named_at_the_start_of_a_run(tmp_path: Path):
    (tmp_path / "AGENTS.md").write_text("Use tabs.\n")
    lines = shown([says("Done.")], workspace=tmp_path)
    assert lines[1:5] == ["tools: look", f"workspace: {tmp_path}", "instructions: AGENTS.md", "task:"]


# The end of a run.


def test_the_final_answer_is_whole():
    answer = "\n".join(["Fixed:", "", *(f"- {number}: {LONG}" for number in range(30))])
    assert lines_of(run_ended("verified", answer=answer)) == [
        "answer:",
        "    Fixed:",
        "",
        *(f"    - {number}: {LONG.rstrip()}" for number in range(30)),
        f"verified  {TOTALS}",
    ]


def test_a_structured_result_is_whole_and_json():
    output: JsonValue = {"ü": [None, *range(20)]}
    lines = lines_of(run_ended("finished", answer="Done.", output=output))
    assert lines == [
        "result:",
        "    {",
        '      "ü": [',
        "        null,",
        *(f"        {number}{',' if number < 19 else ''}" for number in range(20)),
        "      ]",
        "    }",
        f"finished  {TOTALS}",
    ]


@pytest.mark.parametrize("status", ["stuck", "budget", "error"])
def test_a_run_that_was_given_up_shows_its_whole_reason(status: str):
    reason = "the ladder has no rung left after tool_error: " + "\n".join(f"{number} {LONG}" for number in range(30))
    assert lines_of(run_ended(status, answer="I tried.", reason=reason)) == [
        "last text:",
        "    I tried.",
        "reason:",
        *(f"    {line.rstrip()}" for line in reason.splitlines()),
        f"{status}  {TOTALS}",
    ]


def test_a_failed_verification_shows_the_end_of_its_output():
    output = "\n".join(str(number) for number in range(100))
    reason = f"the verification failed on the last attempt (3); its output:\n{output}"
    lines = lines_of(run_ended("verify_failed", answer="Done.", reason=reason))
    assert lines[:6] == [
        "answer:",
        "    Done.",
        "reason:",
        "    the verification failed on the last attempt (3); its output:",
        "    0",
        "    ... 89 more lines",
    ]
    assert lines[6:] == [*(f"    {number}" for number in range(90, 100)), f"verify_failed  {TOTALS}"]


def test_no_name_forges_a_line_at_the_start_of_a_run(tmp_path: Path):
    folder = tmp_path / "a\nverified  2 steps"
    folder.mkdir()
    lines = shown([says("Done.")], workspace=folder)
    assert f'workspace: "{tmp_path}/a\\nverified  2 steps"' in lines
    assert not [line for line in lines if line.startswith("verified")]
