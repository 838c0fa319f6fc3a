"""The ladder as a state machine: every trigger, threshold and rung, and that it always ends."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import ConfigError, Ladder, Rung
from agent.messages import Effort
from agent.model.profiles import GENERIC, MISTRAL, POCKET
from agent.policy.branches import branch_ladder, plan_branches
from agent.policy.escalation import (
    Decision,
    Move,
    Position,
    ReAsk,
    Stay,
    Stop,
    before_feedback,
    can_branch,
    current,
    current_index,
    failed,
    handing_in,
    progressed,
    start,
)
from agent.policy.ladder import CALL_TRIGGERS, Policy, Trigger

TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
DEFAULT = Ladder()
NONE, CONSTRAINED, HIGH, FRESH = DEFAULT.rungs
BOTTOM = Position()
AT_HIGH = Position(rung=2, effort_switches=1)
AT_TOP = Position(rung=3, effort_switches=1, pinned=True)
TO_HIGH = Move(to=2, rung=HIGH, switches_effort=True)
TO_FRESH = Move(to=3, rung=FRESH, switches_effort=False)
TO_BOTTOM = Move(to=0, rung=NONE, switches_effort=True)


def fail(ladder: Ladder, position: Position, *triggers: Trigger) -> Decision:
    decision = Decision(position=position, action=Stay())
    for trigger in triggers:
        decision = failed(ladder, decision.position, trigger)
    return decision


def work(ladder: Ladder, position: Position, steps: int) -> Decision:
    decision = Decision(position=position, action=Stay())
    for _ in range(steps):
        decision = progressed(ladder, decision.position)
    return decision


def test_the_default_ladder_matches_the_design():
    assert DEFAULT.rungs == (
        Rung(effort="none"),
        Rung(effort="none", constrained=True),
        Rung(effort="high"),
        Rung(effort="high", fresh_context=True),
    )
    assert set(DEFAULT.triggers) == set(TRIGGERS)
    assert MISTRAL.ladder == DEFAULT


def test_only_the_pocket_models_ladder_restores_files_for_more_than_a_failed_verification():
    ladders = {profile.name: [rung.restore for rung in profile.ladder.rungs] for profile in (MISTRAL, GENERIC, POCKET)}
    assert ladders == {
        "mistral": ["verify_failed"] * 4,
        "generic": ["verify_failed"] * 3,
        "pocket": ["verify_failed", "verify_failed", "any", "any"],
    }


@pytest.mark.parametrize(
    ("trigger", "threshold"),
    [
        ("invalid_call", 1), ("unknown_tool", 1), ("tool_error", 3), ("repeat", 2), ("no_progress", 1),
        ("empty_reply", 2), ("truncated", 2), ("answer_in_reasoning", 2), ("verify_failed", 1),
    ],
)  # fmt: skip
def test_each_trigger_climbs_at_its_threshold_and_stays_below_it(trigger: Trigger, threshold: int):
    assert DEFAULT.triggers[trigger] == threshold
    actions = [fail(DEFAULT, BOTTOM, *[trigger] * count).action for count in range(1, threshold + 1)]
    assert actions == [*[Stay()] * (threshold - 1), TO_HIGH]


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_from_high_every_trigger_leads_to_a_fresh_context_and_from_there_to_the_end(trigger: Trigger):
    often = [trigger] * DEFAULT.triggers[trigger]
    assert fail(DEFAULT, AT_HIGH, *often).action == TO_FRESH
    # The ladder does not limit how often work is submitted.
    end = Stay() if trigger == "verify_failed" else Stop(trigger=trigger)
    assert fail(DEFAULT, AT_TOP, *often).action == end


def test_failures_of_different_kinds_are_counted_separately():
    decision = fail(DEFAULT, BOTTOM, "tool_error", "tool_error", "repeat", "empty_reply", "truncated")

    assert decision.action == Stay()
    assert decision.position.counts == {"tool_error": 2, "repeat": 1, "empty_reply": 1, "truncated": 1}


def test_progress_clears_all_failures_but_a_failed_verification():
    ladder = Ladder(triggers={"tool_error": 3, "verify_failed": 2})
    position = fail(ladder, BOTTOM, "tool_error", "tool_error", "verify_failed").position

    assert work(ladder, position, 1).position.counts == {"verify_failed": 1}


def test_a_climb_clears_all_counts():
    assert fail(DEFAULT, BOTTOM, "tool_error", "tool_error", "no_progress").position == AT_HIGH


def test_an_omitted_trigger_never_moves_the_run():
    ladder = Ladder(triggers={})

    for trigger in TRIGGERS:
        assert fail(ladder, BOTTOM, *[trigger] * 50).action == Stay()


# Coming down.


@pytest.mark.parametrize("hold_steps", [1, 2, 4])
def test_the_effort_is_held_until_enough_steps_brought_progress(hold_steps: int):
    ladder = Ladder(hold_steps=hold_steps)
    actions = [work(ladder, AT_HIGH, steps).action for steps in range(1, hold_steps + 1)]

    assert actions == [*[Stay()] * (hold_steps - 1), TO_BOTTOM]


def test_a_failure_restarts_the_hold():
    position = work(DEFAULT, AT_HIGH, 3).position
    position = fail(DEFAULT, position, "tool_error").position

    assert work(DEFAULT, position, 3).action == Stay()
    assert work(DEFAULT, position, 4).action == TO_BOTTOM


def test_at_the_bottom_progress_does_not_move_the_run():
    assert work(DEFAULT, BOTTOM, 100).action == Stay()


@pytest.mark.parametrize(("max_switches", "comes_down"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_run_comes_down_only_within_the_allowed_switches(max_switches: int, comes_down: bool):
    ladder = Ladder(max_effort_switches=max_switches)

    assert work(ladder, AT_HIGH, 4).action == (TO_BOTTOM if comes_down else Stay())


def test_failures_move_the_run_up_beyond_the_allowed_switches():
    ladder = Ladder(max_effort_switches=0)

    assert fail(ladder, BOTTOM, "no_progress").action == TO_HIGH


def test_up_down_and_up_again_is_the_last_change_of_effort():
    down = work(DEFAULT, fail(DEFAULT, BOTTOM, "no_progress").position, 4).position
    up = fail(DEFAULT, down, "no_progress")

    assert (down.rung, down.effort_switches) == (0, 2)
    assert (up.action, up.position.effort_switches) == (TO_HIGH, 3)
    assert work(DEFAULT, up.position, 50).action == Stay()


def test_a_failed_verification_pins_the_run_to_the_rung_it_climbs_to():
    position = fail(DEFAULT, BOTTOM, "verify_failed").position

    assert position == Position(rung=2, effort_switches=1, pinned=True)
    assert work(DEFAULT, position, 50).action == Stay()


def test_a_fresh_context_pins_the_run():
    position = fail(DEFAULT, AT_HIGH, "no_progress").position

    assert position == Position(rung=3, effort_switches=1, pinned=True)
    assert work(DEFAULT, position, 50).action == Stay()


# The constrained re-ask.


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_only_broken_calls_are_re_asked(trigger: Trigger):
    decision = before_feedback(DEFAULT, BOTTOM, trigger)

    if trigger in CALL_TRIGGERS:
        assert decision == Decision(position=Position(reasks=1), action=ReAsk(rung=CONSTRAINED))
    else:
        assert decision == Decision(position=BOTTOM, action=Stay())


def test_after_the_last_reask_of_a_run_the_constrained_rung_is_skipped():
    ladder = Ladder(max_reasks=2)

    assert before_feedback(ladder, Position(reasks=1), "invalid_call").action == ReAsk(rung=CONSTRAINED)
    assert before_feedback(ladder, Position(reasks=2), "invalid_call").action == Stay()
    assert before_feedback(Ladder(max_reasks=0), BOTTOM, "unknown_tool").action == Stay()


@pytest.mark.parametrize("position", [AT_HIGH, AT_TOP])
def test_past_the_constrained_rung_the_current_one_is_constrained(position: Position):
    assert before_feedback(DEFAULT, position, "invalid_call").action == ReAsk(
        rung=Rung(effort="high", constrained=True)
    )


def test_a_ladder_without_a_constrained_rung_never_re_asks():
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="high")))

    assert before_feedback(ladder, BOTTOM, "invalid_call").action == Stay()


@pytest.mark.parametrize(("named", "asked"), [(None, "none"), ("none", "none"), ("high", "high")])
def test_a_reask_keeps_the_effort_of_the_run_unless_its_rung_sets_another(named: Effort | None, asked: Effort):
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort=named, constrained=True), Rung(effort="high")))

    assert before_feedback(ladder, BOTTOM, "invalid_call").action == ReAsk(rung=Rung(effort=asked, constrained=True))


def test_the_generic_ladder_climbs_from_plain_to_a_fresh_context_without_any_effort():
    ladder = GENERIC.ladder
    climb = fail(ladder, BOTTOM, "invalid_call")

    assert before_feedback(ladder, BOTTOM, "invalid_call").action == ReAsk(rung=Rung(constrained=True))
    assert climb.action == Move(to=2, rung=Rung(fresh_context=True), switches_effort=False)
    assert climb.position == Position(rung=2, pinned=True)
    assert fail(ladder, climb.position, "no_progress").action == Stop(trigger="no_progress")


# Invalid ladders.


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rungs": ()}, "A ladder needs at least one rung, such as {effort: none}."),
        (
            {"rungs": (Rung(constrained=True),)},
            "The first rung of a ladder cannot be constrained: there is no broken call yet. Put an unconstrained rung "
            "before it.",
        ),
        (
            {"triggers": {"repeat": 0}},
            "The threshold of `repeat` is 0; it must be 1 or more. To disable it, leave it out.",
        ),
        ({"hold_steps": 0}, "`hold_steps` is 0; it must be 1 or more."),
        ({"no_progress_steps": 0}, "`no_progress_steps` is 0; it must be 1 or more."),
        ({"max_reasks": -1}, "`max_reasks` is -1; it must be 0 or more."),
        ({"max_effort_switches": -1}, "`max_effort_switches` is -1; it must be 0 or more."),
        ({"triggers": {"repeat": None}}, "`ladder.triggers.repeat` is None. Leave it out to disable it."),
        ({"triggers": {"repeat": "2"}}, "`ladder.triggers.repeat` is '2', of type str. Give a number."),
        (
            {"triggers": ["repeat"]},
            "`ladder.triggers` is ['repeat']. Give thresholds by trigger, such as {'repeat': 2}.",
        ),
        ({"triggers": None}, "`ladder.triggers` is None. Give thresholds by trigger, such as {'repeat': 2}."),
        (
            {"policy": "phases", "rungs": (Rung(effort="none"), Rung(effort="high", constrained=True))},
            "`policy: phases` needs two efforts, but every rung that can be used has the effort none. Give the rungs "
            "two efforts of the model, or use `policy: failures`.",
        ),
        (
            {"policy": "both", "rungs": (Rung(), Rung(fresh_context=True))},
            "`policy: both` needs two efforts, but every rung that can be used has no effort. Give the rungs two "
            "efforts of the model, or use `policy: failures`.",
        ),
        (
            {"rungs": (Rung(branch=2),)},
            "The first rung of a ladder cannot branch: nothing has failed yet. Put a rung before it, such as "
            "{effort: none}.",
        ),
        (
            {"rungs": (Rung(), Rung(branch=2), Rung(fresh_context=True))},
            "Only the last rung of a ladder can branch: nothing comes after it. Move it to the end.",
        ),
        ({"policy": "phase"}, "`ladder.policy` cannot be 'phase'. Did you mean `phases`?"),
        ({"hold_steps": None}, "`ladder.hold_steps` is None. Give a number."),
        ({"rungs": None}, "`ladder.rungs` is None. Give rungs, such as [Rung(effort='none')]."),
        (
            {"rungs": ({"effort": "none"},)},
            "`ladder.rungs` is ({'effort': 'none'},). Give rungs, such as [Rung(effort='none')].",
        ),
    ],
)
def test_an_invalid_ladder_is_refused(settings: dict[str, object], text: str):
    with pytest.raises(ConfigError) as caught:
        Ladder(**settings)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"branch": 1}, "`branch` is 1. Give 2 to 16 attempts, or 0 for none."),
        ({"branch": 17}, "`branch` is 17. Give 2 to 16 attempts, or 0 for none."),
        ({"branch": "2"}, "`rung.branch` is '2', of type str. Give a number."),
        (
            {"branch": 2, "fresh_context": True},
            "A rung with `branch` begins new conversations: leave out `constrained` and `fresh_context`.",
        ),
    ],
)
def test_an_invalid_rung_is_refused(settings: dict[str, Any], text: str):
    with pytest.raises(ConfigError) as caught:
        Rung(**settings)
    assert str(caught.value) == text


# Branches: the last rung, once.

BRANCHES = Rung(branch=4)
BRANCHING = replace(DEFAULT, rungs=(*DEFAULT.rungs, BRANCHES))
TO_BRANCHES = Move(to=4, rung=BRANCHES, switches_effort=False)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_from_the_last_other_rung_every_trigger_leads_to_the_branches(trigger: Trigger):
    decision = fail(BRANCHING, AT_TOP, *[trigger] * BRANCHING.triggers[trigger])
    assert decision.action == TO_BRANCHES
    assert not can_branch(BRANCHING, decision.position)


@pytest.mark.parametrize("position", [BOTTOM, AT_HIGH, AT_TOP])
def test_after_the_last_verification_the_run_branches_from_any_rung(position: Position):
    assert can_branch(BRANCHING, position)
    assert not can_branch(DEFAULT, position)
    decision = failed(BRANCHING, position, "verify_failed", is_last=True)
    assert decision.action == TO_BRANCHES
    assert decision.position.effort_switches == position.effort_switches


def test_a_run_never_begins_on_the_rung_that_branches():
    """A turn of a session begins where the last one ended."""
    assert start(BRANCHING, rung=4) == Position(rung=3)


def test_with_phases_alone_the_run_branches_where_it_would_end():
    ladder = replace(BRANCHING, policy="phases")
    decision = fail(ladder, start(ladder), *["repeat"] * 6)
    assert decision.action == replace(TO_BRANCHES, phase=None)
    assert current(ladder, start(ladder)) == HIGH


def test_a_branch_that_has_no_effort_of_its_own_asks_like_the_rung_before():
    plans = plan_branches(BRANCHING)
    assert [(plan.effort, plan.temperature, plan.reads) for plan in plans] == [
        ("high", None, "nothing"), ("high", 0.7, "tried"), ("none", 0.4, "nothing"), ("high", 0.4, "nothing"),
    ]  # fmt: skip
    assert {plan.effort for plan in plan_branches(replace(BRANCHING, rungs=(Rung(), Rung(branch=2))))} == {None}
    assert not plan_branches(DEFAULT)


def test_sixteen_branches_are_planned_and_only_the_first_asks_at_the_runs_temperature():
    plans = plan_branches(replace(BRANCHING, rungs=(NONE, Rung(branch=16))))
    assert [plan.temperature is None for plan in plans] == [True, *[False] * 15]


def test_the_ladder_of_a_branch_stays_at_one_effort_and_never_branches():
    ladder = branch_ladder(replace(BRANCHING, policy="both"), "high")
    assert ladder.rungs == (HIGH, Rung(constrained=True), FRESH)
    assert ladder.policy == "failures"


# Phases: high for the plan and before the work is handed in.

PHASES = Ladder(policy="phases", max_effort_switches=20)
BOTH = replace(PHASES, policy="both")
TO_PLAN = replace(TO_HIGH, phase="hand_in")
AFTER_PLAN = replace(TO_BOTTOM, phase="work")


@pytest.mark.parametrize("ladder", [PHASES, BOTH])
def test_a_plan_is_made_at_high_effort_and_the_work_is_done_at_low(ladder: Ladder):
    assert current(ladder, start(ladder)) == HIGH
    assert work(ladder, start(ladder), ladder.hold_steps - 1).action == Stay()
    decision = work(ladder, start(ladder), ladder.hold_steps)
    assert decision.action == AFTER_PLAN
    assert current(ladder, decision.position) == NONE
    assert work(ladder, decision.position, 50).action == Stay()


@pytest.mark.parametrize("ladder", [PHASES, BOTH])
def test_what_would_hand_the_work_in_is_asked_again_at_high_effort_once(ladder: Ladder):
    working = work(ladder, start(ladder), ladder.hold_steps).position
    decision = handing_in(ladder, working)
    assert decision.action == TO_PLAN
    assert handing_in(ladder, decision.position).action == Stay()
    assert work(ladder, decision.position, 50).action == Stay(), "what was found at high effort is done at high effort"


def test_work_planned_at_high_effort_is_handed_in_at_once():
    assert handing_in(PHASES, start(PHASES)).action == Stay()


def test_without_phases_no_reply_is_asked_again_before_the_work_is_handed_in():
    assert handing_in(DEFAULT, BOTTOM).action == Stay()
    assert start(DEFAULT) == BOTTOM


def test_after_a_failed_verification_a_plan_is_made_again():
    submitted = handing_in(PHASES, work(PHASES, start(PHASES), PHASES.hold_steps).position).position
    decision = failed(PHASES, submitted, "verify_failed")
    assert decision.action == Stay()
    assert current(PHASES, decision.position) == HIGH
    assert work(PHASES, decision.position, PHASES.hold_steps).action == AFTER_PLAN


def test_the_number_of_effort_switches_holds_for_phases_too():
    ladder = replace(PHASES, max_effort_switches=2)
    submitted = handing_in(ladder, work(ladder, start(ladder), ladder.hold_steps).position).position
    again = failed(ladder, submitted, "verify_failed").position
    assert work(ladder, again, 50).action == Stay()
    assert current(ladder, work(ladder, again, 50).position) == HIGH

    once = replace(PHASES, max_effort_switches=1)
    working = work(once, start(once), once.hold_steps).position
    assert handing_in(once, working).action == Stay()


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_phases_alone_tolerate_as_many_failures_as_all_rungs_together(trigger: Trigger):
    usable = 3
    bound = PHASES.triggers[trigger] * usable
    assert fail(PHASES, start(PHASES), *[trigger] * (bound - 1)).action == Stay()
    end = Stay() if trigger == "verify_failed" else Stop(trigger=trigger)
    assert fail(PHASES, start(PHASES), *[trigger] * bound).action == end


def test_failures_move_the_run_up_beside_the_phases():
    planning = fail(BOTH, start(BOTH), "no_progress")
    assert planning.action == Move(to=2, rung=HIGH, switches_effort=False)
    working = work(BOTH, start(BOTH), BOTH.hold_steps).position
    assert fail(BOTH, working, "no_progress").action == TO_HIGH
    assert fail(BOTH, fail(BOTH, working, "no_progress").position, "no_progress").action == TO_FRESH


def test_after_a_failed_verification_both_stay_at_high_effort():
    submitted = handing_in(BOTH, work(BOTH, start(BOTH), BOTH.hold_steps).position).position
    decision = failed(BOTH, submitted, "verify_failed")
    assert decision.action == Move(to=2, rung=HIGH, switches_effort=False, phase="plan")
    assert work(BOTH, decision.position, 50).action == Stay()


def test_a_reask_in_a_plan_keeps_the_effort_of_the_plan():
    decision = before_feedback(PHASES, start(PHASES), "invalid_call")
    assert decision.action == ReAsk(rung=Rung(effort="high", constrained=True))


# Any ladder, any run.

RUNGS = st.builds(
    Rung, effort=st.sampled_from([None, "none", "high"]), constrained=st.booleans(), fresh_context=st.booleans()
)
LADDERS = st.builds(
    Ladder,
    rungs=st.tuples(st.builds(Rung, effort=st.sampled_from([None, "none", "high"])), st.lists(RUNGS, max_size=6)).map(
        lambda parts: (parts[0], *parts[1])
    ),
    triggers=st.dictionaries(st.sampled_from(TRIGGERS), st.integers(1, 4)),
    hold_steps=st.integers(1, 5),
    max_effort_switches=st.integers(0, 4),
    max_reasks=st.integers(0, 5),
)


@given(ladder=LADDERS, triggers=st.lists(st.sampled_from(TRIGGERS), min_size=1))
def test_a_run_with_only_failures_stops_within_a_bound(ladder: Ladder, triggers: list[Trigger]):
    counted = [trigger for trigger in triggers if trigger in ladder.triggers and trigger != "verify_failed"]
    bound = sum(ladder.triggers.values()) * len(ladder.rungs) + 1
    position, steps = BOTTOM, 0
    while counted:
        decision = failed(ladder, position, counted[steps % len(counted)])
        steps += 1
        assert steps <= bound
        if isinstance(decision.action, Stop):
            return
        position = decision.position


@given(
    ladder=LADDERS,
    policy=st.sampled_from(get_args(Policy)),
    inputs=st.lists(st.sampled_from([*TRIGGERS, "progress", "reask", "hand in"]), max_size=60),
)
def test_a_run_is_never_on_a_constrained_rung_and_never_comes_down_when_pinned(
    ladder: Ladder, policy: Policy, inputs: list[str]
):
    ladder = replace(ladder, policy=policy if ladder.plan_rung else "failures")
    position, downs = start(ladder), 0
    for step in inputs:
        before = position
        if step == "progress":
            decision = progressed(ladder, position)
        elif step == "reask":
            decision = before_feedback(ladder, position, "invalid_call")
        elif step == "hand in":
            decision = handing_in(ladder, position)
        else:
            decision = failed(ladder, position, cast("Trigger", step))
        position = decision.position
        at = current_index(ladder, position)
        moved = current(ladder, position).effort != current(ladder, before).effort
        assert not current(ladder, position).constrained
        assert position.effort_switches - before.effort_switches == moved
        assert not (before.pinned and position.rung < before.rung)
        assert position.pinned >= before.pinned
        assert position.reasks <= ladder.max_reasks
        downs += at < current_index(ladder, before)
        phase = None if position.phase == before.phase else position.phase
        if isinstance(decision.action, Move):
            assert decision.action == Move(to=at, rung=ladder.rungs[at], switches_effort=moved, phase=phase)
        else:
            assert at == current_index(ladder, before)
        assert policy != "phases" or not ladder.has_phases or position.rung == 0
        assert ladder.has_phases or position.phase == "work"
        if isinstance(decision.action, ReAsk):
            named = [rung.effort for rung in ladder.rungs[at + 1 : at + 2] if rung.constrained]
            assert decision.action.rung.effort == ((named and named[0]) or current(ladder, position).effort)
            assert decision.action.rung.constrained
            assert not decision.action.rung.fresh_context
    # The run comes down only after `hold_steps` steps with progress.
    assert downs <= len(inputs) // ladder.hold_steps


def test_positions_compare_by_value():
    assert Position(counts=MappingProxyType({"repeat": 1})) == Position(counts={"repeat": 1})
