"""What is spent, what is left, and which limit is named."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import Limits
from agent.messages import Usage
from agent.policy.budget import Budget, Exceeded, SharedLimits, Spent, output_left

NO_LIMITS = Limits(steps=None, tool_calls=None, output_tokens=None, reasoning_tokens=None, wall_s=None)


def test_a_reply_adds_its_usage_and_one_step():
    usage = Usage(prompt_tokens=100, completion_tokens=20, reasoning_tokens=8, cached_tokens=64)
    spent = Spent(tool_calls=2, wall_s=1.5).after_reply(usage).after_reply(usage)

    assert spent == Spent(
        steps=2, tool_calls=2, prompt_tokens=200, cached_tokens=128, output_tokens=40, reasoning_tokens=16, wall_s=1.5
    )
    assert spent.tokens == 240


def test_a_reply_without_usage_counts_as_a_step_only():
    assert Spent().after_reply(None) == Spent(steps=1)
    assert Spent().after_reply(Usage(prompt_tokens=5)).cached_tokens == 0


@pytest.mark.parametrize(
    ("limits", "spent", "expected"),
    [
        (Limits(steps=2), Spent(steps=1), None),
        (Limits(steps=2), Spent(steps=2), Exceeded(limit="steps", allowed=2, used=2)),
        (Limits(tokens=10), Spent(prompt_tokens=6, output_tokens=4), Exceeded(limit="tokens", allowed=10, used=10)),
        (Limits(output_tokens=4), Spent(output_tokens=5), Exceeded(limit="output_tokens", allowed=4, used=5)),
        (Limits(reasoning_tokens=1), Spent(reasoning_tokens=2), Exceeded(limit="reasoning_tokens", allowed=1, used=2)),
        (Limits(wall_s=1.5), Spent(wall_s=1.50049), Exceeded(limit="wall_s", allowed=1.5, used=1.5)),
        (Limits(tool_calls=1), Spent(tool_calls=9), None),
        (Limits(steps=1, wall_s=1.0), Spent(steps=1, wall_s=2.0), Exceeded(limit="steps", allowed=1, used=1)),
        (NO_LIMITS, Spent(steps=10**6, output_tokens=10**9, wall_s=10.0**9), None),
    ],
)
def test_the_first_limit_that_is_reached_is_named(limits: Limits, spent: Spent, expected: Exceeded | None):
    assert Budget(own=limits).exceeded(spent) == expected


def test_a_limit_that_is_shared_counts_what_others_used_and_says_whose_it_is():
    session = SharedLimits(of="session", name="sums", limits=Limits(steps=5, wall_s=None), spent=Spent(steps=3))
    caller = SharedLimits(of="caller", name="boss", limits=replace(NO_LIMITS, tokens=90), spent=Spent(output_tokens=60))
    budget = Budget(own=Limits(steps=4, wall_s=7.0), shared=(session, caller))

    assert (budget.limits.steps, budget.limits.tokens, budget.limits.wall_s) == (2, 30, 7.0)
    assert budget.exceeded(Spent(steps=1, output_tokens=29)) is None
    assert str(budget.exceeded(Spent(steps=2))) == (
        "the session's limit steps = 5 is reached (5 used). Continue with a higher one: agent.session('sums', "
        "limits=Limits(steps=...))."
    )
    assert str(budget.exceeded(Spent(output_tokens=30))) == (
        "the limit tokens = 90 of the run 'boss', which called this one, is reached (90 used). Raise `limits.tokens`, "
        "or set it to None (null in a task)."
    )
    assert [one.spent for one in budget.shared_with(Spent(output_tokens=9), "me")] == [
        Spent(output_tokens=9),
        Spent(steps=3, output_tokens=9),
        Spent(output_tokens=69),
    ]


def test_the_text_names_the_limit_and_how_to_raise_it():
    assert str(Exceeded(limit="wall_s", allowed=1800.0, used=1800.25)) == (
        "the limit wall_s = 1800 is reached (1800.25 used). Raise `limits.wall_s`, or set it to None (null in a task)."
    )
    assert str(Exceeded(limit="tool_calls", allowed=3, used=2, more=2)) == (
        "the limit tool_calls = 3 does not allow 2 more (2 used). Raise `limits.tool_calls`, or "
        "set it to None (null in a task)."
    )
    assert str(Exceeded(limit="output_tokens", allowed=2_000_000, used=2_000_001)).startswith(
        "the limit output_tokens = 2000000 is reached (2000001 used)."
    )


@pytest.mark.parametrize(
    ("limits", "spent", "left"),
    [
        (NO_LIMITS, Spent(output_tokens=9), None),
        (Limits(output_tokens=100), Spent(output_tokens=40), 60),
        (Limits(output_tokens=None, tokens=100), Spent(prompt_tokens=70, output_tokens=10), 20),
        (Limits(output_tokens=100, tokens=200), Spent(prompt_tokens=150, output_tokens=20), 30),
        (Limits(output_tokens=10), Spent(output_tokens=10), 1),
    ],
)
def test_a_reply_may_use_what_the_tighter_limit_leaves(limits: Limits, spent: Spent, left: int | None):
    assert output_left(limits, spent) == left


@given(st.sampled_from([each.name for each in fields(Limits) if each.name != "tool_calls"]), st.integers(1, 10**12))
def test_a_limit_that_is_reached_stays_reached(name: str, allowed: int):
    limits = Limits(
        **{**dict.fromkeys(["steps", "tool_calls", "output_tokens", "reasoning_tokens", "wall_s"]), name: allowed}
    )
    field = {"tokens": "output_tokens"}.get(name, name)

    budget = Budget(own=limits)
    assert budget.exceeded(Spent(**{field: allowed - 1})) is None
    for more in (0, 1, allowed):
        found = budget.exceeded(Spent(**{field: allowed + more}))
        assert found is not None
        assert found.limit == name


def test_the_amounts_of_two_runs_are_added_field_by_field():
    one = Spent(steps=1, tool_calls=2, prompt_tokens=3, cached_tokens=4, output_tokens=5, reasoning_tokens=6, wall_s=7)
    assert one + Spent(steps=10, wall_s=0.5) == Spent(
        steps=11, tool_calls=2, prompt_tokens=3, cached_tokens=4, output_tokens=5, reasoning_tokens=6, wall_s=7.5
    )
