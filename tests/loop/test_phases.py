"""Phases: the plan and what hands the work in are asked for at high effort, the steps between at low."""

from __future__ import annotations

import asyncio
import json
import os
from itertools import count, groupby
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agent import Agent, Ladder, Outcome, Rung, Verify, tool
from agent.errors import ConfigError
from agent.events import Event, HandInHeld, Moved, PrefixChanged, RunEnded
from agent.journal.journal import JOURNAL_NAME
from agent.messages import Reply
from agent.model.profiles import GENERIC, MISTRAL_LARGE
from agent.model.protocol import Request
from agent.testing import ScriptedModel, calls, says

PHASES = Ladder(policy="phases", hold_steps=1, max_effort_switches=9)


class Sum(BaseModel):
    """The sum."""

    value: int


@tool
def note(name: str) -> str:
    """Note a name."""
    return f"noted {name}"


def efforts(model: ScriptedModel) -> list[str]:
    return [body["reasoning_effort"] for body in model.bodies]


async def test_a_plan_and_the_last_look_are_made_at_high_effort_and_the_steps_between_at_low():
    script = [calls(("note", {"name": "a"})), calls(("note", {"name": "b"})), says("Done."), says("Really done.")]
    model, events = ScriptedModel(script), list[Event]()

    outcome = await Agent(model, tools=[note], ladder=PHASES).run("Work.", observe=events.append)

    assert (outcome.status, outcome.answer) == ("finished", "Really done.")
    assert efforts(model) == ["high", "none", "none", "high"]
    assert model.bodies[3]["messages"] == model.bodies[2]["messages"], "what was held back is not in the conversation"
    moves = [(event.rung, event.effort, event.phase) for event in events if isinstance(event, Moved)]
    assert moves == [(0, "none", "work"), (2, "high", "hand_in")]
    assert [event.because for event in events if isinstance(event, PrefixChanged)] == [("effort",)] * 2
    assert [event.step for event in events if isinstance(event, HandInHeld)] == [3]


async def test_work_that_goes_on_after_the_last_look_stays_at_high_effort():
    script = [
        *(calls(("note", {"name": name})) for name in "ab"), says("Done."), calls(("note", {"name": "c"})),
        calls(("note", {"name": "d"})), says("Now it is."),
    ]  # fmt: skip
    model = ScriptedModel(script)

    outcome = await Agent(model, tools=[note], ladder=PHASES).run("Work.")

    assert outcome.answer == "Now it is."
    assert efforts(model) == ["high", "none", "none", "high", "high", "high"]


async def test_a_result_is_held_back_and_words_before_it_are_not():
    script = [
        calls(("note", {"name": "a"})), says("It is 5."), calls(("final_result", {"value": 4})),
        calls(("final_result", {"value": 5})),
    ]  # fmt: skip
    model = ScriptedModel(script)

    outcome = await Agent(model, tools=[note], ladder=PHASES, output_type=Sum).run("What is 2 + 3?")

    assert outcome.output == Sum(value=5)
    assert efforts(model) == ["high", "none", "none", "high"]
    assert [body["tool_choice"] != "auto" for body in model.bodies] == [False, False, True, True]


async def test_a_failed_verification_begins_another_plan(tmp_path: Path):
    script = [
        calls(("note", {"name": "a"})), says("Done."), says("Done!"), calls(("note", {"name": "b"})),
        calls(("note", {"name": "c"})), says("Done now."), says("Done for good."),
    ]  # fmt: skip
    model = ScriptedModel(script)
    verify = Verify(command="test -e again || { touch again; false; }")

    agent = Agent(model, tools=[note], ladder=PHASES, workspace=tmp_path, verify=verify, env={"PATH": os.defpath})
    outcome = await agent.run("Work.")

    assert (outcome.status, outcome.reason) == ("verified", "the verification passed on attempt 2")
    assert efforts(model) == ["high", "none", "high", "high", "none", "none", "high"]


async def test_failures_move_a_run_with_both_policies_up_between_its_phases():
    ladder = Ladder(policy="both", hold_steps=1, triggers={"empty_reply": 1}, max_effort_switches=9)
    model = ScriptedModel([calls(("note", {"name": "a"})), says(""), says("Done.")])

    await Agent(model, tools=[note], ladder=ladder).run("Work.")

    assert efforts(model) == ["high", "none", "high"]


async def test_phases_alone_give_a_run_up_after_as_many_failures_as_all_rungs_would_tolerate():
    ladder = Ladder(policy="phases", hold_steps=1, triggers={"empty_reply": 1})
    model = ScriptedModel([calls(("note", {"name": "a"})), says(""), says(""), says("")])

    outcome = await Agent(model, tools=[note], ladder=ladder).run("Work.")

    assert (outcome.status, efforts(model)) == ("stuck", ["high", "none", "none", "none"])


async def test_a_model_with_one_effort_cannot_have_phases():
    """The rungs are those of the model: what it does not know becomes what it knows."""
    model = ScriptedModel([says("Done.")], profile=GENERIC)

    with pytest.raises(ConfigError, match=r"needs two efforts, .* has no effort"):
        await Agent(model, ladder=PHASES).run("Work.")


async def test_the_middle_effort_can_be_the_low_one():
    rungs = (Rung(effort="low"), Rung(effort="medium"), Rung(effort="high"))
    model = ScriptedModel([calls(("note", {"name": "a"})), says("Done."), says("Done.")], profile=MISTRAL_LARGE)

    await Agent(model, tools=[note], ladder=Ladder(rungs=rungs, policy="phases", hold_steps=1)).run("Work.")

    assert efforts(model) == ["medium", "low", "medium"]


class Killed(BaseException):
    """Simulates SIGKILL."""


def by_the_conversation(request: Request) -> Reply:
    """Play a model that knows nothing but its conversation and its effort."""
    body: dict[str, Any] = json.loads(request.encode(stream=False))
    done = sum(message["role"] == "tool" for message in body["messages"])
    return calls(("note", {"name": str(done)})) if done < 2 else says(f"Done at {body['reasoning_effort']}.")


def test_a_run_killed_at_any_event_goes_on_in_the_same_phase(tmp_path: Path):
    for kill in count(1):
        numbers, events = count(1), list[Event]()

        def observe(event: Event, *, numbers: Any = numbers, events: list[Event] = events, kill: int = kill) -> None:
            events.append(event)
            if next(numbers) == kill and not isinstance(event, RunEnded):
                raise Killed

        runs, model = tmp_path / str(kill), ScriptedModel([by_the_conversation] * 9)
        agent = Agent(model, tools=[note], ladder=PHASES, runs=runs)
        outcome: Outcome | None = None
        try:
            outcome = asyncio.run(agent.run("Work.", observe=observe))
        except Killed:
            folder = next(path.parent for path in runs.glob(f"*/{JOURNAL_NAME}"))
            again = asyncio.run(agent.resume(folder, observe=events.append))
            assert (again.status, again.answer) == ("finished", "Done at high."), kill
        asked = [event.effort for event in events if event.kind == "requested"]
        assert [effort for effort, _ in groupby(asked)] == ["high", "none", "high"], (kill, asked)
        assert sum(isinstance(event, HandInHeld) for event in events) == 1
        if outcome is not None:
            assert kill > 15, "the run was killed at every event"
            return
