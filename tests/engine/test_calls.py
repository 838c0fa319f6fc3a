"""How the real engine answers requests: calls with every tool_choice, both efforts, whole and streamed replies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from agent import tool
from agent.messages import AssistantMessage, Effort, Reply, SystemMessage, ToolCall, ToolResult, UserMessage
from agent.model.profiles import Sampling
from agent.model.wire import Request, ToolChoice, encode_message

if TYPE_CHECKING:
    from conftest import LiveEngine

pytestmark = pytest.mark.engine

EFFORTS: tuple[Effort, ...] = ("none", "high")


@tool
def get_weather(city: str) -> str:
    """Get weather"""
    return f"18 C in {city}"


@tool
def read_file(path: str) -> str:
    """Read a file"""
    return path


def definitions(*, strict: bool) -> bytes:
    """Return the definitions of both tools as JSON bytes."""
    text = json.dumps([get_weather.definition(), read_file.definition()])
    return (text if strict else text.replace('"strict": true', '"strict": false')).encode()


def asking(text: str, *, effort: Effort, tools: bytes = b"[]", max_tokens: int = 200) -> Request:
    message = encode_message(UserMessage(content=text), with_reasoning=False)
    exact = Sampling(temperature=0.0)
    return Request(
        model="pocket", messages=[message], tools=tools, max_tokens=max_tokens, effort=effort, sampling=exact
    )


async def reply_to(request: Request, engine: LiveEngine, *, stream: bool) -> Reply:
    async with engine.endpoint(stream=stream).open() as connection:
        return await connection.ask(request)


# 1. Calls.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
@pytest.mark.parametrize("choice", ["auto", "required", "named"])
async def test_every_tool_choice_yields_a_call(
    engine: LiveEngine, choice: Literal["auto", "required", "named"], strict: bool, effort: Effort, stream: bool
):
    request = asking("What is the weather in Paris?", effort=effort, tools=definitions(strict=strict))
    free: ToolChoice = "auto" if choice == "named" else choice
    request = replace(request, tool_choice=free, force_tool="get_weather" if choice == "named" else None)

    reply = await reply_to(request, engine, stream=stream)

    (call,) = reply.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    assert reply.content == ""
    assert bool(reply.reasoning) == (effort == "high")
    # A named call ends with "stop" although it is a call: the calls decide, not finish_reason.
    assert reply.finish_reason == ("stop" if choice == "named" else "tool_calls")
    assert reply.usage is not None
    assert (reply.usage.reasoning_tokens > 0) == (effort == "high")


@pytest.mark.parametrize("effort", EFFORTS)
async def test_a_named_strict_choice_forces_a_tool_that_does_not_fit_the_question(engine: LiveEngine, effort: Effort):
    request = asking("What is the weather in Paris?", effort=effort, tools=definitions(strict=True))
    reply = await reply_to(replace(request, force_tool="read_file"), engine, stream=True)
    (call,) = reply.tool_calls
    assert call.name == "read_file"
    assert json.loads(call.arguments).keys() == {"path"}


# 2. Effort in the rendered prompt.


def rendered(engine: LiveEngine, tokens: tuple[int, ...]) -> str:
    return engine.post("/detokenize", {"model": engine.model, "tokens": tokens})["prompt"]


async def test_the_effort_is_in_the_rendered_prompt_and_changes_nothing_else(engine: LiveEngine):
    texts: dict[str, str] = {}
    async with engine.endpoint().open() as connection:
        for effort in EFFORTS:
            counted = await connection.count(asking("Hello", effort=effort, tools=definitions(strict=True)))
            assert counted is not None
            assert counted.window_tokens == 8192
            texts[effort] = rendered(engine, counted.tokens)
    settings = '[MODEL_SETTINGS]{{"reasoning_effort": "{}"}}[/MODEL_SETTINGS]'
    assert settings.format("none") in texts["none"]
    assert texts["high"] == texts["none"].replace(settings.format("none"), settings.format("high"))


async def test_the_effort_follows_the_system_prompt_and_tools_and_precedes_the_conversation(engine: LiveEngine):
    """So a switch of effort keeps the cached system prompt and tools, and prefills the conversation again."""
    system = encode_message(SystemMessage(content="Be brief."), with_reasoning=False)
    request = asking("Hello", effort="high", tools=definitions(strict=True))
    async with engine.endpoint().open() as connection:
        counted = await connection.count(replace(request, messages=[system, *request.messages]))
    assert counted is not None
    text = rendered(engine, counted.tokens)
    marks = ["[SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "[MODEL_SETTINGS]", "[INST]"]
    assert sorted(marks, key=text.index) == marks


async def test_tokenize_counts_the_prompt_that_the_engine_receives(engine: LiveEngine):
    """With a full history: reasoning, a call, its result."""
    turn = AssistantMessage(
        reasoning="I need it.", tool_calls=(ToolCall(id="abcdefghi", name="get_weather", arguments='{"city": "Rome"}'),)
    )
    result = ToolResult(tool_call_id="abcdefghi", name="get_weather", content="18 C")
    history = [UserMessage(content="What is the weather in Rome?"), turn, result]
    messages = [encode_message(message, with_reasoning=True) for message in history]
    for effort in EFFORTS:
        request = replace(asking("", effort=effort, tools=definitions(strict=True)), messages=messages)
        async with engine.endpoint().open() as connection:
            counted = await connection.count(request)
            reply = await connection.ask(request)
        assert counted is not None
        assert reply.usage is not None
        assert len(counted.tokens) == reply.usage.prompt_tokens
        assert "[THINK]I need it.[/THINK]" in rendered(engine, counted.tokens)


# 3. Whole and streamed.


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize(
    "text", ["What is the weather in Paris?", "Read src/parser.py", "Hello", "Count the moons of Jupiter, slowly."]
)
@pytest.mark.parametrize("with_tools", [False, True], ids=["no tools", "tools"])
async def test_a_streamed_reply_equals_the_whole_reply(engine: LiveEngine, text: str, effort: Effort, with_tools: bool):
    request = asking(text, effort=effort, tools=definitions(strict=True) if with_tools else b"[]")
    whole, streamed = [await reply_to(request, engine, stream=stream) for stream in (False, True)]
    assert without_ids(streamed) == without_ids(whole)


@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_a_streamed_cut_reply_differs_only_in_the_finish_reason_that_auto_hides(
    engine: LiveEngine, choice: ToolChoice
):
    request = asking("What is the weather in Paris?", effort="none", tools=definitions(strict=True), max_tokens=9)
    request = replace(request, tool_choice=choice)
    whole, streamed = [await reply_to(request, engine, stream=stream) for stream in (False, True)]
    assert streamed.finish_reason == "length"
    # vLLM 0.32 reports a cut call as complete under auto without streaming; only usage shows the cut.
    assert whole.finish_reason == ("tool_calls" if choice == "auto" else "length")
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 9
    assert without_ids(streamed) == replace(without_ids(whole), finish_reason="length")


def without_ids(reply: Reply) -> Reply:
    """Drop what differs between any two requests: the ids and the cached tokens."""
    assert reply.usage is not None
    return replace(
        reply,
        tool_calls=tuple(replace(call, id="") for call in reply.tool_calls),
        usage=replace(reply.usage, cached_tokens=None),
    )


# 10. What is served.


async def test_the_model_and_its_window_are_read_from_the_server(engine: LiveEngine):
    async with engine.endpoint().open() as connection:
        served = await connection.served()
    assert (served.model, served.window_tokens) == ("pocket", 8192)


async def test_a_model_that_is_not_listed_is_asked_for_all_the_same(engine: LiveEngine):
    async with engine.endpoint(model="nope").open() as connection:
        assert (await connection.served()).model == "nope"
