"""Whole runs against the real engine: the cost of an effort switch, valid histories, the re-ask, the full window."""

from __future__ import annotations

import itertools
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from vision_model import IMG, IMG_BREAK, IMG_END, PICTURE_TOKENS, picture

from agent import Agent, EndpointRejected, Image, Ladder, Limits, Rung, Verify, tool
from agent.journal.events import ContextRenewed, Event, PrefixChanged, Replied, Requested, SummedUp
from agent.journal.journal import read_journal
from agent.loop.prompts import CONTEXT_FULL, SYSTEM_PROMPT
from agent.messages import AssistantMessage, Effort, RawCall, Reply, ToolResult
from agent.model.local_tokens import count_locally
from agent.model.profiles import MISTRAL, Sampling
from agent.model.wire import Request
from agent.testing import calls, says
from serving.pocket import MAX_MODEL_LEN, model_dir

if TYPE_CHECKING:
    from conftest import LiveEngine, RecordingModel

pytestmark = pytest.mark.engine

EXACT = Sampling(temperature=0.0)
SHORT = replace(
    MISTRAL,
    reply_tokens={"none": 200, "high": 200, None: 200},
    sampling={"none": EXACT, "high": EXACT, None: EXACT},
)
"""The pocket model may never end a reply, so limit it; with exact sampling its replies are always the same."""


def shared_prefix(before: tuple[int, ...], after: tuple[int, ...], *, block_tokens: int) -> int:
    """Return how many tokens of `after` are in a prefix cache that holds `before`.

    Args:
        before: An earlier prompt, and what was generated after it.
        after: The prompt to look up.
        block_tokens: Only whole blocks are cached; vLLM's blocks have 16 tokens on CUDA, and 128 on the CPU.
    """
    same = 0
    # vLLM always computes the last token of a prompt, to start the reply: if a prompt of 256 tokens is sent again, 128
    # are cached; of 257 tokens, 256 are (vLLM 0.32, blocks of 128, measured 2026-11-23).
    for left, right in zip(before, after[:-1], strict=False):
        if left != right:
            break
        same += 1
    return same // block_tokens * block_tokens


@tool(read_only=True)
def get_weather(city: str) -> str:
    """Get weather"""
    return f"18 C in {city}"


@tool(name="get_weather")
def get_southern_weather(city: Literal["Lima", "Perth"]) -> str:
    """Get weather"""
    return f"18 C in {city}"


def new_system_prompt() -> str:
    """Return a system prompt that is not in the engine's cache yet."""
    return f"Run {secrets.token_hex(8)}. {SYSTEM_PROMPT}"


def block_tokens(engine: LiveEngine) -> int:
    found = re.search(r'vllm:cache_config_info\{.*?\bblock_size="(\d+)"', engine.get("/metrics"))
    assert found is not None
    return int(found.group(1))


async def prompts(model: RecordingModel) -> list[tuple[int, ...]]:
    """Return the tokens of each request of a run, as the engine rendered it."""
    counts = []
    async with model.open() as connection:
        for request in model.requests:
            counted = await connection.count(request)
            assert counted is not None
            counts.append(with_images(counted.tokens, request))
    return counts


def with_images(tokens: tuple[int, ...], request: Request) -> tuple[int, ...]:
    """Return the tokens of a prompt, those of different images different from each other."""
    messages = [json.loads(wire)["content"] for wire in request.messages]
    parts = (part for content in messages if isinstance(content, list) for part in content)
    images = iter([part["image_url"]["url"] for part in parts if part["type"] == "image_url"])
    found, shown = list[int](), next(images, "")
    for token in tokens:
        found.append(hash((token, shown)) if token in {IMG, IMG_BREAK, IMG_END} else token)
        shown = next(images, "") if token == IMG_END else shown
    return tuple(found)


def calling(*calls: tuple[str, str], content: str = "", reasoning: str = "") -> Reply:
    """Return a reply with calls that all have the same invalid id."""
    return Reply(
        content=content,
        reasoning=reasoning,
        tool_calls=tuple(RawCall(id="call-1", name=name, arguments=arguments) for name, arguments in calls),
        finish_reason="tool_calls",
    )


# 5. The cost of an effort switch.


async def test_the_cost_of_an_effort_switch_is_what_the_engine_measured(engine: LiveEngine, tmp_path: Path):
    model = engine.recording_model(profile=SHORT)
    queries: list[float] = []
    hits: list[float] = []

    def read_counters(request: Request) -> Request:
        queries.append(engine.metric("vllm:prefix_cache_queries_total"))
        hits.append(engine.metric("vllm:prefix_cache_hits_total"))
        return request

    model.change = read_counters
    events: list[Event] = []
    agent = Agent(
        model,
        tools=[get_weather],
        instructions=new_system_prompt(),
        ladder=Ladder(rungs=(Rung(effort="none"), Rung(effort="high"))),
        limits=Limits(steps=8),
        verify=Verify(command="false", attempts=2),
        workspace=tmp_path,
    )
    await agent.run("Hello", observe=events.append)
    read_counters(model.requests[-1])  # once more, after the last request

    (switch,) = [event for event in events if isinstance(event, PrefixChanged)]
    replied = [event for event in events if isinstance(event, Replied)]
    at = [event.step for event in replied].index(switch.step)
    assert [event.effort for event in events if isinstance(event, Requested)][at - 1 : at + 1] == ["none", "high"]

    # The journal reports the same as the usage of that request,
    usage = replied[at].reply.usage
    assert usage is not None
    assert (switch.effort, switch.source) == ("high", "engine")
    assert (switch.prompt_tokens, switch.cached_tokens) == (usage.prompt_tokens, usage.cached_tokens)
    assert switch.prefilled_tokens == switch.prompt_tokens - switch.cached_tokens
    # the same as the engine's own counters,
    assert queries[at + 1] - queries[at] == switch.prompt_tokens
    assert hits[at + 1] - hits[at] == switch.cached_tokens
    # and the same as the common prefix of the two prompts: system prompt and tools in whole blocks, no conversation.
    rendered = await prompts(model)
    block = block_tokens(engine)
    assert len(rendered[at]) == switch.prompt_tokens
    assert max(shared_prefix(before, rendered[at], block_tokens=block) for before in rendered[:at]) == (
        switch.cached_tokens
    )
    assert switch.cached_tokens >= block
    setting = engine.post("/detokenize", {"model": engine.model, "tokens": rendered[at][: switch.cached_tokens]})
    assert "[MODEL_SETTINGS]" not in setting["prompt"]


async def test_a_prompt_sent_again_is_cached_in_whole_blocks_without_its_last_token(engine: LiveEngine):
    block = block_tokens(engine)
    async with engine.endpoint().open() as connection:
        for length in (block + 1, 2 * block, 2 * block + 1):
            request = await _of_length(engine, length)
            first, again = await connection.ask(request), await connection.ask(request)
            assert first.usage is not None
            assert again.usage is not None
            assert (first.usage.prompt_tokens, first.usage.cached_tokens) == (length, 0)
            same = tuple(range(length))
            assert again.usage.cached_tokens == shared_prefix(same, same, block_tokens=block)


async def _of_length(engine: LiveEngine, length: int) -> Request:
    def request(text: str) -> Request:
        message = json.dumps({"role": "user", "content": text}).encode()
        return Request(model=engine.model, messages=[message], tools=b"[]", max_tokens=1)

    text = secrets.token_hex(8)
    async with engine.endpoint().open() as connection:
        while (counted := await connection.count(request(text))) is not None and len(counted.tokens) < length:
            text += "\x01" * (length - len(counted.tokens))  # one token each in any vocabulary
    assert counted is not None
    assert len(counted.tokens) == length
    return request(text)


@pytest.mark.parametrize("effort", ["none", "high"])
async def test_the_models_tokenizer_counts_a_first_prompt_as_the_engine_does(engine: LiveEngine, effort: Effort):
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": "Fix é in a.py, not [INST]."}]
    request = Request(
        model=engine.model, messages=[json.dumps(message).encode() for message in messages],
        tools=json.dumps([get_weather.definition()]).encode(), max_tokens=1, effort=effort,
    )  # fmt: skip
    async with engine.endpoint().open() as connection:
        counted = await connection.count(request)
    assert counted is not None
    assert count_locally(request, str(model_dir()), {}) == len(counted.tokens)


# 6. Histories that the server accepts.

ODD_REPLIES = (
    calling(("get_weather", '{"town": "Paris"}'), reasoning="I need the weather."),
    calling(("weather", '{"city": "Paris"}')),
    calling(("get_weather", '{"city": "Pa'), content="Let me see."),
    calling(("get_weather", '{"city": "Paris"}'), ("get_weather", '{"city": "Rome"}'), reasoning="Two at once."),
    calling(("get_weather", '{"city": "Oslo"}'), ("no tool; at all", "?"), ("get_weather", '{"city": "Oslo"}')),
    Reply(finish_reason="stop"),
    Reply(reasoning="The answer stays in my head.", finish_reason="stop"),
    Reply(content='[TOOL_CALLS]get_weather[ARGS]{"city": "Bonn"}', finish_reason="stop"),
    Reply(content="It is 18 C.", reasoning="[/THINK] I am done.</s>", finish_reason="stop"),
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("effort", ["none", "high"])
async def test_no_history_of_a_run_is_refused(engine: LiveEngine, tmp_path: Path, effort: Effort, stream: bool):
    model = engine.recording_model(answers=ODD_REPLIES, profile=SHORT, stream=stream)
    agent = Agent(
        model,
        tools=[get_weather],
        ladder=Ladder(rungs=(Rung(effort=effort),), triggers={}),
        limits=Limits(steps=len(ODD_REPLIES) + 1),
        verify=Verify(command="false", attempts=2),
        workspace=tmp_path,
    )
    outcome = await agent.run("What is the weather in Paris?")

    # The last request contains the whole history, and the real model replied to it.
    assert outcome.status in {"budget", "verify_failed"}
    assert len(model.requests) == len(ODD_REPLIES) + 1
    results = [message for message in outcome.messages if isinstance(message, ToolResult)]
    assert [result.status for result in results[:9]] == [
        *("invalid", "invalid", "invalid", "ok", "ok", "ok", "invalid", "duplicate", "ok")
    ]
    last = (await prompts(model))[-1]
    text = engine.post("/detokenize", {"model": engine.model, "tokens": last})["prompt"]
    assert "[THINK]Two at once.[/THINK][TOOL_CALLS]get_weather[ARGS]" in text
    assert text.count("[TOOL_RESULTS]") == 9


# 7. The constrained re-ask.


async def run_with_an_invalid_call(
    engine: LiveEngine, folder: Path, model: RecordingModel, effort: Effort
) -> list[Event]:
    """Run an agent whose first reply is a call that its schema forbids; the constrained re-ask goes to the model."""
    model.answers = [calling(("get_weather", '{"city": "Paris"}'))]
    events: list[Event] = []
    agent = Agent(
        model,
        tools=[get_southern_weather],
        instructions=new_system_prompt(),
        ladder=Ladder(rungs=(Rung(effort=effort), Rung(effort=effort, constrained=True))),
        limits=Limits(steps=2),
        workspace=folder,
    )
    outcome = await agent.run("What is the weather in Paris?", observe=events.append)

    # The accepted call matches the schema, and the invalid one is not in the history.
    (turn,) = [message for message in outcome.messages if isinstance(message, AssistantMessage)]
    (call,) = turn.tool_calls
    assert call.name == "get_weather"
    assert json.loads(call.arguments)["city"] in {"Lima", "Perth"}
    assert not call.repairs
    return events


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("effort", ["none", "high"])
async def test_a_reask_returns_a_call_that_matches_its_schema_and_reuses_the_whole_prompt(
    engine: LiveEngine, tmp_path: Path, effort: Effort, stream: bool
):
    model = engine.recording_model(profile=SHORT, stream=stream)
    events = await run_with_an_invalid_call(engine, tmp_path, model, effort)

    free, constrained = model.requests
    assert (free.force_tool, constrained.force_tool) == (None, "get_weather")
    assert constrained == replace(free, force_tool="get_weather")
    before, after = await prompts(model)
    usage = model.replies[1].usage
    assert usage is not None
    assert usage.cached_tokens == shared_prefix(before, after, block_tokens=block_tokens(engine)) > 0
    assert [event.reask for event in events if isinstance(event, Replied)] == [False, True]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("effort", ["none", "high"])
async def test_if_named_tool_choices_are_refused_the_text_is_constrained_to_the_schema_of_the_tool(
    engine: LiveEngine, tmp_path: Path, effort: Effort, stream: bool
):
    """No vLLM refuses one, so the test raises the refusal; the reply comes from the real engine."""

    def refuse_named(request: Request) -> Request:
        if request.force_tool is not None:
            raise EndpointRejected("tool_choice must be auto", url=engine.base_url, status=400)
        return request

    model = engine.recording_model(profile=SHORT, stream=stream)
    model.change = refuse_named
    await run_with_an_invalid_call(engine, tmp_path, model, effort)

    free, constrained = model.requests
    schema = json.dumps(get_southern_weather.parameters).encode()
    assert constrained == replace(free, tool_choice="none", json_schema=schema)
    usage = model.replies[1].usage
    assert usage is not None
    assert usage.cached_tokens == usage.prompt_tokens // block_tokens(engine) * block_tokens(engine)


# A conversation over several runs.


@pytest.mark.parametrize("form", ["outcome", "chat"])
async def test_a_follow_up_finds_the_whole_earlier_conversation_in_the_cache(
    engine: LiveEngine, tmp_path: Path, form: str
):
    model = engine.recording_model(profile=SHORT)
    agent = Agent(
        model,
        tools=[get_weather],
        instructions=new_system_prompt(),
        ladder=Ladder(rungs=(Rung(effort="none"),)),
        limits=Limits(steps=2),
        workspace=tmp_path,
    )
    first = await agent.run("What is the weather in Paris?")
    last = len(model.requests) - 1

    history = first if form == "outcome" else json.loads(json.dumps(first.to_chat()))
    await agent.run("And what is it in Lima?", history=history, limits=Limits(steps=1))

    rendered = await prompts(model)
    before, after = rendered[last], rendered[last + 1]
    usage = model.replies[last + 1].usage
    assert usage is not None
    assert after[: len(before)] == before
    assert usage.cached_tokens is not None
    assert usage.cached_tokens >= len(before) // block_tokens(engine) * block_tokens(engine) > 0


# 10. The full window.


async def test_a_prompt_beyond_the_window_ends_as_budget_before_it_is_sent(engine: LiveEngine, tmp_path: Path):
    model = engine.recording_model()
    outcome = await Agent(model, tools=[get_weather], workspace=tmp_path).run("Paris " * 9000)
    assert outcome.status == "budget"
    assert re.fullmatch(rf"{CONTEXT_FULL} \(the prompt has [\d,]+ tokens of 8,192\)", outcome.reason)
    assert model.requests == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_prompt_that_only_the_server_finds_too_long_ends_as_budget(
    engine: LiveEngine, tmp_path: Path, stream: bool
):
    model = engine.recording_model(stream=stream)

    async def cannot_count(_: Request) -> None:
        return None

    vars(model)["count"] = cannot_count
    # Each character is about one token, so the estimate of three bytes per token is far too low.
    outcome = await Agent(model, workspace=tmp_path).run("~^|`@" * 3_400)
    assert outcome.status == "budget"
    assert re.fullmatch(rf"{CONTEXT_FULL} \(the prompt has [\d,]+ tokens of 8,192\)", outcome.reason)


async def test_a_conversation_that_fills_the_window_continues_in_a_fresh_context(engine: LiveEngine, tmp_path: Path):
    @tool
    def get_log(page: int) -> str:
        """Get a page of the log"""
        return " ".join(f"{page}:{line:04x}" for line in range(1200))

    # The first call fills the window; after that the model is free.
    model = engine.recording_model(
        answers=[calling(("get_log", '{"page": 1}'))], profile=replace(SHORT, ladder=MISTRAL.ladder, trained_texts=True)
    )
    events: list[Event] = []
    agent = Agent(model, tools=[get_log], limits=Limits(steps=3), workspace=tmp_path)
    outcome = await agent.run("Read the log.", observe=events.append)

    renewed = next(event for event in events if isinstance(event, ContextRenewed))
    assert renewed.prompt.content == (
        f"Read the log.\n\nAn earlier attempt at this task failed: {CONTEXT_FULL}\nWhat it tried, in order:\n"
        '- get_log {"page": 1} -> ok: 1:0000 1:0001 1:0002 1:0003 1:0004 1:0005 1:0006 1:0007 1:0008 1:0009 1:000a '
        "1:000b 1:000c 1:000d 1:000e 1:000f 1:0010 1:0011 1:0012 1:0013 1:0014 1:0015 1:0016\n"
        "The workspace is as the earlier attempt left it. Take another way."
    )
    assert [event for event in events[events.index(renewed) :] if isinstance(event, Replied)]
    assert outcome.status in {"budget", "finished"}


async def test_an_image_from_a_tool_does_not_end_the_run_of_a_model_without_vision(engine: LiveEngine, tmp_path: Path):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

    @tool
    def look() -> Image:
        """Look at the screen"""
        return Image(data=pixel, media_type="image/png")

    model = engine.recording_model(answers=[calling(("look", "{}"))], profile=SHORT)
    agent = Agent(model, tools=[look], limits=Limits(steps=2), workspace=tmp_path)
    outcome = await agent.run("Look at the screen.")

    assert outcome.status in {"finished", "budget", "stuck"}, outcome.reason
    assert (outcome.steps, len(model.requests)) == (2, 2), "the refused request is not counted"
    assert b"(Not shown: you cannot see images. Continue without them.)" in model.requests[1].messages[-1]


# 11. The prefix of a long run.

STEPS = 100


@tool(read_only=True)
def look_up(topic: str) -> str:
    """Return facts about a topic."""
    return f"{topic}: " + " ".join(f"{topic}{number}" for number in range(12))


def replies() -> Iterator[Reply]:
    """Yield single and parallel calls, calls to re-ask for, empty replies, and the end."""
    for step in range(1, STEPS):
        if step % 17 == 0:
            yield calls(("look", {"topic": f"t{step}"}))
        elif step % 23 == 0:
            yield says("")
        else:
            yield calls(*(("look_up", {"topic": f"t{step}{letter}"}) for letter in "abc"[: 1 + step % 3]))
    yield says("All is looked up.")


def stopped_early(request: Request) -> Request:
    """Return a request whose real reply, which nobody reads, is short."""
    return replace(request, extra_body={"stop": ["e", "a", " ", "\n"]})


async def test_every_token_before_an_intended_change_is_in_the_cache_over_a_hundred_steps(
    engine: LiveEngine, tmp_path: Path
):
    script = list(replies())
    first, second = (
        engine.recording_model(answers=part, profile=SHORT, window=7_000) for part in (script[:50], script[50:])
    )
    settings: dict[str, Any] = {
        "tools": [look_up], "runs": tmp_path, "instructions": f"Look up. {secrets.token_hex(8)}",
        "ladder": Ladder(
            rungs=(Rung(effort="none"), Rung(effort="none", constrained=True), Rung(effort="high", fresh_context=True)),
            triggers={"empty_reply": 2},
        ),
    }  # fmt: skip
    for model in (first, second):
        model.change = stopped_early
    stopped = await Agent(first, limits=Limits(steps=50, tool_calls=None), **settings).run("Look it all up.")
    outcome = await Agent(second, limits=Limits(steps=150, tool_calls=None), **settings).resume(stopped.run)

    assert (stopped.status, outcome.status) == ("budget", "finished")
    events = read_journal(outcome.journal or Path())
    assert {event.because for event in events if isinstance(event, PrefixChanged)} >= {("resume",)}
    assert not any("unknown" in event.because for event in events if isinstance(event, PrefixChanged))
    await check_cached([first, second], engine)
    # Requests for summaries use up replies of the script too.
    assert sum(isinstance(event, Replied | SummedUp) for event in events) >= STEPS


async def check_cached(models: Sequence[RecordingModel], engine: LiveEngine) -> int:
    """Check that each prompt's beginning that the prompt before it had was found in the cache, in whole blocks.

    Return how many prompts go on from the whole prompt before them.
    """
    block = block_tokens(engine)
    rendered = [tokens for model in models for tokens in await prompts(model)]
    usages = [reply.usage for model in models for reply in model.replies]
    for number, (before, now) in enumerate(itertools.pairwise(rendered), start=1):
        usage = usages[number]
        assert usage is not None
        assert usage.prompt_tokens == len(now)
        assert (usage.cached_tokens or 0) >= shared_prefix(before, now, block_tokens=block), number
    return sum(now[: len(before)] == before for before, now in itertools.pairwise(rendered))


# 12. The prefix of a run with images.

IMAGE_STEPS = 20


def image_replies() -> Iterator[Reply]:
    """Yield calls that return no image, one, or several at once, calls to re-ask for, and the end."""
    for step in range(1, IMAGE_STEPS):
        if step % 11 == 0:
            yield calls(("photo", {"place": "yard"}))
        elif step % 5 == 0:
            yield calls(("look_up", {"topic": f"t{step}"}))
        elif step % 3 == 0:
            yield calls(("show_map", {}), ("look_up", {"topic": f"t{step}"}), ("take_photo", {"place": "gate"}))
        else:
            yield calls(("take_photo", {"place": "yard"}))
    yield says("All is seen.")


async def test_every_token_before_an_intended_change_is_in_the_cache_of_a_run_with_images(
    vision_engine: LiveEngine, tmp_path: Path
):
    taken = itertools.count(1)

    @tool
    def take_photo(place: str) -> Image:
        """Return a photo of a place as it is now."""
        return picture(next(taken))

    @tool
    def show_map() -> Image:
        """Return the map, which stays as it is."""
        return picture(0)

    script = list(image_replies())
    first, second = (
        vision_engine.recording_model(answers=part, profile=SHORT, window=MAX_MODEL_LEN)
        for part in (script[:12], script[12:])
    )
    settings: dict[str, Any] = {
        "tools": [take_photo, show_map, look_up], "runs": tmp_path, "instructions": f"See. {secrets.token_hex(8)}",
        "ladder": Ladder(rungs=(Rung(effort="none"), Rung(effort="none", constrained=True))),
    }  # fmt: skip
    for model in (first, second):
        model.change = stopped_early
    stopped = await Agent(first, limits=Limits(steps=12, tool_calls=None), **settings).run("See it all.")
    outcome = await Agent(second, limits=Limits(steps=150, tool_calls=None), **settings).resume(stopped.run)

    assert (stopped.status, outcome.status) == ("budget", "finished"), (stopped.reason, outcome.reason)
    events = read_journal(outcome.journal or Path())
    reasons = [event.because for event in events if isinstance(event, PrefixChanged)]
    assert set(reasons) == {("fold",), ("resume",)}
    # Every other prompt goes on from the whole prompt before it, with all its images.
    continued = await check_cached([first, second], vision_engine)
    assert continued == len(first.requests) + len(second.requests) - 1 - reasons.count(("fold",))
    cached = [reply.usage.cached_tokens or 0 for model in (first, second) for reply in model.replies if reply.usage]
    assert max(cached) > 7 * PICTURE_TOKENS
