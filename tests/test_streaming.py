"""A stream gives every event and each part of a reply as it comes; leaving it early cancels the run."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent import Agent, Endpoint, EndpointError, tool
from agent.events import CallDelta, ReasoningDelta, RunEnded, TextDelta
from agent.messages import RawCall, Reply
from agent.testing import ScriptedModel, ScriptedServer, calls, says


@tool(read_only=True)
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


CALL = RawCall(name="add", arguments='{"a": 2, "b": 3}')
ASKS = Reply(reasoning="I have to add.", tool_calls=(CALL,), finish_reason="tool_calls")


async def test_the_parts_of_a_streamed_reply_come_before_it_and_make_it_up():
    with ScriptedServer([ASKS, says("It is 5, as you thought.")]) as server:
        stream = Agent(Endpoint(server.url), tools=[add]).stream("What is 2 + 3?")
        seen = [event async for event in stream]

    assert "".join(one.text for one in seen if isinstance(one, ReasoningDelta)) == "I have to add."
    assert "".join(one.text for one in seen if isinstance(one, TextDelta)) == "It is 5, as you thought."
    parts = [one for one in seen if isinstance(one, CallDelta)]
    assert "".join(one.name for one in parts) == "add"
    assert "".join(one.arguments for one in parts) == CALL.arguments
    kinds = [one.kind for one in seen]
    assert kinds.index("reasoning_delta") < kinds.index("replied") < kinds.index("text_delta")
    assert isinstance(seen[-1], RunEnded)
    assert stream.outcome.output == "It is 5, as you thought."


async def test_text_arrives_in_more_than_one_part():
    with ScriptedServer([says("one two three four five six seven eight")]) as server:
        seen = [event async for event in Agent(Endpoint(server.url)).stream("Count.")]
    assert sum(isinstance(one, TextDelta) for one in seen) > 1


async def test_the_parts_are_not_in_the_journal(tmp_path: Path):
    agent = Agent(ScriptedModel([says("Hello.")]), runs=tmp_path)
    async for _ in agent.stream("Hi.", name="greet"):
        pass
    assert "_delta" not in (tmp_path / "greet" / "journal.jsonl").read_text()


async def test_leaving_the_loop_early_ends_the_run_as_interrupted_and_it_can_be_resumed(tmp_path: Path):
    model = ScriptedModel([calls(("add", {"a": 1, "b": 1})), says("2")])
    agent = Agent(model, tools=[add], runs=tmp_path)
    stream = agent.stream("1 + 1?", name="left")
    async for event in stream:
        if event.kind == "call_started":
            break
    with pytest.raises(RuntimeError) as raised:
        _ = stream.outcome
    assert str(raised.value) == (
        "The run 'left' has no outcome, because the loop is not at the end of the stream. Leaving the loop early "
        "cancels the run. To get an outcome, iterate to the end; or give the agent `runs`, and after a cancelled run "
        "write `await stream.aclose()` and `await agent.resume('left')`."
    )
    await stream.aclose()
    assert '"interrupted"' in (tmp_path / "left" / "journal.jsonl").read_text()

    assert (await agent.resume("left")).answer == "2"


async def test_leaving_the_loop_cancels_the_run_without_a_call_of_aclose():
    started, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def hang() -> None:
        """Hang."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    stream = Agent(ScriptedModel([calls(("hang", {}))]), tools=[hang]).stream("Hang.")
    async for event in stream:
        if event.kind == "call_started":
            await started.wait()
            break
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_the_end_of_a_with_block_waits_for_the_cancelled_run(tmp_path: Path):
    agent = Agent(ScriptedModel([calls(("add", {"a": 1, "b": 1})), says("2")]), tools=[add], runs=tmp_path)
    async with agent.stream("1 + 1?", name="left") as stream:
        async for event in stream:
            if event.kind == "call_started":
                break
    assert (await agent.resume("left")).answer == "2"


async def test_an_error_before_the_run_is_raised_by_the_loop():
    stream = Agent("http://127.0.0.1:9/v1").stream("Hi.")
    with pytest.raises(EndpointError):
        async for _ in stream:
            pass
    with pytest.raises(RuntimeError, match="did not start, so it has no outcome"):
        _ = stream.outcome
    await stream.aclose()


async def test_events_and_parts_of_replies_have_the_time():
    stream = Agent(ScriptedModel([ASKS, says("5")]), tools=[add]).stream("What is 2 + 3?")
    times = [datetime.fromisoformat(event.at or "") async for event in stream]
    assert times[1:] == sorted(times[1:])
    assert timedelta() <= times[-1] - times[0] < timedelta(minutes=1)


async def test_a_stream_is_one_run_and_has_no_outcome_before_its_end():
    stream = Agent(ScriptedModel([says("x")])).stream("Hi.")
    with pytest.raises(RuntimeError, match="has not started"):
        _ = stream.outcome
    async for _ in stream:
        pass
    with pytest.raises(RuntimeError, match="can be iterated once"):
        aiter(stream)
