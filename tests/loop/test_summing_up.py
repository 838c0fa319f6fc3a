"""Before a conversation that filled the window gives way to a new one, the model sums it up; nothing depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, EndpointRejected, EndpointUnreachable, Ladder, Limits, Outcome, Rung, tool
from agent.events import ContextRenewed, Event, SummedUp
from agent.loop import prompts
from agent.messages import Reply, Usage
from agent.testing import ScriptedModel, calls, says

WINDOW = 8_192
NOTED = "noted"


@tool
def note(text: str, size: int = 0) -> str:
    """Note something."""
    return NOTED + "." * size


def notes(number: int, *, first: int = 0) -> list[Reply]:
    """Return calls with long arguments, which are never folded; the server does not count their prompts."""
    return [
        replace(calls(("note", {"text": f"{at} " + "word " * 500})), usage=None) for at in range(first, first + number)
    ]


async def ran(
    script: Sequence[Reply | Exception], *, limits: Limits | None = None, ladder: Ladder | None = None, **more: Any
) -> tuple[Outcome, list[Event], ScriptedModel]:
    model, events = ScriptedModel(script, window_tokens=WINDOW), list[Event]()
    agent = Agent(model, tools=[note], limits=limits or Limits(steps=40), ladder=ladder, **more)
    return await agent.run("Note it all.", observe=events.append), events, model


def summed(events: Sequence[Event]) -> SummedUp:
    (found,) = [event for event in events if isinstance(event, SummedUp)]
    return found


def asked(model: ScriptedModel) -> int:
    """Return the number of the request for the summary."""
    (found,) = [at for at, body in enumerate(model.bodies) if body["messages"][-1]["content"] == prompts.SUM_UP]
    return found


@pytest.fixture(scope="module")
def full() -> int:
    """How many notes fill the window, so that the next request is the one for the summary."""
    _, _, model = asyncio.run(ran([*notes(12), says("Done.")]))
    return asked(model)


async def test_the_summary_opens_the_new_conversation(full: int):
    wrote = says("0 to 5 are noted.\n\nLeft: 6 to 9.", usage=Usage(prompt_tokens=7_000, completion_tokens=20))
    outcome, events, model = await ran([*notes(full), wrote, says("Done.")])

    assert (outcome.status, summed(events).text, summed(events).why_not) == ("finished", wrote.content, "")
    prompt = model.bodies[-1]["messages"][1]["content"]
    assert "What you wrote for yourself before the restart:\n> 0 to 5 are noted.\n> Left: 6 to 9.\n" in prompt
    assert prompts.SUM_UP not in prompt
    assert outcome.usage.prompt_tokens >= 7_000
    assert outcome.usage.output_tokens >= 20


async def test_the_request_for_it_goes_on_from_the_conversation_so_that_the_engine_reads_little(full: int):
    _, _, model = await ran([*notes(full), says("So far so good."), says("Done.")])
    before, now = model.bodies[full - 1], model.bodies[full]
    assert now["messages"][: len(before["messages"])] == before["messages"]
    assert now["messages"][-2]["content"] == NOTED
    assert {key: now.get(key) for key in ("tools", "reasoning_effort", "tool_choice")} == {
        key: before.get(key) for key in ("tools", "reasoning_effort", "tool_choice")
    }
    assert now["max_tokens"] <= 1_000


async def test_results_that_do_not_fit_are_left_out_of_the_request_and_shown_afterwards(full: int):
    counted = Usage(prompt_tokens=5_800, completion_tokens=5)
    last = replace(calls(*(("note", {"text": str(at), "size": 9_000}) for at in range(5))), usage=counted)
    _, events, model = await ran([*notes(full - 3), last, says("Noted."), says("Done.")])
    at = asked(model)
    assert summed(events).text == "Noted."
    assert model.bodies[at]["messages"][:-1] == model.bodies[at - 1]["messages"]
    assert NOTED + "....." in model.bodies[-1]["messages"][1]["content"]


@pytest.mark.parametrize(
    ("reply", "why_not"),
    [
        (calls(("note", {"text": "one more"})), "the reply holds no text"),
        (says(" \n"), "the reply holds no text"),
        (says("<think>Hm."), "the reply holds no text"),
        (EndpointUnreachable("refused", url="http://x/v1"), "refused"),
        (EndpointRejected("too long", url="http://x/v1", status=400), "too long"),
    ],
)
async def test_without_a_summary_the_conversation_is_renewed_all_the_same(
    full: int, reply: Reply | Exception, why_not: str
):
    outcome, events, model = await ran([*notes(full), reply, says("Done.")])
    assert (outcome.status, summed(events).text) == ("finished", "")
    assert why_not in summed(events).why_not
    assert "You are in the middle of this task" in model.bodies[-1]["messages"][1]["content"]
    assert sum(isinstance(event, ContextRenewed) for event in events) == 1


async def test_a_summary_that_is_cut_off_is_used_as_far_as_it_goes(full: int):
    _, events, _ = await ran([*notes(full), says("0 to 5 are", finish_reason="length"), says("Done.")])
    assert summed(events).text == "0 to 5 are ... (cut off here)"


async def test_a_long_summary_takes_at_most_its_share_of_the_new_conversation(full: int):
    _, _, model = await ran([*notes(full), says("fact " * 4_000), says("Done.")])
    prompt = model.bodies[-1]["messages"][1]["content"]
    assert "more characters]" in prompt
    assert len(prompt) < WINDOW * 3 * 0.5


async def test_secrets_do_not_come_back_in_a_summary(full: int):
    _, events, model = await ran(
        [*notes(full), says("The key is hunter2hunter2."), says("Done.")], secrets={"KEY": "hunter2hunter2"}
    )
    assert "hunter2" not in summed(events).text + str(model.bodies[-1]["messages"])


async def test_a_conversation_that_is_renewed_after_a_failure_is_not_summed_up():
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="none", fresh_context=True)), triggers={"empty_reply": 1})
    _, events, _ = await ran([*notes(2), says(""), says("Done.")], ladder=ladder)
    kinds = [event.kind for event in events]
    assert ("context_renewed" in kinds, "summed_up" in kinds) == (True, False)


async def test_the_budget_for_tokens_bounds_the_summary(full: int):
    _, _, model = await ran([*notes(full), says("Short."), says("Done.")], limits=Limits(steps=40, output_tokens=8_000))
    assert model.bodies[asked(model)]["max_tokens"] < 1_000


async def test_a_run_that_is_killed_after_the_summary_does_not_ask_for_it_again(full: int, tmp_path: Path):
    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, SummedUp):
            raise Killed

    first = ScriptedModel([*notes(full), says("All noted.")], window_tokens=WINDOW)
    with pytest.raises(Killed):
        await Agent(first, tools=[note], runs=tmp_path).run("Note it all.", observe=kill)
    second = ScriptedModel([says("Done.")], window_tokens=WINDOW)
    await Agent(second, tools=[note]).resume(next(tmp_path.glob("[!.]*")))

    assert len(second.bodies) == 1
    assert "> All noted." in second.bodies[0]["messages"][1]["content"]


async def test_a_summary_that_does_not_fit_is_written_once_more_as_short_as_it_can_be():
    """The run ended, because the new conversation was 251 tokens too long for a window of 4,096."""
    full = EndpointRejected("This model's maximum context length is 8192 tokens.", url="http://x/v1", status=400)
    outcome, events, _ = await ran([*notes(4), full, says("fact " * 900), full, says("Done.")])
    renewed = [event for event in events if isinstance(event, ContextRenewed)]
    assert (outcome.status, [event.is_tight for event in renewed]) == ("finished", [False, True])
    long, short = (event.prompt.content for event in renewed)
    assert len(short) < len(long) / 2
    assert "What you wrote for yourself" in short
    assert "You are in the middle of this task" in short
    assert summed(events).text.startswith("fact fact")


async def test_a_conversation_that_fits_in_no_form_ends_the_run_as_a_budget():
    full = EndpointRejected("This model's maximum context length is 8192 tokens.", url="http://x/v1", status=400)
    outcome, events, model = await ran([*notes(4), full, says("Facts."), full, full])
    assert (outcome.status, len(model.bodies)) == ("budget", 8)
    assert [event.kind for event in events].count("context_renewed") == 2
