"""The state of a run, computed from its events: assessed turns, pending actions, resumed runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from agent import Agent, Ladder, Limits, Rung, ToolError, tool
from agent.journal.events import (
    CallEnded,
    CallStarted,
    Event,
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
from agent.journal.turn_events import Fault
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
from agent.model.profiles import MISTRAL, POCKET, Profile
from agent.policy.budget import Spent
from agent.policy.escalation import Position
from agent.policy.ladder import Trigger
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


def state_of(*events: Event, ladder: Ladder = LADDER, profile: Profile = MISTRAL) -> RunState:
    state = RunState(replace(START, ladder=ladder), profile)
    for event in events:
        state.apply(event)
    return state


def step(
    number: int,
    *fingerprints: str,
    status: ToolStatus = "ok",
    faults: tuple[Fault, ...] = (),
    read_only: bool = False,
    failing: tuple[str, ...] = (),
) -> list[Event]:
    """Return the events of a turn whose calls ended with these fingerprints; those in `failing` with an error."""
    made = [
        ToolCall(id=f"call{number:03}{place:02}", name="look", arguments="{}") for place in range(len(fingerprints))
    ]
    ended = [
        ToolResult(tool_call_id=call.id, name="look", content="x", status="error" if found in failing else status)
        for call, found in zip(made, fingerprints, strict=True)
    ]
    return [
        TurnTaken(
            step=number,
            turn=AssistantMessage(content="so", tool_calls=tuple(made)),
            faults=faults,
        ),
        *[
            CallStarted(step=number, tool_call_id=call.id, tool="look", arguments="{}", read_only=read_only)
            for call in made
        ],
        *[
            CallEnded(step=number, result=result, elapsed_s=0.0, fingerprint=fingerprint)
            for result, fingerprint in zip(ended, fingerprints, strict=True)
        ],
    ]


FAULT = Fault(trigger="unknown_tool", signature="lok {}")
REPEATED = RecordFailure(trigger="repeat", reason="the same call gave the same result again")
ERROR = RecordFailure(trigger="tool_error", reason="a tool reported an error (look: x)")
INVALID = RecordFailure(trigger="unknown_tool", reason="a call could not be executed")


def steps(*turns: tuple[str, ...], read_only: bool = True) -> list[Event]:
    """Return the events of successful turns, each with its fingerprints."""
    return [event for at, turn in enumerate(turns, start=1) for event in step(at, *turn, read_only=read_only)]


@pytest.mark.parametrize(
    ("events", "action"),
    [
        (step(1, "p"), RecordProgress()),
        # Repetitions: of one call, of a cycle, of a part of an earlier turn.
        (steps(("p",), ("p",)), REPEATED),
        (steps(("p",), ("p",), read_only=False), REPEATED),
        (steps(("p",), ("q",), ("p",)), REPEATED),
        (steps(("p", "q"), ("p",)), REPEATED),
        (steps(("p",), ("p", "q")), RecordProgress()),
        # A call that may write has had a new effect in between, so the same call could have given something else.
        (steps(("p",), ("q",), ("p",), read_only=False), None),
        (steps(("p",), ("q",), ("p",), ("q",), read_only=False), REPEATED),
        ([*step(1, "p", read_only=True), *step(2, "edit"), *step(3, "p", read_only=True)], None),
        # Errors: alone, and beside something new.
        (step(1, "p", status="error"), ERROR),
        (step(1, "p", status="timeout"), ERROR),
        (step(1, "p", "e", failing=("e",)), RecordProgress()),
        ([*step(1, "p", "e", failing=("e",)), *step(2, "p", "f", failing=("f",))], ERROR),
        (step(1, "", status="interrupted"), None),
        ([*step(1, "", status="interrupted"), *step(2, "", status="interrupted")], None),
        ([*step(1, "p"), *step(2, "p", faults=(FAULT,))], INVALID),
        (step(1, "p", faults=(FAULT,)), RecordProgress()),
        (
            [*step(1, "p"), *[event for n in range(2, 6) for event in step(n, "", status="interrupted")]],
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
    assert (closed.open_ids(), closed.open_turn, len(closed.history.messages)) == ([], None, 5)
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
    ) == (
        2,
        "Speak.",
        "high",
    )
    assert moved.pending_action == SendFeedback(text="Speak.")


def test_a_rung_with_a_fresh_context_renews_the_context_instead_of_sending_feedback():
    climbed = [EMPTY, STAYED, EMPTY, replace(STAYED, action="climb"), MOVED_UP]
    state = state_of(*climbed, EMPTY, STAYED, EMPTY, replace(STAYED, action="climb"), FRESH)

    assert state.pending_action == RenewContext(trigger="empty_reply", reason="empty", may_restore=False)


@pytest.mark.parametrize(
    ("trigger", "restore", "may_restore"),
    [
        ("verify_failed", "verify_failed", True),
        ("verify_failed", "any", True),
        ("empty_reply", "verify_failed", False),
        ("empty_reply", "any", True),
    ],
)
def test_only_a_failed_verification_or_a_rung_that_says_any_may_restore_files(
    trigger: Trigger, restore: Literal["verify_failed", "any"], may_restore: bool
):
    ladder = Ladder(
        rungs=(Rung(), Rung(fresh_context=True, restore=restore)), triggers={"empty_reply": 1, "verify_failed": 1}
    )
    failure = VERIFIED if trigger == "verify_failed" else EMPTY
    climbed = Triggered(step=1, trigger=trigger, action="climb", reason="why")
    state = state_of(failure, climbed, Moved(step=1, rung=1, effort=None, switches_effort=False), ladder=ladder)

    assert state.pending_action == RenewContext(trigger=trigger, reason="why", may_restore=may_restore)


CLIMBS = {
    "tool_error": (
        "Several steps in a row failed; the last: a tool reported an error (look: x). Find out why before you try "
        "again: look at the files and the exact message, then act."
    ),
    "repeat": (
        "You are repeating calls whose results you already have, and nothing has changed in between. Think again about "
        "what you know, then do something new: make the next change, test it, or give your answer."
    ),
    "no_progress": (
        "Your last steps brought nothing new. Think again about what you know and what is missing, then take a step "
        "that can bring it, or give your answer."
    ),
}
CLIMBING: dict[str, list[Event]] = {
    "tool_error": step(1, "p", status="error"),
    "repeat": steps(("p",), ("p",)),
    "no_progress": [event for n in range(1, 5) for event in step(n, "", status="interrupted")],
}


@pytest.mark.parametrize("trigger", CLIMBS)
def test_a_climb_says_to_the_model_what_happened_and_what_is_expected_now(trigger: Trigger):
    """The pocket model, which was trained without such messages, still gets none."""
    ladder = replace(LADDER, triggers={trigger: 1})
    reached = state_of(*CLIMBING[trigger], ladder=ladder).pending_action
    assert isinstance(reached, RecordFailure)
    climb = [Triggered(step=1, trigger=trigger, action="climb", reason=reached.reason), MOVED_UP]

    assert state_of(*CLIMBING[trigger], *climb, ladder=ladder).pending_action == SendFeedback(text=CLIMBS[trigger])
    assert state_of(*CLIMBING[trigger], *climb, ladder=ladder, profile=POCKET).pending_action is None


@pytest.mark.parametrize(
    ("events", "action"),
    [
        (steps(("p",), ("p",)), REPEATED),
        (steps(("p",), ("q",), ("p",)), None),
        (steps(("p", "q"), ("p",)), None),
        (step(1, "p", "e", failing=("e",)), RecordProgress()),
    ],
)
def test_the_pocket_model_repeats_only_the_one_call_before(events: list[Event], action: object):
    assert state_of(*events, profile=POCKET).pending_action == action


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

    assert (state.ended, state.position, state.spent, state.budget.own.steps) == (None, position, ended.spent, 99)


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

    assert outcome.status == "finished"
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
