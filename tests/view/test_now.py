"""What a run does right now: the reply as it streams, its calls, and what it has used."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent import Ladder, Limits
from agent.events import (
    CallDelta,
    CallEnded,
    CallStarted,
    Event,
    ReasoningDelta,
    Replied,
    Requested,
    Retried,
    RunStarted,
    TextDelta,
    VerifyEnded,
    VerifyStarted,
)
from agent.messages import Reply, ToolResult, Usage, UserMessage
from agent.view.now import Now

STARTED = RunStarted(
    run="r", at="2026-11-29T12:00:00+00:00", task={}, base_url="http://127.0.0.1:1/v1", model="m", profile="mistral",
    window_tokens=16_384, ladder=Ladder(), limits=Limits(steps=60, wall_s=None, output_tokens=9_000), tools=(),
    tools_digest="", system="", prompt=UserMessage(content="Go."), workspace="/w", snapshot=None,
)  # fmt: skip
ASKED = Requested(step=3, rung=0, effort="high", constrained=None, max_tokens=9, prompt_tokens=9, wall_s=0.0)


def shown(*events: Event | tuple[str, str], at_s: float = 30.0, columns: int = 60, rows: int = 6) -> Sequence[str]:
    """Return the lines after these events and parts of a reply, one of them a second."""
    now = Now()
    for second, event in enumerate((STARTED, *events)):
        match event:
            case ("reasoning", text):
                now.add(ReasoningDelta(text=text), second)
            case ("text", text):
                now.add(TextDelta(text=text), second)
            case (name, arguments):
                now.add(CallDelta(index=0, name=name, arguments=arguments), second)
            case _:
                now.apply(event, second)
    return [f"{line.label}: {line.text}" for line in now.lines(columns=columns, rows=rows, now_s=at_s)]


def replied(**usage: int) -> Replied:
    return Replied(step=3, rung=0, reply=Reply(usage=Usage(**usage)), max_tokens=9, wire_bytes=9, elapsed_s=1.0)


def test_the_time_that_the_engine_reads_the_prompt_is_shown():
    assert shown(ASKED)[0] == "reading: 29 s"


def test_the_end_of_the_reasoning_is_shown_as_it_streams():
    lines = shown(ASKED, ("reasoning", "one two three "), ("reasoning", "four five\nsix"), columns=10, rows=4)
    assert lines == ["thinking: 29 s (0 tokens/s)", ": five", ": six", "run: step 3/..."]


def test_the_answer_takes_the_place_of_the_reasoning():
    assert shown(ASKED, ("reasoning", "Hm."), ("text", "It is 5."))[:2] == ["writing: 29 s (0 tokens/s)", ": It is 5."]


def test_a_call_is_shown_while_it_is_written():
    assert shown(ASKED, ("read_file", '{"path":'), ("", ' "a"}'))[1] == ': read_file {"path": "a"}'


def test_what_was_shown_of_a_reply_that_failed_is_gone():
    retried = Retried(step=3, attempt=1, wait_s=4.0, reason="no answer\nat all")
    assert shown(ASKED, ("text", "It"), retried)[0] == "waiting: 4 s: no answer at all 27 s"


def test_running_calls_are_shown_with_their_main_arguments_and_seconds():
    given = '{"command": "sleep 9", "timeout_s": 10}'
    begun = CallStarted(step=3, tool_call_id="c1", tool="run_shell", arguments=given)
    result = ToolResult(tool_call_id="c1", name="run_shell", content="x", status="ok")
    ended = CallEnded(step=3, result=result, elapsed_s=1.0, fingerprint="f")
    assert shown(ASKED, replied(), begun)[0] == "running: run_shell sleep 9 10 27 s"
    assert shown(ASKED, replied(), begun, ended)[0].startswith("run: ")


def test_a_verification_is_shown_while_it_runs():
    begun = VerifyStarted(attempt=1, command="pytest -q\nmore")
    ended = VerifyEnded(attempt=1, ok=False, exit_code=1, output="", elapsed_s=1.0, say="")
    assert shown(ASKED, replied(), begun)[0] == "verifying: pytest -q more 27 s"
    assert shown(ASKED, replied(), begun, ended)[0].startswith("run: ")


def test_what_is_used_stands_beside_its_limit():
    lines = shown(ASKED, replied(prompt_tokens=8_120, completion_tokens=204), at_s=64.5, columns=200)
    assert lines == ["run: step 3/60, effort high, 1:04, output 204/9,000, prompt 8,120/16k"]


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_no_more_rows_are_drawn_than_there_are(rows: int):
    lines = shown(ASKED, ("reasoning", "line\n" * 500), rows=rows)
    assert len(lines) <= rows
    assert lines[-1].startswith("run: ")


def test_sequences_that_move_the_cursor_are_not_drawn():
    assert shown(ASKED, ("text", "a\x1b[2Jb\x07"))[1] == ": ab\N{REPLACEMENT CHARACTER}"
