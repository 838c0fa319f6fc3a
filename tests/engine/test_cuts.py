"""A reply of the real engine that is truncated at any length is never executed, whatever its finish_reason."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from agent import Agent, Ladder, Limits, Outcome, Rung, tool
from agent.loop.prompts import SYSTEM_PROMPT
from agent.messages import Effort
from agent.model.profiles import MISTRAL, Sampling
from agent.parsing.reply import Batch, Truncated, read
from agent.tooling.toolbox import Toolbox

if TYPE_CHECKING:
    from conftest import LiveEngine, RecordingModel

    from agent.journal.events import Event

pytestmark = pytest.mark.engine

Choice = Literal["auto", "required", "named"]

PROMPT = "What is the weather in Paris?"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One run of one request."""

    outcome: Outcome
    executed: list[str]
    """The cities that the tool was called with."""
    model: RecordingModel
    toolbox: Toolbox
    events: list[Event]


async def attempt(
    engine: LiveEngine, folder: Path, *, tokens: int, effort: Effort, choice: Choice, stream: bool, steps: int = 1
) -> Attempt:
    """Run an agent with `tokens` tokens for its first reply."""
    executed: list[str] = []

    @tool(read_only=True)
    def get_weather(city: str) -> str:
        """Get weather"""
        executed.append(city)
        return "18 C"

    # Exact sampling, so that every reply is a prefix of the same one.
    profile = replace(MISTRAL, reply_tokens={effort: tokens}, sampling={effort: Sampling(temperature=0.0)})
    model = engine.recording_model(stream=stream, profile=profile)
    forced = {"force_tool": "get_weather"} if choice == "named" else {"tool_choice": choice}
    model.change = lambda request: replace(request, **forced)
    agent = Agent(
        model, tools=[get_weather], ladder=Ladder(rungs=(Rung(effort=effort),)), limits=Limits(steps=steps),
        workspace=folder, instructions=SYSTEM_PROMPT,
    )  # fmt: skip
    events: list[Event] = []
    outcome = await agent.run(PROMPT, observe=events.append)
    return Attempt(outcome=outcome, executed=executed, model=model, toolbox=agent.settings().toolbox(), events=events)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("effort", ["none", "high"])
@pytest.mark.parametrize("choice", ["auto", "required", "named"])
async def test_a_call_is_executed_only_if_its_reply_ended_before_max_tokens(
    engine: LiveEngine, tmp_path: Path, choice: Choice, effort: Effort, stream: bool
):
    async def with_tokens(tokens: int) -> Attempt:
        return await attempt(engine, tmp_path, tokens=tokens, effort=effort, choice=choice, stream=stream)

    whole = await with_tokens(200)
    assert len(whole.executed) == 1
    usage = whole.model.replies[0].usage
    assert usage is not None
    length = usage.completion_tokens
    assert length > 10

    unreported = 0
    # Ten at a time: the engine runs eight requests at once and queues the rest.
    for begin in range(1, length + 1, 10):
        cuts = range(begin, min(begin + 10, length + 1))
        for cut, one in zip(cuts, await asyncio.gather(*map(with_tokens, cuts)), strict=True):
            (reply,) = one.model.replies
            assert reply.usage is not None
            assert reply.usage.completion_tokens == cut
            assert isinstance(read(reply, one.toolbox, max_tokens=cut, window_tokens=8192), Truncated)
            assert one.executed == []
            assert [event.kind for event in one.events][-3:] == ["rejected", "triggered", "run_ended"]
            assert one.outcome.status == "budget"
            unreported += reply.finish_reason != "length"
    # Why finish_reason is not enough: with tool_choice auto and no streaming, the server reports truncated replies as
    # complete. At the full length even the truth is not enough: the last token may or may not have been the end.
    assert (unreported > 5) == (choice == "auto" and not stream)

    complete = await with_tokens(length + 1)
    assert complete.executed == whole.executed
    assert isinstance(
        read(complete.model.replies[0], complete.toolbox, max_tokens=length + 1, window_tokens=8192), Batch
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_truncated_reply_is_requested_again_with_more_tokens_and_executed_once(
    engine: LiveEngine, tmp_path: Path, stream: bool
):
    one = await attempt(engine, tmp_path, tokens=6, effort="none", choice="auto", stream=stream, steps=2)
    assert [request.max_tokens for request in one.model.requests] == [6, 24]
    assert one.model.requests[1].messages == one.model.requests[0].messages
    assert len(one.executed) == 1
