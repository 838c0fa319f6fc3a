"""A stream gives every event and each part of a reply as it comes; leaving it early cancels the run."""

import asyncio
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
    async for event in agent.stream("1 + 1?", name="left"):
        if event.kind == "call_started":
            break
    for _ in range(50):
        await asyncio.sleep(0.01)
        if '"interrupted"' in (tmp_path / "left" / "journal.jsonl").read_text():
            break

    assert (await agent.resume("left")).answer == "2"


async def test_an_error_before_the_run_is_raised_by_the_loop():
    with pytest.raises(EndpointError):
        async for _ in Agent("http://127.0.0.1:9/v1").stream("Hi."):
            pass


async def test_a_stream_is_one_run_and_has_no_outcome_before_its_end():
    stream = Agent(ScriptedModel([says("x")])).stream("Hi.")
    with pytest.raises(RuntimeError, match="iterate to the end of the stream first"):
        _ = stream.outcome
    async for _ in stream:
        pass
    with pytest.raises(RuntimeError, match="can be iterated once"):
        aiter(stream)
