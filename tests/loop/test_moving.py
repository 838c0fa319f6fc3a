"""A run that is resumed on another server: its price is told before the first request, and no old refusal is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Endpoint, Ladder, Limits, Outcome, Rung, tool
from agent.journal.events import Event, Noticed, Replied, Requested
from agent.loop.moving import prefill_speed
from agent.messages import Reply, Usage
from agent.testing import ScriptedServer, calls, faults, says
from agent.testing.server import ScriptedAnswer


@tool
def look(at: int) -> str:
    """Return what something is."""
    return f"saw {at}"


def used(reply: Reply, prompt: int, cached: int | None = None, written: int = 20) -> Reply:
    return replace(reply, usage=Usage(prompt_tokens=prompt, completion_tokens=written, cached_tokens=cached))


LOOK = used(calls(("look", {"at": 1})), 5_000)


async def moved(
    runs: Path, first: Iterable[ScriptedAnswer] = (LOOK,), then: Iterable[ScriptedAnswer] = (says("Seen."),),
    *, server: Mapping[str, Any] | None = None, endpoint: Mapping[str, Any] | None = None, **settings: Any,
) -> tuple[Outcome, list[str], ScriptedServer]:  # fmt: skip
    """Run one step on a server and the rest on another; return the outcome, the first notices, and the other one."""
    events: list[Event] = []
    with ScriptedServer(first) as one, ScriptedServer(then, **(server or {})) as other:
        agent = Agent(Endpoint(one.url), tools=[look], runs=runs, limits=Limits(steps=1), **settings)
        outcome = await agent.run("Look.", name="moved")
        assert outcome.status == "budget"
        agent = Agent(Endpoint(other.url, **(endpoint or {})), tools=[look], runs=runs, **settings)
        outcome = await agent.resume("moved", observe=events.append)
    request = next((at for at, event in enumerate(events) if isinstance(event, Requested)), len(events))
    notices = [event.text for event in events[:request] if isinstance(event, Noticed)]
    return outcome, [text.replace(one.url, "OLD").replace(other.url, "NEW") for text in notices], other


async def test_what_the_other_server_reads_again_is_told_before_the_first_request(tmp_path: Path):
    """Nothing was told: the first step took minutes, and `agent show` had the reason afterwards."""
    outcome, notices, _ = await moved(tmp_path)
    assert outcome.status == "finished"
    (notice,) = notices
    assert notice.startswith(
        "The run goes on with scripted at NEW, after scripted at OLD. It reads the whole conversation again: about 5,0"
    )
    assert notice.endswith(" tokens (5,000 by the count of the server before, and what came since).")


async def test_the_same_server_is_nothing_to_tell(tmp_path: Path):
    events: list[Event] = []
    with ScriptedServer([LOOK, says("Seen.")]) as server:
        agent = Agent(Endpoint(server.url), tools=[look], runs=tmp_path, limits=Limits(steps=1))
        await agent.run("Look.", name="stayed")
        await Agent(Endpoint(server.url), tools=[look], runs=tmp_path).resume("stayed", observe=events.append)
    assert [event for event in events if isinstance(event, Noticed)] == []


async def test_another_model_is_told(tmp_path: Path):
    _, notices, _ = await moved(tmp_path, server={"model": "other"})
    assert (
        "with other at NEW, after scripted at OLD. If these are not two names of one model, the rest is" in notices[0]
    )


@pytest.mark.parametrize(
    ("window", "ladder", "told"),
    [
        (16_000, None, "The conversation fits, with about 5,0"),
        (4_000, None, " and does not fit: the oldest results are folded first, or it is restarted from a summary."),
        (4_000, Ladder(rungs=(Rung(),)), "; if that is not enough, the run ends as `budget`."),
    ],
)
async def test_a_smaller_window_is_told_with_what_follows(
    tmp_path: Path, window: int, ladder: Ladder | None, told: str
):
    summary, more = says("I looked."), says("Seen.")
    _, notices, _ = await moved(
        tmp_path, then=[summary, more, more], server={"window_tokens": window, "tokenize": False}, ladder=ladder
    )
    assert notices[1].startswith(f"The window is smaller: {window:,} tokens instead of 32,768. The conversation ")
    assert told in notices[1]


async def test_what_the_other_server_lacks_is_told(tmp_path: Path):
    _, notices, server = await moved(tmp_path, endpoint={"strict": False, "forced_calls": False})
    assert notices[1] == (
        "The run goes on without what this server is known not to take: strict tools (calls are checked here all the "
        "same), a required call, a named call, replies that are constrained to a schema."
    )
    assert all("strict" not in tool["function"] for tool in server.bodies[0]["tools"])


async def test_what_one_server_refused_is_asked_of_the_next(tmp_path: Path):
    """The run went on without strict tools, since a server that it had left did not take them."""
    refusal = faults.http_error(400, "tools.0.function.strict: Extra inputs are not permitted")
    _, notices, server = await moved(tmp_path, first=[refusal, LOOK])
    assert [tool["function"]["strict"] for tool in server.bodies[0]["tools"]] == [True]
    assert len(notices) == 1


def replied(read: int, written: int, elapsed_s: float, cached: int | None = 0) -> Replied:
    reply = used(says("Yes."), read + (cached or 0), cached, written)
    return Replied(step=1, rung=0, reply=reply, max_tokens=1_000, wire_bytes=0, elapsed_s=elapsed_s)


@pytest.mark.parametrize(
    ("replies", "speed"),
    [
        ([replied(10_000, 100, 4.0), replied(50, 100, 2.0, cached=10_000)], 5_000.0),
        ([replied(10_000, 100, 4.0)], None),
        ([replied(10_000, 100, 4.0, cached=None), replied(50, 100, 2.0, cached=None)], None),
        ([replied(400, 10, 4.0), replied(50, 100, 2.0, cached=400)], None),
        ([], None),
    ],
    ids=["two", "one tells nothing", "no cache is reported", "short prompts", "none"],
)
def test_how_fast_prompts_were_read_is_what_writing_does_not_explain(replies: list[Replied], speed: float | None):
    assert prefill_speed(replies) == speed
