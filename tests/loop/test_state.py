"""The state of a run, computed from its events: assessed turns, pending actions, resumed runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Ladder, Limits, ToolError, tool
from agent.journal.events import (
    CallEnded,
    CallStarted,
    Event,
    Fault,
    Moved,
    Progressed,
    Rejected,
    Replied,
    Resumed,
    RunEnded,
    RunStarted,
    Said,
    Triggered,
    TurnTaken,
    VerifyEnded,
)
from agent.journal.journal import read_journal
from agent.loop.pending import (
    ApplyVerification,
    ChangeRung,
    EndAsStuck,
    RecordFailure,
    RecordProgress,
    RenewContext,
    SendFeedback,
)
from agent.loop.state import RunState
from agent.messages import AssistantMessage, Reply, ToolCall, ToolResult, ToolStatus, UserMessage
from agent.model.profiles import MISTRAL
from agent.policy.budget import Spent
from agent.policy.escalation import Position
from agent.testing import ScriptedModel, calls, says

START = RunStarted(
    run="r1",
    at="2026-11-23T12:00:00+00:00",
    task={},
    base_url="http://x/v1",
    model="m",
    profile="mistral",
    window_tokens=None,
    ladder=Ladder(),
    limits=Limits(),
    tools=("look",),
    tools_digest="",
    system="Be good.",
    prompt=UserMessage(content="Work."),
    workspace="/w",
    snapshot=None,
)
LADDER = Ladder()


def state_of(*events: Event, ladder: Ladder = LADDER) -> RunState:
    state = RunState(replace(START, ladder=ladder), MISTRAL)
    for event in events:
        state.apply(event)
    return state


def step(number: int, *fingerprints: str, status: ToolStatus = "ok", faults: tuple[Fault, ...] = ()) -> list[Event]:
    """Return the events of a turn whose calls ended with these fingerprints."""
    made = [
        ToolCall(id=f"call{number:03}{place:02}", name="look", arguments="{}") for place in range(len(fingerprints))
    ]
    ended = [ToolResult(tool_call_id=call.id, name="look", content="x", status=status) for call in made]
    return [
        TurnTaken(
            step=number,
            turn=AssistantMessage(content="so", tool_calls=tuple(made)),
            reasoning_field="reasoning",
            faults=faults,
        ),
        *[CallStarted(step=number, tool_call_id=call.id, tool="look", arguments="{}") for call in made],
        *[
            CallEnded(step=number, result=result, elapsed_s=0.0, fingerprint=fingerprint)
            for result, fingerprint in zip(ended, fingerprints, strict=True)
        ],
    ]


FAULT = Fault(trigger="unknown_tool", signature="lok {}")
REPEATED = RecordFailure(trigger="repeat", reason="the same call gave the same result again")
ERROR = RecordFailure(trigger="tool_error", reason="a tool reported an error")


@pytest.mark.parametrize(
    ("events", "action"),
    [
        (step(1, "p"), RecordProgress()),
        ([*step(1, "p"), *step(2, "p")], REPEATED),
        ([*step(1, "p"), *step(2, "q"), *step(3, "p")], None),
        ([*step(1, "p", "q"), *step(2, "p")], None),
        ([*step(1, "p"), *step(2, "p", "q")], RecordProgress()),
        (step(1, "p", status="error"), ERROR),
        (step(1, "p", status="timeout"), ERROR),
        (step(1, "", status="interrupted"), None),
        ([*step(1, "", status="interrupted"), *step(2, "", status="interrupted")], None),
        (
            [*step(1, "p"), *step(2, "p", faults=(FAULT,))],
            RecordFailure(trigger="unknown_tool", reason="a call could not be executed"),
        ),
        (step(1, "p", faults=(FAULT,)), RecordProgress()),
        (
            [*step(1, "p", "q"), *[event for n in range(2, 6) for event in step(n, "p", "q")]],
            RecordFailure(trigger="no_progress", reason="4 steps brought nothing new"),
        ),
    ],
)
def test_a_finished_turn_sets_the_pending_action(events: list[Event], action: object):
    assert state_of(*events).pending_action == action


def test_a_turn_is_open_until_every_call_has_its_result():
    first, second, *rest = step(1, "p", "q")
    open_state = state_of(first, second, *rest[:2])

    assert (open_state.open_ids(), open_state.pending_action, len(open_state.history.messages)) == (
        ["call00101"],
        None,
        2,
    )
    closed = state_of(first, second, *rest)
    assert (closed.open_ids(), closed.open_turn, len(closed.history.messages)) == ((), None, 5)
    assert closed.spent.tool_calls == 2


# From one event of a step to the next.

EMPTY = Rejected(step=1, trigger="empty_reply", tool="", reason="empty", raw="", say="Speak.")
STAYED = Triggered(step=1, trigger="empty_reply", action="stay", reason="empty")
MOVED_UP = Moved(step=1, rung=2, effort="high", switches_effort=True)
FRESH = Moved(step=1, rung=3, effort="high", switches_effort=False)
VERIFIED = VerifyEnded(attempt=1, ok=False, exit_code=1, output="x", elapsed_s=0.1, say="It failed.")


def test_a_rejected_reply_is_reported_to_the_ladder_and_then_to_the_model():
    assert state_of(EMPTY).pending_action == RecordFailure(trigger="empty_reply", reason="empty", feedback="Speak.")
    assert state_of(EMPTY, STAYED).pending_action == SendFeedback(text="Speak.")
    assert state_of(EMPTY, STAYED, Said(message=UserMessage(content="Speak."))).pending_action is None


def test_a_climb_is_pending_until_the_rung_has_changed():
    climbing = state_of(EMPTY, STAYED, EMPTY, replace(STAYED, action="climb"))
    moved = state_of(EMPTY, STAYED, EMPTY, replace(STAYED, action="climb"), MOVED_UP)

    assert isinstance(climbing.pending_action, ChangeRung)
    assert (
        climbing.pending_action.move.to,
        climbing.pending_action.feedback,
        climbing.effort,
        climbing.switch_cost_unknown,
    ) == (
        2,
        "Speak.",
        "high",
        False,
    )
    assert (moved.pending_action, moved.switch_cost_unknown) == (SendFeedback(text="Speak."), True)


def test_a_rung_with_a_fresh_context_renews_the_context_instead_of_sending_feedback():
    climbed = [EMPTY, STAYED, EMPTY, replace(STAYED, action="climb"), MOVED_UP]
    state = state_of(*climbed, EMPTY, STAYED, EMPTY, replace(STAYED, action="climb"), FRESH)

    assert state.pending_action == RenewContext(reason="empty")


def test_at_the_end_of_the_ladder_the_run_ends_as_stuck():
    ladder = Ladder(rungs=LADDER.rungs[:1], triggers={"empty_reply": 1})

    assert state_of(EMPTY, replace(STAYED, action="stop"), ladder=ladder).pending_action == EndAsStuck(
        trigger="empty_reply", reason="empty"
    )


def test_a_verification_is_applied_and_its_feedback_is_sent_to_the_model():
    climb = Triggered(step=1, trigger="verify_failed", action="climb", reason="It failed.")

    assert state_of(VERIFIED).pending_action == ApplyVerification(result=VERIFIED)
    assert state_of(VERIFIED, climb, MOVED_UP).pending_action == SendFeedback(text="It failed.")


def test_recorded_progress_clears_the_action_and_counts_on_the_ladder():
    assert state_of(*step(1, "p"), Progressed(step=1)).pending_action is None
    assert state_of(*step(1, "p"), Progressed(step=1)).position == Position(good_steps=1)


# Replies.


def replied(*, reask: bool) -> Replied:
    return Replied(step=1, rung=0, reply=Reply(content="x"), max_tokens=9, wire_bytes=9, elapsed_s=0.5, reask=reask)


def test_a_reask_reply_is_kept_beside_the_pending_reply():
    state = state_of(replied(reask=False), replied(reask=True))

    assert (state.pending_reply, state.reask_reply) == (replied(reask=False), replied(reask=True))
    assert (state.spent.steps, state.spent.wall_s) == (2, 1.0)
    state.apply(step(1)[0])
    assert (state.pending_reply, state.reask_reply) == (None, None)


# Resuming.


@pytest.mark.parametrize(
    ("status", "position"),
    [
        ("stuck", Position()),
        ("verify_failed", Position()),
        ("budget", Position(counts={"empty_reply": 1})),
        ("error", Position(counts={"empty_reply": 1})),
        ("interrupted", Position(counts={"empty_reply": 1})),
    ],
)
def test_a_resumed_run_that_gave_up_starts_over_on_the_ladder(status: Any, position: Position):
    ended = RunEnded(status=status, reason="", answer="", output=None, spent=Spent(steps=7, wall_s=3.0))
    state = state_of(EMPTY, STAYED, ended, Resumed(wall_s=3.0, limits=Limits(steps=99)))

    assert (state.ended, state.position, state.spent, state.limits.steps) == (None, position, ended.spent, 99)


async def test_the_state_computed_from_the_journal_equals_the_state_of_the_run(tmp_path: Path):
    @tool
    def look(at: int) -> str:
        """Look."""
        if at > 3:
            msg = "too far"
            raise ToolError(msg)
        return f"saw {at}"

    script = [
        calls(("look", {"at": 1}), ("look", {"at": 9}), reasoning="Hm."),
        says(""),
        calls(("look", {"at": "x"})),
        calls(("look", {"at": "x"})),
        calls(("look", {"at": 1}), ("look", {"at": 1})),
        *[calls(("look", {"at": number})) for number in range(4)],
        says("Done."),
    ]
    seen: list[Event] = []
    outcome = await Agent(ScriptedModel(script), tools=[look], runs=tmp_path).run("Go.", observe=seen.append)

    assert outcome.outcome == "finished"
    assert outcome.journal is not None
    events = read_journal(outcome.journal)
    assert list(events) == seen
    state = RunState(seen[0], MISTRAL) if isinstance(seen[0], RunStarted) else None
    assert state is not None
    for event in events[1:]:
        state.apply(event)
    assert tuple(state.history.messages) == outcome.messages
    assert (state.spent, state.answer, state.pending_action) == (outcome.usage, "Done.", None)
    assert [json.loads(message)["role"] for message in state.history.wire][:3] == ["system", "user", "assistant"]
